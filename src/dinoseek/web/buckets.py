"""How often each of many clients may do something: token buckets, of which few are remembered."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable


class Buckets:
    """Lets each client do something `per_minute` times a minute, and as often at once.

    The `most` clients seen last are remembered; one that is forgotten begins with a full bucket.
    """

    def __init__(
        self,
        per_minute: int,
        *,
        most: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._size, self._rate = float(per_minute), per_minute / 60
        self._most = most
        self._clock = clock
        self._lock = threading.Lock()
        self._levels: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def take(self, client: Hashable) -> float:
        """0.0 if the client may; else the seconds after which it may, and nothing is taken."""
        if not self._rate:
            return 0.0
        with self._lock:
            now = self._clock()
            level, since = self._levels.pop(client, (self._size, now))
            level = min(self._size, level + (now - since) * self._rate)
            missing = max(0.0, 1.0 - level)
            self._levels[client] = (level if missing else level - 1.0, now)
            while len(self._levels) > self._most:
                self._levels.popitem(last=False)
        return missing / self._rate

    def __len__(self) -> int:
        return len(self._levels)
