"""What goes wrong on the network, in our codes: libraries wrap it in many layers."""

import http.client
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import requests
from requests_hardened.ip_filter import InvalidIPAddress
from urllib3 import exceptions as urllib3

from dinoseek.errors import FetchError
from dinoseek.ingest.answers import is_transient
from dinoseek.ingest.connection import Attempt, Blocked, OutOfTime

# The first that is among the causes decides.
_FAULTS: tuple[tuple[str, str, tuple[type[BaseException], ...]], ...] = (
    ("url.dns", "its name cannot be resolved in time", (OutOfTime,)),
    ("url.dns", "there is no host of that name", (socket.gaierror, urllib3.NameResolutionError)),
    ("url.tls", "its certificate or its TLS is not good", (ssl.SSLError, urllib3.SSLError)),
    ("url.connect", "its server cannot be reached", (urllib3.NewConnectionError,)),
    ("url.connect", "its server cannot be reached in time", (urllib3.ConnectTimeoutError,)),
    ("url.timeout", "its server does not answer in time", (TimeoutError, urllib3.TimeoutError)),
    ("url.connect", "its server breaks the connection", (http.client.RemoteDisconnected,)),
    (
        "url.protocol",
        "its server does not speak HTTP",
        (http.client.BadStatusLine, http.client.LineTooLong, http.client.UnknownProtocol),
    ),
    (
        "url.truncated",
        "the connection breaks off",
        (http.client.IncompleteRead, urllib3.IncompleteRead),
    ),
    ("url.connect", "its server breaks the connection", (ConnectionError,)),
)


@contextmanager
def explained(url: str, attempt: Attempt) -> Iterator[None]:
    """Turns what goes wrong with a request into a FetchError."""
    try:
        yield
    except FetchError as exc:
        if attempt.expired and is_transient(exc.code):
            raise _late(url) from exc
        raise
    except (
        requests.RequestException,
        urllib3.HTTPError,
        http.client.HTTPException,
        OSError,
        ValueError,
    ) as exc:
        raise _error(url, exc, late=attempt.expired) from exc
    if attempt.expired:  # what we cut off can look like an end
        raise _late(url)


def _late(url: str) -> FetchError:
    return FetchError("url.timeout", url, "it takes too long")


def _error(url: str, exc: Exception, *, late: bool) -> FetchError:
    causes = list(_causes(exc))
    if any(isinstance(cause, Blocked | InvalidIPAddress) for cause in causes):
        fix = "DINOSEEK_ALLOW_PRIVATE_HOSTS=1 allows it"
        reason = "its host is not on the public internet"
        return FetchError("url.blocked_address", url, reason, fix=fix)
    for code, reason, kinds in _FAULTS:
        if late and code != "url.dns":  # whatever it was, it was our doing
            return _late(url)
        if any(isinstance(cause, kinds) for cause in causes):
            return FetchError(code, url, reason)
    return FetchError("url.protocol", url, f"its server breaks HTTP ({type(causes[-1]).__name__})")


def _causes(exc: BaseException) -> Iterator[BaseException]:
    """The exception and everything that it wraps, in whatever way."""
    seen: list[BaseException] = []
    waiting = [exc]
    while waiting:
        each = waiting.pop(0)
        if any(each is other for other in seen):
            continue
        seen.append(each)
        yield each
        inside = [*each.args, each.__cause__, each.__context__, getattr(each, "reason", None)]
        waiting += [other for other in inside if isinstance(other, BaseException)]
