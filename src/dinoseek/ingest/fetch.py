"""Fetches one image from the web: within its time, its size, and nothing that leads inside."""

import email.utils
import random
import threading
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from urllib.parse import urljoin, urlsplit

import requests
from requests_hardened import HTTPSession

from dinoseek.errors import FetchError
from dinoseek.ingest.address import check_port, normalised
from dinoseek.ingest.connection import Attempt, Watchdog, open_session
from dinoseek.ingest.faults import explained
from dinoseek.ingest.robots import Robots, opted_out

_AT_ONCE = 1 << 16
_REDIRECTS = (301, 302, 303, 307, 308)
_TRIED_AGAIN = ("url.timeout", "url.connect", "url.dns", "url.truncated", "url.rate_limited")
_TRANSIENT = (*_TRIED_AGAIN, "url.host_down", "url.tls", "url.protocol")
_TRANSIENT_STATUS = {408, 425, 429}
_MOST_PATIENT = 60.0  # seconds that a server may make its other images wait
_FIRST_PAUSE = 0.5


def _user_agent() -> str:
    return f"dinoseek/{version('dinoseek')} (image search; obeys X-Robots-Tag: noai)"


@dataclass(frozen=True, kw_only=True)
class FetchOptions:
    """What one address may cost, and what is not fetched.

    Times are in seconds: to connect, to wait for the next bytes, and in all, retries included.
    `allow_private` lifts the rules of addresses and ports. `verify` may name a file of
    certificates.
    """

    connect_timeout: float = 3.0
    read_timeout: float = 5.0
    total: float = 20.0
    max_bytes: int = 20_000_000
    redirects: int = 3
    retries: int = 2
    ports: tuple[int, ...] = (80, 443)
    allow_private: bool = False
    honour_optout: bool = True
    honour_robots_txt: bool = False
    user_agent: str = field(default_factory=_user_agent)
    verify: bool | str = True

    def __post_init__(self) -> None:
        for name in ("connect_timeout", "read_timeout", "total", "max_bytes"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}, expected more than 0")


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """What an address gave: the bytes, from `final_url` after redirects."""

    url: str
    final_url: str
    data: bytes
    content_type: str | None


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


class Fetcher:
    """Fetches addresses, in any number of threads; `close` ends what is under way."""

    def __init__(self, options: FetchOptions | None = None) -> None:
        self.options = options or FetchOptions()
        self._watchdog = Watchdog()
        self._own = threading.local()
        self._sessions: list[HTTPSession] = []
        self._closed = threading.Event()
        self._robots = Robots(self.options.user_agent, self._text)

    def __enter__(self) -> "Fetcher":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends what is under way, and all connections."""
        self._closed.set()
        self._watchdog.close()
        for session in self._sessions:
            session.close()

    def fetch(self, url: str) -> Fetched:
        """The bytes at an address. Raises FetchError, whose code says why not:

        url.scheme, url.syntax, url.port, url.blocked_address, url.redirect_limit, url.too_large,
        url.content_encoding, url.optout, url.robots, url.http_NNN: it is so. url.dns, url.connect,
        url.timeout, url.tls, url.truncated, url.protocol, url.rate_limited: that may pass.
        """
        deadline = time.monotonic() + self.options.total
        for number in range(self.options.retries + 1):
            try:
                return self._once(url, deadline)
            except FetchError as exc:
                pause = _pause(exc, number)
                last = number == self.options.retries or not _is_retried(exc.code)
                if last or time.monotonic() + pause >= deadline:
                    raise
            if self._closed.wait(pause):
                break
        raise FetchError("url.timeout", url, "the run was ended")

    def _once(self, url: str, deadline: float) -> Fetched:
        """One try, with the redirects that it meets."""
        here = normalised(url)
        for _ in range(self.options.redirects + 1):
            if self._closed.is_set():
                raise FetchError("url.timeout", url, "the run was ended")
            if self.options.honour_robots_txt and not self._robots.allow(here):
                raise FetchError("url.robots", url, "robots.txt does not allow it")
            attempt = self._watchdog.attempt(deadline - time.monotonic())
            try:
                with explained(url, attempt):
                    found = self._answer(here, url, attempt, self.options.max_bytes)
            finally:
                self._watchdog.finished(attempt)
            if isinstance(found, Fetched):
                return found
            here = normalised(urljoin(here, found))
        limit = self.options.redirects
        raise FetchError("url.redirect_limit", url, f"it redirects more than {limit} times")

    def _answer(self, here: str, url: str, attempt: Attempt, most: int) -> Fetched | str:
        """What the server gives, or where it sends us."""
        parts = urlsplit(here)
        if not self.options.allow_private:
            check_port(parts, self.options.ports)
        seconds = max(0.001, attempt.left())
        waits = (self.options.connect_timeout, self.options.read_timeout)
        response = self._session().get(
            here,
            stream=True,
            timeout=tuple(min(each, seconds) for each in waits),
            headers={"Accept": "image/*,*/*;q=0.5", "Accept-Encoding": "identity"},
        )
        with response:
            if response.status_code in _REDIRECTS:
                return _location(response, url)
            self._check(response, url, most)
            data = _body(response, url, attempt, most)
        kind = response.headers.get("Content-Type")
        return Fetched(url=url, final_url=here, data=data, content_type=kind)

    def _check(self, response: requests.Response, url: str, most: int) -> None:
        """Raises FetchError for an answer whose body is not wanted."""
        status, headers = response.status_code, response.headers
        if status != 200:
            raise _refused(response, url)
        if self.options.honour_optout and opted_out(headers.get("X-Robots-Tag", "")):
            fix = "--ignore-optout fetches it all the same"
            reason = "its server does not want it to be used"
            raise FetchError("url.optout", url, reason, fix=fix)
        if headers.get("Content-Encoding", "identity").strip().lower() not in ("identity", ""):
            reason = f"it is packed as {headers['Content-Encoding']!r}, which was not asked for"
            raise FetchError("url.content_encoding", url, reason)
        length = headers.get("Content-Length", "")
        if length.isascii() and length.isdigit() and int(length) > most:
            raise _too_large(url, most)

    def _session(self) -> HTTPSession:
        session = getattr(self._own, "session", None)
        if session is None:
            session = self._own.session = open_session(
                self.options.user_agent,
                allow_private=self.options.allow_private,
                verify=self.options.verify,
            )
            self._sessions.append(session)
        return session

    def _text(self, url: str) -> bytes | None:
        """A robots.txt; None if there is none."""
        attempt = self._watchdog.attempt(self.options.total)
        try:
            with explained(url, attempt):
                found = self._answer(url, url, attempt, 500_000)
            return found.data if isinstance(found, Fetched) else None
        except FetchError:
            return None
        finally:
            self._watchdog.finished(attempt)


def _pause(exc: FetchError, number: int) -> float:
    """How long to wait before another try: what the server asks for, or ever longer."""
    if isinstance(exc, BusyError):
        return exc.seconds
    return _FIRST_PAUSE * 2**number * random.uniform(0.5, 1.0)


def _is_retried(code: str) -> bool:
    return code in _TRIED_AGAIN or (code.startswith("url.http_") and is_transient(code))


def _location(response: requests.Response, url: str) -> str:
    where = response.headers.get("Location")
    if not where:
        raise FetchError("url.protocol", url, "it redirects to nowhere")
    return where


def _refused(response: requests.Response, url: str) -> FetchError:
    status = response.status_code
    seconds = _retry_after(response.headers.get("Retry-After"))
    if status == 429:
        reason = "its server wants fewer requests"
        return BusyError(
            "url.rate_limited", url, reason, seconds=min(seconds or 1.0, _MOST_PATIENT)
        )
    reason = f"its server answers {status} {response.reason or ''}".rstrip()
    if seconds is not None and is_transient(f"url.http_{status}"):
        seconds = min(seconds, _MOST_PATIENT)
        return BusyError(f"url.http_{status}", url, reason, seconds=seconds)
    return FetchError(f"url.http_{status}", url, reason)


def _retry_after(value: str | None) -> float | None:
    """The seconds that a Retry-After header asks for; None if it says nothing sensible."""
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        moment = email.utils.parsedate_to_datetime(value)
        return max(0.0, moment.timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return None


def _body(response: requests.Response, url: str, attempt: Attempt, most: int) -> bytes:
    """The body, as long as there is time and it is not too large."""
    pieces, size = [], 0
    while piece := response.raw.read1(_AT_ONCE, decode_content=False):
        pieces.append(piece)
        size += len(piece)
        if size > most:
            raise _too_large(url, most)
        if not attempt.left():
            raise FetchError("url.timeout", url, "it takes too long")
    length = response.headers.get("Content-Length", "")
    if length.isascii() and length.isdigit() and size < int(length):
        raise FetchError("url.truncated", url, f"it ends after {size:,} of {int(length):,} bytes")
    return b"".join(pieces)


def _too_large(url: str, most: int) -> FetchError:
    fix = "--max-megabytes lets larger ones in"
    return FetchError("url.too_large", url, f"it is larger than {most / 1e6:g} MB", fix=fix)
