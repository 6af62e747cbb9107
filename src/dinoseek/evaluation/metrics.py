"""The measures of retrieval, each a function of where one query's positives stand.

Ranks (n,) ascend, begin at 0, and hold every positive: what was taken out of the ranking, as junk
or as the query itself, is not counted. A query without positives has no value: NaN.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from dinoseek.evaluation.scoring import Found
from dinoseek.evaluation.truth import Ids

Values = NDArray[np.float64]
Measure = Callable[[Ids], float]

RECALL_LEVELS = np.linspace(0, 1, 101)  # of the precision-recall curve


def first_rank(ranks: Ids) -> float:
    """Where the best positive stands."""
    return float(ranks[0])


def recall_at(k: int, ranks: Ids) -> float:
    """1 if a positive is among the first k, else 0: what the metric-learning papers call R@K."""
    return float(ranks[0] < k)


def precision_at(k: int, ranks: Ids) -> float:
    """The share of positives among the first k."""
    return float(np.count_nonzero(ranks < k) / k)


def r_precision(ranks: Ids) -> float:
    """The share of positives among the first R, where R is how many positives there are."""
    return precision_at(len(ranks), ranks)


def map_at_r(ranks: Ids) -> float:
    """MAP@R (Musgrave, 2020): precision at each positive among the first R, sum over R."""
    precisions = _precisions(ranks)
    return float(precisions[ranks < len(ranks)].sum() / len(ranks))


def average_precision(ranks: Ids) -> float:
    """The mean of the precision at each positive."""
    return float(_precisions(ranks).mean())


def trapezoid_average_precision(ranks: Ids) -> float:
    """Average precision as revisited Oxford and Paris define it: by the trapezoidal rule.

    Before each positive precision is j / rank, with 1 at rank 0, and after it (j + 1) / (rank + 1);
    the two are averaged. One positive at the second place gives 0.25, not 0.5.
    """
    j = np.arange(len(ranks))
    before = np.where(ranks == 0, 1.0, j / np.maximum(ranks, 1))
    return float((before + _precisions(ranks)).sum() / 2 / len(ranks))


def revisited_precision_at(k: int, ranks: Ids) -> float:
    """mP@k of revisited Oxford and Paris: k is the last positive's place, if that is less."""
    k = min(int(ranks[-1]) + 1, k)
    return float(np.count_nonzero(ranks < k) / k)


def _precisions(ranks: Ids) -> Values:
    """The precision (n,) at each positive."""
    return np.arange(1, len(ranks) + 1) / (ranks + 1)


def measured(
    found: Iterable[Found], measures: Mapping[str, Measure]
) -> tuple[dict[str, Values], int, Values]:
    """Each measure's values (q,), how many positives were tied, and the precision-recall curve.

    The curve (101,) is the mean over queries of the best precision at that recall or more.
    """
    rows: list[list[float]] = []
    tied, curve, counted = 0, np.zeros(len(RECALL_LEVELS)), 0
    for ranks, ties in found:
        tied += ties
        if not len(ranks):
            rows.append([np.nan] * len(measures))
            continue
        rows.append([measure(ranks) for measure in measures.values()])
        curve += precision_at_recall(ranks)
        counted += 1
    columns = np.array(rows, np.float64).reshape(len(rows), len(measures))
    values = {name: columns[:, i] for i, name in enumerate(measures)}
    return values, tied, curve / max(counted, 1)


def precision_at_recall(ranks: Ids) -> Values:
    """The best precision at each of RECALL_LEVELS or more: (101,)."""
    best: Values = np.maximum.accumulate(_precisions(ranks)[::-1])[::-1]
    return best[_needed(len(ranks))]


@lru_cache(maxsize=256)
def _needed(count: int) -> Ids:
    """Which of `count` positives reaches each of RECALL_LEVELS: (101,)."""
    needed = np.ceil(RECALL_LEVELS * count - 1e-9).astype(np.int64) - 1
    return np.asarray(np.maximum(needed, 0))
