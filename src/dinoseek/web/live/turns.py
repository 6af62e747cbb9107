"""Taking turns at something that few can do at once, without waiting for what nobody wants."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dinoseek.web.live.busy import Busy, Gone

LOOK_EVERY = 0.05  # seconds between two looks at whether the client is still there
PATIENCE = 30.0  # seconds that a request may wait for its answer


def always() -> bool:
    """For work that is wanted whatever happens."""
    return True


class Turns:
    """At most `places` at once; at most `waiting` more wait, first come first served or nearly so.

    Without `waiting` any number may.
    """

    def __init__(self, places: int, waiting: int | None = None) -> None:
        self._free = threading.Semaphore(places)
        self._lock = threading.Lock()
        self._waiting = 0
        self._most = waiting

    @contextmanager
    def taken(
        self, is_wanted: Callable[[], bool] = always, *, until: float | None = None
    ) -> Iterator[None]:
        """Holds a place. Busy if too many wait or it is past `until`, Gone if nobody wants it."""
        self._wait(is_wanted, time.monotonic() + PATIENCE if until is None else until)
        try:
            yield
        finally:
            self._free.release()

    def _wait(self, is_wanted: Callable[[], bool], until: float) -> None:
        if self._free.acquire(blocking=False):
            return
        with self._lock:
            if self._most is not None and self._waiting >= self._most:
                raise Busy
            self._waiting += 1
        try:
            while not self._free.acquire(timeout=LOOK_EVERY):
                if not is_wanted():
                    raise Gone
                if time.monotonic() > until:
                    raise Busy
        finally:
            with self._lock:
                self._waiting -= 1
