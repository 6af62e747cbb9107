"""What a server's answer says: the image, where else to look, or why not and for how long."""

import email.utils
import http.client
import time
from typing import TYPE_CHECKING

from dinoseek.errors import FetchError
from dinoseek.ingest.robots import opted_out

if TYPE_CHECKING:
    import requests

    from dinoseek.ingest.connection import Attempt

_AT_ONCE = 1 << 16
_TRANSIENT = {
    "url.connect",
    "url.dns",
    "url.host_down",
    "url.protocol",
    "url.rate_limited",
    "url.timeout",
    "url.tls",
    "url.truncated",
}
_TRANSIENT_STATUS = {408, 425, 429}


class BusyError(FetchError):
    """The server asks to be left alone for `seconds`."""

    def __init__(self, code: str, subject: object, reason: str, *, seconds: float) -> None:
        super().__init__(code, subject, reason)
        self.seconds = seconds


def is_transient(code: str) -> bool:
    """Whether an address that failed with this code is worth another try, some other day."""
    if code.startswith("url.http_"):
        status = int(code.removeprefix("url.http_"))
        return status in _TRANSIENT_STATUS or status >= 500
    return code in _TRANSIENT


def check(response: "requests.Response", url: str, most: int, *, honour_optout: bool) -> None:
    """Raises FetchError for an answer whose body is not wanted."""
    headers = response.headers
    if response.status_code != 200:
        raise _refused(response, url)
    if honour_optout and opted_out(response.raw.headers.getlist("X-Robots-Tag")):
        fix = "--ignore-optout fetches it all the same"
        reason = "its server does not want it to be used"
        raise FetchError("url.optout", url, reason, fix=fix)
    if headers.get("Content-Encoding", "identity").strip().lower() not in ("identity", ""):
        reason = f"it is packed as {headers['Content-Encoding'][:40]!r}, which was not asked for"
        raise FetchError("url.content_encoding", url, reason)
    length = headers.get("Content-Length", "")
    if length.isascii() and length.isdigit() and int(length) > most:
        raise _too_large(url, most)


def _refused(response: "requests.Response", url: str) -> FetchError:
    status = response.status_code
    # the server's own words could be anything
    reason = f"its server answers {status} {http.client.responses.get(status, '')}".rstrip()
    seconds = _retry_after(response.headers.get("Retry-After"))
    if status == 429:
        reason = "its server wants fewer requests"
        return BusyError("url.rate_limited", url, reason, seconds=seconds or 1.0)
    if seconds is not None and is_transient(f"url.http_{status}"):
        return BusyError(f"url.http_{status}", url, reason, seconds=seconds)
    return FetchError(f"url.http_{status}", url, reason)


def _retry_after(value: str | None) -> float | None:
    """The seconds that a Retry-After header asks for; None if it says nothing sensible."""
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value[:20])
    try:
        moment = email.utils.parsedate_to_datetime(value)
        return max(0.0, moment.timestamp() - time.time())
    except (TypeError, ValueError, IndexError, OverflowError):
        return None


def body(response: "requests.Response", url: str, most: int, attempt: "Attempt") -> bytes:
    """The body, as long as there is time and it is not too large."""
    data = bytearray()
    while piece := response.raw.read1(_AT_ONCE, decode_content=False):
        data += piece
        if len(data) > most:
            raise _too_large(url, most)
        if not attempt.left():
            raise FetchError("url.timeout", url, "it takes too long")
    if not data and "Content-Length" not in response.headers:  # the headers were cut off, say
        raise FetchError("url.truncated", url, "its server sends nothing")
    return bytes(data)


def _too_large(url: str, most: int) -> FetchError:
    return FetchError("url.too_large", url, f"it is larger than {most / 1e6:g} MB")
