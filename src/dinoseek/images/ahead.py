"""Working ahead of a consumer in threads, a bounded number of items, in order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def ahead(
    function: Callable[[T], R], items: Iterable[T], *, workers: int, depth: int
) -> Iterator[R]:
    """Yields `function(item)` of each item in order, computed up to `depth` items ahead.

    An exception, of the function or of the items themselves, is raised where its result would have
    come, after all results before it. If the consumer stops early, what has not begun is dropped
    and what has is waited for, so no thread is left.
    """
    if workers < 1 or depth < 1:
        raise ValueError(f"workers is {workers} and depth is {depth}, both must be at least 1")
    return _ahead(function, items, workers, depth)


def _ahead(function: Callable[[T], R], items: Iterable[T], workers: int, depth: int) -> Iterator[R]:
    pool = ThreadPoolExecutor(workers, thread_name_prefix="dinoseek-ahead")
    queue: deque[Future[R]] = deque()
    try:
        for future in _submitted(pool, function, items):
            queue.append(future)
            if len(queue) == depth:
                yield queue.popleft().result()
        while queue:
            yield queue.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _submitted(
    pool: ThreadPoolExecutor, function: Callable[[T], R], items: Iterable[T]
) -> Iterator[Future[R]]:
    try:
        for item in items:
            yield pool.submit(function, item)
    except Exception as exc:  # of the items: it waits its turn behind the results before it
        failed: Future[R] = Future()
        failed.set_exception(exc)
        yield failed
