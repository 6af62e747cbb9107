"""Where the positives of each query stand: counted from scores, block by block, or in a ranking.

Nothing is sorted that need not be: the rank of an image is how many score higher. So a million
distractors cost one pass over their vectors, and rankings of 60,502 queries are never kept.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from typing import NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from dinoseek.evaluation.truth import Ids, Truth
from dinoseek.images.ahead import ahead
from dinoseek.pooling import unit
from dinoseek.vit import blas
from dinoseek.vit.ops import Array

T = TypeVar("T")
R = TypeVar("R")
Blocks: TypeAlias = Callable[[], Iterable[Array]]

_SCORES_AT_ONCE = 1 << 26  # 256 MiB of float32, in all threads
_QUERIES_AT_ONCE = 512
_ROWS_AT_ONCE = 8192
_ITEMS_AT_ONCE = 64
_FEW = 32  # up to so many ranks a query, counting is quicker than sorting
_MISSING = np.finfo(np.float32).min  # below every cosine, above what is taken out


class Found(NamedTuple):
    """One query: the ranks (n,), from 0, of images; how many of them share their score with others.

    What is taken out of the ranking has no rank and is not counted.
    """

    ranks: Ids
    tied: int


def score_vectors(
    queries: Array,
    gallery: Array,
    truth: Truth,
    *,
    missing: NDArray[np.bool_] | None = None,
    distractors: Blocks | None = None,
) -> Iterator[Found]:
    """The ranks of the positives of each query, ascending, from queries (q, d) and gallery (m, d).

    Rows are of unit length. Equal scores rank by row, `distractors` (blocks of rows that are
    nobody's positives) after the gallery. Rows that are `missing` (m,) rank behind everything that
    is there. Junk is taken out.
    """
    wanted = [truth.positives_of(query) for query in range(len(truth))]
    found = ranks_of(queries, gallery, wanted, truth.junk, missing=missing, distractors=distractors)
    return (Found(np.sort(each.ranks), each.tied) for each in found)


def score_ranking(ranking: NDArray[np.integer], truth: Truth) -> Iterator[Found]:
    """The ranks of the positives of each query, ascending, in a ranking (m, q) of gallery rows."""
    for query in range(len(truth)):
        places = places_in(ranking[:, query])
        junk = np.sort(places[truth.junk[query]])
        yield Found(without(np.sort(places[truth.positives_of(query)]), junk), 0)


def places_in(order: NDArray[np.integer]) -> Ids:
    """The rank of each row (m,) of the gallery; `order` (m,) has the rows from best to worst."""
    places = np.empty(len(order), np.int64)
    places[order] = np.arange(len(order))
    return places


def without(ranks: Ids, junk: Ids) -> Ids:
    """Ranks (n,) after what stands at the ranks `junk` (j,), ascending, is taken out."""
    return ranks - np.searchsorted(junk, ranks)


def ranks_of(
    queries: Array,
    gallery: Array,
    wanted: Sequence[Ids],
    junk: Sequence[Ids],
    *,
    missing: NDArray[np.bool_] | None = None,
    distractors: Blocks | None = None,
) -> Iterator[Found]:
    """The ranks of the rows `wanted` of each query, in their order; see `score_vectors`."""
    if len(queries) != len(wanted):
        raise ValueError(f"{len(queries)} queries, but {len(wanted)} of which something is wanted")
    # Distractors are read once for all queries of a block, so then a block takes all cores.
    threads = 1 if distractors is not None else blas.thread_count()
    most = min(_QUERIES_AT_ONCE, -(-len(queries) // threads))
    step = max(1, min(most, _SCORES_AT_ONCE // threads // max(len(gallery), 1)))
    parts = [slice(start, start + step) for start in range(0, len(queries), step)]
    scorer = _Scorer(queries, gallery, wanted, junk, missing, step)
    with (
        ThreadPoolExecutor(blas.thread_count()) as pool,
        blas.one_thread() if threads > 1 else nullcontext(),
    ):
        for part, counted in ahead(scorer.counted, parts, workers=threads, depth=2 * threads):
            if distractors is not None:
                counted = _behind(queries[part], counted, distractors, pool)
            yield from (Found(each.above, each.tied) for each in counted)


class _Scorer:
    """Scores blocks of queries and counts, each thread in a room of its own for the scores.

    A thread multiplies on one core and counts what it has made, rather than that all multiply and
    then all count: BLAS threads that wait for their next product keep their core busy.
    """

    def __init__(
        self,
        queries: Array,
        gallery: Array,
        wanted: Sequence[Ids],
        junk: Sequence[Ids],
        missing: NDArray[np.bool_] | None,
        step: int,
    ) -> None:
        self._queries, self._gallery = queries, gallery
        self._wanted, self._junk, self._missing = wanted, junk, missing
        self._copies, self._originals = equal_rows(gallery)
        self._step = step
        self._local = threading.local()

    def counted(self, part: slice) -> tuple[slice, list["_Counted"]]:
        """What is counted for the queries of a part, in their order."""
        block = self._queries[part]
        wanted, junk = self._wanted[part], self._junk[part]
        few = sum(map(len, wanted)) <= _FEW * len(block)
        scores = _scores(block, self._gallery, self._room()[: len(block)], few=few)
        if self._missing is not None:
            scores[:, self._missing] = _MISSING
        if few:
            scores[:, self._copies] = scores[:, self._originals]
        count = _counted_one_by_one if few else _counted_by_sort
        return part, [count(_Row(*each)) for each in zip(scores, wanted, junk, strict=True)]

    def _room(self) -> Array:
        if not hasattr(self._local, "room"):
            self._local.room = np.empty((self._step, len(self._gallery)), np.float32)
        room: Array = self._local.room
        return room


def equal_rows(rows: Array) -> tuple[Ids, Ids]:
    """The rows (n,) that equal one above them, and the first that each equals (n,).

    BLAS adds in an order that depends on where a row stands, so equal rows can get scores that
    differ in the last bits, as gallery/exact.py explains. Which of two equal pictures ranks higher
    must not depend on that.
    """
    seen: dict[int, int] = {}
    pairs = []
    for i, row in enumerate(rows):
        first = seen.setdefault(hash(row.tobytes()), i)
        if first != i and np.array_equal(rows[first], row):
            pairs.append((i, first))
    found = np.array(pairs, np.int64).reshape(len(pairs), 2)
    return found[:, 0], found[:, 1]


def _scores(block: Array, gallery: Array, out: Array, *, few: bool) -> Array:
    """Inner products (b, m), in float32, or in float64 and rounded once."""
    if few:
        return np.matmul(block, gallery.T, out=out)  # (b, d) -> (b, m)
    precise_block = block.astype(np.float64)
    for start in range(0, len(gallery), _ROWS_AT_ONCE):
        rows = gallery[start : start + _ROWS_AT_ONCE].astype(np.float64)
        out[:, start : start + len(rows)] = precise_block @ rows.T
    return out


def _of_each(pool: ThreadPoolExecutor, function: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """What the function makes of each item; some at once, as a task of its own is dear."""
    parts = [
        items[start : start + _ITEMS_AT_ONCE] for start in range(0, len(items), _ITEMS_AT_ONCE)
    ]
    found = pool.map(lambda part: [function(item) for item in part], parts)
    return [each for part in found for each in part]


class _Row(NamedTuple):
    """The scores (m,) of one query, which may be overwritten, and its rows of the gallery."""

    scores: Array
    wanted: Ids
    junk: Ids


class _Counted(NamedTuple):
    """Of n rows: their scores (n,), how many rank above each (n,), how many are tied."""

    scores: Array
    above: Ids
    tied: int


def _counted_one_by_one(row: _Row) -> _Counted:
    """Counts for each of few rows: two passes over the scores, and no sorting.

    Only where some score is there twice is it asked which.
    """
    scores, wanted, junk = row
    scores[junk] = -np.inf
    own = scores[wanted]
    above = np.array([np.count_nonzero(scores > score) for score in own], np.int64)
    equal = np.zeros(len(scores), np.bool_)
    for score in own:
        equal |= scores == score
    tied = 0
    if np.count_nonzero(equal) > len(own) or len(set(own.tolist())) < len(own):
        for i, (place, score) in enumerate(zip(wanted.tolist(), own, strict=True)):
            level = np.flatnonzero(scores == score)
            above[i] += np.count_nonzero(level < place)
            tied += int(len(level) > 1 and score > _MISSING)
    return _Counted(own, above, tied)


def _counted_by_sort(row: _Row) -> _Counted:
    """Counts for many rows at once, by sorting scores that are exact."""
    scores, wanted, junk = row
    scores[junk] = -np.inf
    own = scores[wanted]
    ordered = np.sort(scores)
    end = np.searchsorted(ordered, own, "right")
    above = len(scores) - end
    tied = end - np.searchsorted(ordered, own, "left") > 1
    for i in np.flatnonzero(tied):  # of equal scores, those in lower rows rank above
        above[i] += np.count_nonzero(scores[: wanted[i]] == own[i])
    return _Counted(own, above, int(np.count_nonzero(tied & (own > _MISSING))))


def _behind(
    block: Array, counted: list[_Counted], distractors: Blocks, pool: ThreadPoolExecutor
) -> list[_Counted]:
    """What was counted, with the distractors that score higher; an equal one ranks behind."""
    above = [each.above.copy() for each in counted]
    precise_block = block.astype(np.float64)
    for rows in distractors():
        scores = (precise_block @ rows.T.astype(np.float64)).astype(np.float32)  # (b, d) -> (b, n)
        pairs = zip(scores, (each.scores for each in counted), strict=True)
        for i, higher in enumerate(_of_each(pool, _higher, list(pairs))):
            above[i] += higher
    return [
        _Counted(each.scores, ranks, each.tied) for each, ranks in zip(counted, above, strict=True)
    ]


def _higher(pair: tuple[Array, Array]) -> Ids:
    scores, own = pair
    return len(scores) - np.searchsorted(np.sort(scores), own, "right")


def blocks(vectors: Array, rows: int = 16_384) -> Blocks:
    """A matrix (n, d), which may be mapped from a file, as blocks of unit rows in float32."""
    return partial(_blocks, vectors, rows)


def _blocks(vectors: Array, rows: int) -> Iterator[Array]:
    for start in range(0, len(vectors), rows):
        yield unit(np.asarray(vectors[start : start + rows], np.float32))
