"""Whether one model is better than another on the same queries, or only luckier."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dinoseek.errors import UsageError
from dinoseek.evaluation.bootstrap import intervals, paired_p_value
from dinoseek.evaluation.metrics import Values
from dinoseek.evaluation.result import Saved

Verdict = Literal["better", "worse", "no difference shown"]

ALPHA = 0.05
LEAST_GROUPS = 12  # below which the signs of groups have too few combinations to be a test


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One metric of two evaluations: their means over the queries that both have values of.

    `low` and `high` are the interval of `difference`. `p_value` is the chance of a difference so
    large without any cause; but for the main metric, after Holm's correction for their number.
    """

    name: str
    first: float
    second: float
    difference: float
    low: float
    high: float
    p_value: float
    queries: int
    verdict: Verdict


def compare(
    first: Saved, second: Saved, *, alpha: float = ALPHA, seed: int = 0
) -> list[Difference]:
    """The differences of two evaluations of one data set and protocol, metric by metric.

    A difference is only called one if p is below `alpha` when single queries are exchanged between
    the two, and also, where there are enough, when whole groups of queries are: a model that gained
    on one class has not gained in general. Raises UsageError evaluate.compare for evaluations of
    different queries or protocols.
    """
    _check(first, second)
    names = [name for name in first.values if name in second.values]
    p_values = {
        name: p_value_of(first.values[name], second.values[name], first.groups, seed=seed)
        for name in names
    }
    others = [name for name in names if name != first.headline]
    p_values |= dict(zip(others, holm([p_values[name] for name in others]), strict=True))
    return [_difference(first, second, name, p_values[name], alpha, seed) for name in names]


def _check(first: Saved, second: Saved) -> None:
    subject = f"{first.path} and {second.path}"
    if first.protocol != second.protocol:
        reason = f"one is {first.protocol}, the other {second.protocol}"
        fix = "measure both in the same way"
        raise UsageError("evaluate.compare", subject, reason, fix=fix)
    if list(first.queries) != list(second.queries):
        reason = f"they have different queries ({len(first.queries):,} and {len(second.queries):,})"
        fix = "measure both on the same images"
        raise UsageError("evaluate.compare", subject, reason, fix=fix)
    if not first.values.keys() & second.values.keys():
        raise UsageError("evaluate.compare", subject, "they have no metric in common")


def p_value_of(first: Values, second: Values, groups: NDArray[Any], *, seed: int = 0) -> float:
    """The larger of the two tests' values: by queries (q,), and by groups (q,) of them."""
    p_value = paired_p_value(first, second, seed=seed)
    if len(np.unique(groups)) >= LEAST_GROUPS:
        numbers = np.asarray(groups, np.int64)
        p_value = max(p_value, paired_p_value(first, second, numbers, seed=seed))
    return p_value


def holm(p_values: Sequence[float]) -> list[float]:
    """Values of several tests, each as if it were the only one (Holm, 1979)."""
    order = np.argsort(p_values, kind="stable")
    corrected, running = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order.tolist()):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = running
    return corrected


def _difference(
    first: Saved, second: Saved, name: str, p_value: float, alpha: float, seed: int
) -> Difference:
    one, two = _both(first.values[name], second.values[name])
    found = intervals({"difference": two - one}, seed=seed)["difference"]
    verdict: Verdict = "no difference shown"
    if p_value < alpha and found.value:
        verdict = "better" if found.value > 0 else "worse"
    return Difference(
        name=name,
        first=float(one.mean()) if len(one) else float("nan"),
        second=float(two.mean()) if len(two) else float("nan"),
        difference=found.value,
        low=found.low,
        high=found.high,
        p_value=p_value,
        queries=len(one),
        verdict=verdict,
    )


def _both(first: Values, second: Values) -> tuple[Values, Values]:
    """The values of queries that have one in both."""
    known = np.isfinite(first) & np.isfinite(second)
    return first[known], second[known]
