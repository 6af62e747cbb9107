"""How often somebody may try a password or a token: a few times, then after a while again."""

import threading
import time
from collections import OrderedDict

from django.http import HttpRequest

_TRIES, _SECONDS = 10, 300.0
_MOST = 10_000  # that are remembered


class TooManyTriesError(Exception):
    """Somebody tried too often; `retry_after` is in seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"too many tries, again in {retry_after} seconds")
        self.retry_after = retry_after


_lock = threading.Lock()
_tried: OrderedDict[tuple[str, str], tuple[int, float]] = OrderedDict()


def check_tries(request: HttpRequest, what: str) -> None:
    """Counts a try of this client's address; TooManyTriesError if there were too many."""
    key = (str(request.META.get("REMOTE_ADDR", "")), what)
    now = time.monotonic()
    with _lock:
        count, since = _tried.pop(key, (0, now))
        if now - since > _SECONDS:
            count, since = 0, now
        _tried[key] = (count + 1, since)
        while len(_tried) > _MOST:
            _tried.popitem(last=False)
    if count >= _TRIES:
        raise TooManyTriesError(int(since + _SECONDS - now) + 1)


def forget_tries(request: HttpRequest, what: str) -> None:
    """Forgets the tries of a client that has succeeded."""
    with _lock:
        _tried.pop((str(request.META.get("REMOTE_ADDR", "")), what), None)
