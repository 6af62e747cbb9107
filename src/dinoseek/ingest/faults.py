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
from dinoseek.ingest.connection import Attempt, Blocked, OutOfTime

# The first that is among the causes decides.
_FAULTS: tuple[tuple[str, str, tuple[type[BaseException], ...]], ...] = (
    ("url.dns", "its name cannot be resolved in time", (OutOfTime,)),
    ("url.dns", "there is no host of that name", (socket.gaierror, urllib3.NameResolutionError)),
    ("url.tls", "its certificate or its TLS is not good", (ssl.SSLError, urllib3.SSLError)),
    (
        "url.timeout",
        "its server does not answer in time",
        (TimeoutError, urllib3.TimeoutError, requests.Timeout),
    ),
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
    (
        "url.connect",
        "its server cannot be reached",
        (ConnectionError, http.client.RemoteDisconnected, urllib3.NewConnectionError),
    ),
)


@contextmanager
def explained(url: str, attempt: Attempt) -> Iterator[None]:
    """Turns what goes wrong with a request into a FetchError."""
    try:
        yield
    except FetchError:
        raise
    except (
        requests.RequestException,
        urllib3.HTTPError,
        http.client.HTTPException,
        OSError,
        ValueError,
        AttributeError,  # of a socket that was closed under http.client's hands
    ) as exc:
        raise _error(url, exc, late=attempt.expired) from exc


def _error(url: str, exc: Exception, *, late: bool) -> FetchError:
    causes = list(_causes(exc))
    if any(isinstance(cause, Blocked | InvalidIPAddress) for cause in causes):
        fix = "DINOSEEK_ALLOW_PRIVATE_HOSTS=1 allows it"
        reason = "its host is not on the public internet"
        return FetchError("url.blocked_address", url, reason, fix=fix)
    if late:  # whatever it was, it was our doing
        return FetchError("url.timeout", url, "it takes too long")
    for code, reason, kinds in _FAULTS:
        # RemoteDisconnected is a BadStatusLine, too
        gone = code == "url.protocol" and _has(causes, http.client.RemoteDisconnected)
        if _has(causes, *kinds) and not gone:
            return FetchError(code, url, reason)
    if "resolve" in str(exc):  # requests-hardened keeps no cause
        return FetchError("url.dns", url, "there is no host of that name")
    if isinstance(exc, OSError) and not isinstance(exc, requests.RequestException):
        return FetchError("url.connect", url, f"its server cannot be reached ({exc.strerror})")
    return FetchError("url.protocol", url, f"its server breaks HTTP ({type(causes[-1]).__name__})")


def _has(causes: list[BaseException], *kinds: type[BaseException]) -> bool:
    return any(isinstance(cause, kinds) for cause in causes)


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
