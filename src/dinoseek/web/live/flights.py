"""Equal work that several requests want at one time: done once, by the first of them, for all."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from dinoseek.web.live.busy import Busy, Gone
from dinoseek.web.live.turns import LOOK_EVERY, PATIENCE, always

K = TypeVar("K")
T = TypeVar("T")


class _Flight(Generic[T]):
    """Work that is being done, and how many others wait for it."""

    def __init__(self) -> None:
        self.landed: Future[T] = Future()
        self.followers = 0


class _AbandonedError(Exception):
    """Whoever did the work left before it was done."""


class Flights(Generic[K, T]):
    """What is being done at the moment, by key."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flights: dict[K, _Flight[T]] = {}

    def share(
        self,
        key: K,
        compute: Callable[[Callable[[], bool]], T],
        is_wanted: Callable[[], bool] = always,
        seconds: float = PATIENCE,
    ) -> tuple[T, bool]:
        """What `compute` returns or raises, and whether it was this call that did it.

        `compute` gets a function that tells whether this caller or any other still wants it. A
        caller that waits for another's work is stopped by Gone when it is no longer wanted, and by
        Busy after `seconds`, which does not disturb the work. If the one who does it gives up, the
        next begins anew.
        """
        until = time.monotonic() + seconds
        while True:
            with self._lock:
                flight = self._flights.get(key)
                if flight is not None:
                    flight.followers += 1
            if flight is None:
                ours = self._begun(key)
                if ours is not None:
                    return self._lead(key, ours, compute, is_wanted), True
                continue
            try:
                return self._follow(flight, is_wanted, until), False
            except _AbandonedError:
                continue

    def _begun(self, key: K) -> _Flight[T] | None:
        """A new flight; None if somebody was quicker."""
        with self._lock:
            if key in self._flights:
                return None
            self._flights[key] = flight = _Flight[T]()
            return flight

    def _lead(
        self,
        key: K,
        flight: _Flight[T],
        compute: Callable[[Callable[[], bool]], T],
        is_wanted: Callable[[], bool],
    ) -> T:
        try:
            value = compute(lambda: flight.followers > 0 or is_wanted())
        except BaseException as exc:
            self._end(key)
            is_ours = isinstance(exc, Gone) or not isinstance(exc, Exception)
            flight.landed.set_exception(_AbandonedError() if is_ours else exc)
            raise
        self._end(key)
        flight.landed.set_result(value)
        return value

    def _end(self, key: K) -> None:
        with self._lock:
            del self._flights[key]

    def _follow(self, flight: _Flight[T], is_wanted: Callable[[], bool], until: float) -> T:
        try:
            while not _has_landed(flight.landed):
                if not is_wanted():
                    raise Gone
                if time.monotonic() > until:
                    raise Busy
        finally:
            with self._lock:
                flight.followers -= 1
        return flight.landed.result()


def _has_landed(landed: "Future[T]") -> bool:
    try:
        landed.exception(LOOK_EVERY)
    except TimeoutError:
        return landed.done()
    return True
