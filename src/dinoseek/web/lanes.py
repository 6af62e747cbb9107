"""Which threads answer which request, so that nobody waits behind those who wait."""

import time
from typing import Any

from waitress.task import ThreadedTaskDispatcher

# Answered from memory; a monitor that must wait would call a busy server dead.
_QUICK = ("/healthz", "/metrics")
# A page asks for a hundred thumbnails at once, and each may have to be made first.
_PICTURES = ("/media/", "/original/")
_QUICK_THREADS = 2
_PICTURE_THREADS = 8


class Lanes:
    """Three sets of threads; to waitress it is one dispatcher. `threads` is for all the rest."""

    def __init__(self, threads: int) -> None:
        self._quick = _started(_QUICK_THREADS)
        self._pictures = _started(_PICTURE_THREADS)
        self._others = _started(threads)

    def add_task(self, channel: Any) -> None:
        """Has the first request of `channel` answered by a thread of its lane."""
        request = channel.requests[0]
        path = getattr(request, "path", "")
        if request.error or path in _QUICK:
            self._quick.add_task(channel)
        elif path.startswith(_PICTURES):
            self._pictures.add_task(channel)
        else:
            self._others.add_task(channel)

    def shutdown(self, seconds: float) -> None:
        """Ends the threads: those that rest at once, the others after what they do."""
        end = time.monotonic() + seconds
        for lane in (self._quick, self._pictures, self._others):
            lane.shutdown(timeout=max(0.1, end - time.monotonic()))


def _started(threads: int) -> Any:
    lane = ThreadedTaskDispatcher()
    lane.set_thread_count(threads)
    return lane
