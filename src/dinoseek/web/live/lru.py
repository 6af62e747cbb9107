"""Values of limited weight in memory, of which those that were used least recently go first."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Lru(Generic[K, V]):
    """A mapping whose values weigh `most` at most, by default one each; threads may share it."""

    def __init__(self, most: int, weight: Callable[[V], int] = lambda _: 1) -> None:
        self._most = most
        self._weight = weight
        self._total = 0
        self._lock = threading.Lock()
        self._values: OrderedDict[K, V] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: K) -> V | None:
        """The value of a key, None if it is not there (any more)."""
        with self._lock:
            if key not in self._values:
                return None
            self._values.move_to_end(key)
            return self._values[key]

    def put(self, key: K, value: V) -> None:
        """Keeps a value, unless it alone is too heavy."""
        with self._lock:
            self._drop(key)
            self._values[key] = value
            self._total += self._weight(value)
            while self._total > self._most:
                self._drop(next(iter(self._values)))

    def drop(self, key: K) -> None:
        """Forgets a key, if it is there."""
        with self._lock:
            self._drop(key)

    def _drop(self, key: K) -> None:
        if key in self._values:
            self._total -= self._weight(self._values.pop(key))
