"""How sure a mean over queries is: percentile bootstrap intervals, and paired tests of differences.

Queries are drawn again with replacement (Efron and Tibshirani, 1993, chapters 13 and 15). Where
several queries show one thing, such as the five of each building in Oxford, they rise and fall
together; `groups` are then drawn instead, and the interval is wider, as it should be.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dinoseek.evaluation.metrics import Values

LEVEL = 0.95
DRAWS = 2000
_DRAWS_AT_ONCE = 64


class Interval(NamedTuple):
    """A mean over queries and its interval."""

    value: float
    low: float
    high: float


def intervals(
    values: Mapping[str, Values],
    groups: NDArray[np.integer] | None = None,
    *,
    level: float = LEVEL,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, Interval]:
    """The mean of each measure's values (q,), NaN left out, and its interval.

    All measures are drawn with the same queries. With a single group the interval is the mean.
    """
    columns = np.stack(list(values.values()), axis=1)  # (q, v)
    counts, sums = _of_groups(columns, groups)
    means = _ratio(sums.sum(axis=0), counts.sum(axis=0))
    drawn = _drawn(sums, counts, draws, seed)
    tails = [(1 - level) / 2, (1 + level) / 2]
    with np.errstate(invalid="ignore"):
        ends = np.stack([_quantiles(drawn[:, i], tails) for i in range(drawn.shape[1])])
    return {
        name: Interval(float(mean), float(low), float(high))
        for name, mean, (low, high) in zip(values, means, ends, strict=True)
    }


def paired_p_value(
    first: Values,
    second: Values,
    groups: NDArray[np.integer] | None = None,
    *,
    draws: int = 10_000,
    seed: int = 0,
) -> float:
    """How often chance alone makes two systems differ at least as much: a randomisation test.

    Where nothing sets them apart, each query's values (q,) could as well be exchanged; so the signs
    of the differences are drawn (Smucker et al., CIKM 2007), of all queries of a group together.
    """
    known = np.isfinite(first) & np.isfinite(second)
    difference = np.where(known, second - first, 0.0)
    _, sums = _of_groups(difference[:, None], groups)
    observed = abs(float(sums.sum()))
    rng = np.random.default_rng(seed)
    reached = 0
    for start in range(0, draws, _DRAWS_AT_ONCE):
        count = min(_DRAWS_AT_ONCE, draws - start)
        signs = rng.integers(0, 2, (count, len(sums)), dtype=np.int8) * 2.0 - 1
        reached += int(np.count_nonzero(abs(signs @ sums[:, 0]) >= observed * (1 - 1e-12)))
    return (reached + 1) / (draws + 1)  # the observed signs are one of the draws


def _of_groups(columns: Values, groups: NDArray[np.integer] | None) -> tuple[Values, Values]:
    """How many values each group has, and their sums: (g, v) each."""
    known = np.isfinite(columns)
    filled = np.where(known, columns, 0.0)
    if groups is None:
        return known.astype(np.float64), filled
    _, number = np.unique(groups, return_inverse=True)
    counts = np.zeros((number.max(initial=-1) + 1, columns.shape[1]))
    sums = np.zeros_like(counts)
    np.add.at(counts, number, known)
    np.add.at(sums, number, filled)
    return counts, sums


def _drawn(sums: Values, counts: Values, draws: int, seed: int) -> Values:
    """The means (draws, v) of groups drawn with replacement."""
    rng = np.random.default_rng(seed)
    both = np.concatenate([sums, counts], axis=1)
    size = len(sums)
    found = []
    for start in range(0, draws, _DRAWS_AT_ONCE):
        weights = np.stack(
            [
                np.bincount(rng.integers(0, size, size), minlength=size)
                for _ in range(min(_DRAWS_AT_ONCE, draws - start))
            ]
        )
        totals = weights.astype(np.float64) @ both
        found.append(_ratio(totals[:, : sums.shape[1]], totals[:, sums.shape[1] :]))
    return np.concatenate(found)


def _ratio(sums: Values, counts: Values) -> Values:
    return np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)


def _quantiles(column: Values, tails: list[float]) -> Values:
    known = column[np.isfinite(column)]
    return np.quantile(known, tails) if len(known) else np.full(2, np.nan)
