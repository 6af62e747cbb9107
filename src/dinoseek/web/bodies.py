"""How many bytes of request bodies are in memory at the same time, over all connections."""

import threading


class Bodies:
    """A budget of `limit` bytes, shared by threads."""

    def __init__(self, limit: int) -> None:
        self.held = 0
        self._limit = limit
        self._lock = threading.Lock()

    def take(self, size: int) -> bool:
        """Counts `size` bytes more, and says whether that is within the budget."""
        with self._lock:
            self.held += size
            return self.held <= self._limit

    def give(self, size: int) -> None:
        """Counts `size` bytes less."""
        with self._lock:
            self.held -= size
