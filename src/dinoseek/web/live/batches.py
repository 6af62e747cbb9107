"""Pictures of many requests embedded together, by one thread, from a queue that cannot grow.

Whatever waits when the thread is free goes as one batch; nothing waits for a batch to fill up. So a
single picture is as quick as it can be, and many share the cost.
"""

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from dinoseek.embedder import Prepared
from dinoseek.vit.ops import Array
from dinoseek.web.live.busy import Busy, Gone
from dinoseek.web.live.timings import Timings
from dinoseek.web.live.turns import LOOK_EVERY, PATIENCE, always

logger = logging.getLogger(__name__)

_LONGEST_RETRY = 30  # seconds
_SMOOTHING = 0.2  # how much the latest batch counts in the mean time for a picture


class _Work:
    """One picture (H, W, 3) that somebody waits for, and then its vector (d,) or what went wrong.

    `queued` and `embedding` are seconds.
    """

    def __init__(self, image: Prepared, is_wanted: Callable[[], bool]) -> None:
        self.image = image
        self.is_wanted = is_wanted
        self.done = threading.Event()
        self.vector: Array | None = None
        self.error: BaseException | None = None
        self.since = time.perf_counter()
        self.queued = self.embedding = 0.0

    def end(self, vector: Array | None, error: BaseException | None = None) -> None:
        self.vector, self.error = vector, error
        self.done.set()


class Batches:
    """A thread that embeds what others bring; `vectors` is that of an Embedder.

    `waiting` pictures may wait while one batch of up to `batch_size` is embedded.
    """

    def __init__(
        self,
        vectors: Callable[[Sequence[Prepared]], Array],
        *,
        waiting: int = 16,
        batch_size: int = 8,
        timings: Timings,
    ) -> None:
        self._vectors = vectors
        self.places = waiting + batch_size
        self._batch_size = batch_size
        self._timings = timings
        self._queue: deque[_Work] = deque()
        self._present = 0  # pictures in the batch that is being embedded
        self._each = 0.0  # seconds for a picture, a moving mean
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="dinoseek-batches", daemon=True)
        self._thread.start()

    @property
    def depth(self) -> int:
        """How many pictures wait or are embedded."""
        return len(self._queue) + self._present

    @property
    def is_full(self) -> bool:
        """Whether a picture would be turned away."""
        return self.depth >= self.places

    @property
    def retry_after(self) -> int:
        """In how many seconds, 1 or more, what now waits will be done."""
        return min(max(1, math.ceil(self.depth * self._each)), _LONGEST_RETRY)

    def close(self) -> None:
        """Ends the thread after its batch; whoever still waits gets Busy."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def embed(
        self,
        image: Prepared,
        *,
        is_wanted: Callable[[], bool] = always,
        seconds: float = PATIENCE,
    ) -> Array:
        """The vector (d,) of a prepared picture (H, W, 3).

        Raises Busy if too many wait, or this one did longer than `seconds`; Gone once `is_wanted`
        says so, which may be asked in another thread; and what the encoder raises.
        """
        work = self._enqueued(image, is_wanted)
        try:
            self._wait(work, time.monotonic() + seconds)
        finally:
            self._drop(work)
        if work.error is not None:
            raise work.error
        if work.vector is None:
            raise Busy(self.retry_after)  # the thread has ended
        self._timings.observe("queue", work.queued)
        self._timings.observe("embed", work.embedding)
        return work.vector

    def _enqueued(self, image: Prepared, is_wanted: Callable[[], bool]) -> _Work:
        with self._changed:
            if self._closed or self.is_full:
                raise Busy(self.retry_after)
            work = _Work(image, is_wanted)
            self._queue.append(work)
            self._changed.notify_all()
        return work

    def _wait(self, work: _Work, until: float) -> None:
        while not work.done.wait(LOOK_EVERY):
            if not work.is_wanted():
                raise Gone
            if time.monotonic() > until:
                raise Busy(self.retry_after)

    def _drop(self, work: _Work) -> None:
        """Takes it out of the queue, if it is still there."""
        if not work.done.is_set():
            with self._changed:
                if work in self._queue:
                    self._queue.remove(work)

    def _run(self) -> None:
        while batch := self._next():
            try:
                self._embed([work for work in batch if _is_still_wanted(work)])
            finally:
                self._present = 0
        with self._changed:
            for work in self._queue:
                work.end(None)
            self._queue.clear()

    def _next(self) -> list[_Work]:
        """Takes the first that waits, and what can go with it; empty at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._queue)
            if self._closed:
                return []
            shape = self._queue[0].image.shape
            batch = [work for work in self._queue if work.image.shape == shape]
            batch = batch[: self._batch_size]
            for work in batch:
                self._queue.remove(work)
            self._present = len(batch)
            return batch

    def _embed(self, batch: list[_Work]) -> None:
        if not batch:
            return
        start = time.perf_counter()
        for work in batch:
            work.queued = start - work.since
        try:
            vectors = self._vectors([work.image for work in batch])  # b (H, W, 3) -> (b, d)
            found = dict(zip(batch, vectors, strict=True))
        except Exception as exc:
            logger.warning("a batch of %d pictures failed: %s", len(batch), exc)
            for work in batch:
                work.end(None, exc)
            return
        took = time.perf_counter() - start
        self._each += _SMOOTHING * (took / len(batch) - self._each)
        for work, vector in found.items():
            work.embedding = took
            work.end(vector)


def _is_still_wanted(work: _Work) -> bool:
    """Whether to embed it; asked in this thread, so nothing that goes wrong may end it."""
    try:
        if work.is_wanted():
            return True
        work.end(None, Gone())
    except Exception as exc:
        work.end(None, exc)
    return False
