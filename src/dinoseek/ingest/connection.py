"""Connections to public addresses only, each ended when its time is up."""

import heapq
import ipaddress
import itertools
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.cookiejar import DefaultCookiePolicy
from typing import Any, TypeVar

import requests
from requests_hardened import Config, HTTPSession
from requests_hardened.ip_filter_adapter import IPFilterAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from dinoseek.ingest.address import is_public

T = TypeVar("T")

_HOSTS_KEPT = 4  # connections that each thread keeps open, each to another host


class _Session(HTTPSession):  # type: ignore[misc] # it has no type hints
    """A session that never looks where an answer leads: requests would read all of its body."""

    def get_redirect_target(self, _: requests.Response) -> None:
        return None


class Blocked(requests.RequestException):
    """The name leads to an address that is not public."""


class OutOfTime(requests.RequestException):
    """The name could not be resolved in time."""


@dataclass(eq=False)
class Attempt:
    """One request from beginning to end: until when, and by which connection."""

    deadline: float
    expired: bool = False
    _handle: socket.socket | None = None

    def left(self) -> float:
        """Seconds that are left; 0 if it is over."""
        return max(0.0, self.deadline - time.monotonic())

    def hold(self, connected: socket.socket) -> None:
        """Takes a handle of its own on a connection: http.client and ssl give theirs away."""
        self.release()
        self._handle = socket.socket(fileno=socket.dup(connected.fileno()))
        if self.expired:
            self.end()

    def release(self) -> None:
        """Lets go of the connection, which may go on."""
        handle, self._handle = self._handle, None
        if handle is not None:
            handle.close()

    def end(self) -> None:
        """Ends the connection, whatever its thread is waiting for."""
        self.expired = True
        handle = self._handle
        if handle is not None:
            with suppress(OSError):  # it has ended by itself
                handle.shutdown(socket.SHUT_RDWR)


_current = threading.local()  # the Attempt of each thread


class _Plain(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        connected = super()._new_conn()
        _current.attempt.hold(connected)
        return connected

    def putrequest(self, *arguments: Any, **options: Any) -> None:
        if self.sock is not None:  # it served another attempt before
            _current.attempt.hold(self.sock)
        super().putrequest(*arguments, **options)


class _Secure(HTTPSConnection):
    def putrequest(self, *arguments: Any, **options: Any) -> None:
        _current.attempt.hold(self.sock)  # the handshake is over, which has a time of its own
        super().putrequest(*arguments, **options)


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _Secure


class _Adapter(IPFilterAdapter):  # type: ignore[misc] # it has no type hints
    """Resolves a name once and connects to that address, if it is public by our own rules too."""

    def init_poolmanager(self, *_: Any, **options: Any) -> None:
        super().init_poolmanager(_HOSTS_KEPT, 1, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _PlainPool, "https": _SecurePool}

    def build_connection_pool_key_attributes(self, *arguments: Any, **options: Any) -> Any:
        build = super().build_connection_pool_key_attributes
        host, pool = in_time(lambda: build(*arguments, **options), _current.attempt.left())
        address = ipaddress.ip_address(host["host"].strip("[]").partition("%")[0])
        if not is_public(address):
            raise Blocked(str(address))
        return host, pool


class _OpenAdapter(requests.adapters.HTTPAdapter):
    """Connects to any address: for closed networks and for tests."""

    def init_poolmanager(self, *_: Any, **options: Any) -> None:
        super().init_poolmanager(_HOSTS_KEPT, 1, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _PlainPool, "https": _SecurePool}


def in_time(function: Callable[[], T], seconds: float) -> T:
    """The function's result; OutOfTime if it takes longer. Then its thread is left to itself."""
    result: list[T] = []
    error: list[BaseException] = []

    def run() -> None:
        try:
            result.append(function())
        except BaseException as exc:
            error.append(exc)

    thread = threading.Thread(target=run, name="dinoseek-resolve", daemon=True)
    thread.start()
    thread.join(seconds)
    if error:
        raise error[0]
    if not result:
        raise OutOfTime("the name could not be resolved in time")
    return result[0]


def open_session(user_agent: str, *, allow_private: bool, verify: bool | str = True) -> HTTPSession:
    """A session for one thread: no proxies, no cookies, no passwords, no redirects."""
    session = _Session(
        Config(
            ip_filter_enable=False,  # our own adapters do it
            ip_filter_allow_loopback_ips=False,
            never_redirect=True,
            default_timeout=(5.0, 5.0),
            user_agent_override=user_agent,
        )
    )
    for scheme in ("http", "https"):
        adapter = _OpenAdapter() if allow_private else _Adapter(is_https_proto=scheme == "https")
        session.mount(f"{scheme}://", adapter)
    session.trust_env = False
    session.verify = verify
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.headers.clear()
    return session


@dataclass
class Watchdog:
    """Ends attempts whose time is up, in a thread of its own."""

    _heap: list[tuple[float, int, Attempt]] = field(default_factory=list)
    _news: threading.Condition = field(default_factory=threading.Condition)
    _number: "itertools.count[int]" = field(default_factory=itertools.count)
    _thread: threading.Thread | None = None
    _closed: bool = False

    def attempt(self, seconds: float) -> Attempt:
        """Begins an attempt of this thread that may take so long."""
        attempt = _current.attempt = Attempt(time.monotonic() + seconds)
        with self._news:
            if self._closed:
                attempt.end()
                return attempt
            heapq.heappush(self._heap, (attempt.deadline, next(self._number), attempt))
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="dinoseek-deadlines")
                self._thread.daemon = True
                self._thread.start()
            if self._heap[0][2] is attempt:
                self._news.notify()
        return attempt

    def finished(self, attempt: Attempt) -> None:
        """The attempt is over: its connection may now serve another."""
        with self._news:
            attempt.release()

    def close(self) -> None:
        """Ends everything that is under way, and the thread."""
        with self._news:
            self._closed = True
            for _, _, attempt in self._heap:
                attempt.end()
            self._news.notify()
        if self._thread is not None:
            self._thread.join()

    def _watch(self) -> None:
        with self._news:
            while not self._closed:
                now = time.monotonic()
                while self._heap and self._heap[0][0] <= now:
                    heapq.heappop(self._heap)[2].end()
                self._news.wait(self._heap[0][0] - now if self._heap else None)
