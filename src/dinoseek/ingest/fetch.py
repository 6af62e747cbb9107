"""Fetches one image from the web: within its time, its size, and nothing that leads inside."""

import logging
import random
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from urllib.parse import urljoin, urlsplit

import requests
from requests_hardened import HTTPSession

from dinoseek.errors import FetchError
from dinoseek.ingest.address import check_port, normalised
from dinoseek.ingest.answers import BusyError, body, check, is_transient
from dinoseek.ingest.connection import Attempt, Watchdog, open_session
from dinoseek.ingest.faults import explained
from dinoseek.ingest.robots import Robots

logger = logging.getLogger(__name__)

_REDIRECTS = (301, 302, 303, 307, 308)
_TRIED_AGAIN = ("url.timeout", "url.connect", "url.dns", "url.truncated", "url.rate_limited")
_FIRST_PAUSE = 0.5  # seconds
_ROBOTS_BYTES = 500_000  # RFC 9309, section 2.5


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


class Fetcher:
    """Fetches addresses, in any number of threads; `close` ends what is under way."""

    def __init__(self, options: FetchOptions | None = None) -> None:
        self.options = options or FetchOptions()
        self._watchdog = Watchdog()
        self._own = threading.local()
        self._sessions: list[HTTPSession] = []
        self._closed = threading.Event()
        self._robots = Robots(self.options.user_agent)

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
                return self._followed(url, deadline, self.options.max_bytes)
            except FetchError as exc:
                pause = _pause(exc, number)
                last = number == self.options.retries or not _is_retried(exc.code)
                if last or time.monotonic() + pause >= deadline:
                    raise
            if self._closed.wait(pause):
                break
        raise FetchError("url.timeout", url, "the run was ended")

    def _followed(self, url: str, deadline: float, most: int, *, image: bool = True) -> Fetched:
        """What is at an address, or where it leads: an image, or the text of a robots.txt."""
        here = normalised(url)
        for _ in range(self.options.redirects + 1):
            if self._closed.is_set():
                raise FetchError("url.timeout", url, "the run was ended")
            if image and self.options.honour_robots_txt:
                self._check_robots(here, deadline)
            attempt = self._watchdog.attempt(deadline - time.monotonic())
            try:
                with explained(url, attempt):
                    found = self._asked(here, url, most, attempt, image=image)
            finally:
                self._watchdog.finished(attempt)
            if isinstance(found, Fetched):
                return found
            here = _led(here, found, url)
        limit = self.options.redirects
        raise FetchError("url.redirect_limit", url, f"it redirects more than {limit} times")

    def _asked(
        self, here: str, url: str, most: int, attempt: Attempt, *, image: bool
    ) -> Fetched | str:
        """What the server gives, or where it sends us."""
        options, parts = self.options, urlsplit(here)
        if not options.allow_private:
            check_port(parts, options.ports)
        seconds = max(0.001, attempt.left())
        response = self._session().get(
            here,
            stream=True,
            timeout=(min(options.connect_timeout, seconds), min(options.read_timeout, seconds)),
            headers={"Accept": "image/*,*/*;q=0.5", "Accept-Encoding": "identity"},
        )
        with response:
            if response.status_code in _REDIRECTS:
                return _location(response, url)
            check(response, url, most, honour_optout=image and options.honour_optout)
            data = body(response, url, most, attempt)
        kind = response.headers.get("Content-Type")
        return Fetched(url=url, final_url=here, data=data, content_type=kind)

    def _check_robots(self, url: str, deadline: float) -> None:
        """Raises FetchError url.robots, or why the server's robots.txt cannot be had just now."""

        def text(there: str) -> bytes:
            try:
                return self._followed(there, deadline, _ROBOTS_BYTES, image=False).data
            except FetchError as exc:
                if is_transient(exc.code):
                    raise
                return b""  # there is none

        if not self._robots.allow(url, text):
            raise FetchError("url.robots", url, "robots.txt does not allow it")

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


def _led(here: str, location: str, url: str) -> str:
    """The address that a redirect means, which is checked like any other."""
    with suppress(UnicodeError):  # most servers mean UTF-8
        location = location.encode("latin-1").decode()
    try:
        there = urljoin(here, location)
    except ValueError as exc:
        raise FetchError("url.syntax", url, "it redirects to what is no address") from exc
    there = normalised(there)
    if here.startswith("https:") and there.startswith("http:"):
        logger.info("%s leads to %s, which is not protected by TLS", here, there)
    return there
