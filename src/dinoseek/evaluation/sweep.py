"""Which pooling, scales and re-ranking help: chosen on one half of the queries, shown on the other.

Every combination is measured on half of the queries and compared with the first. The best of those
that are better by more than chance is measured on the other half, which nothing else looks at: the
best of many looks better than it is where it was chosen.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dinoseek.errors import DataError
from dinoseek.evaluation.bootstrap import Interval, intervals
from dinoseek.evaluation.compare import ALPHA, LEAST_GROUPS, holm, p_value_of
from dinoseek.evaluation.dataset import Dataset
from dinoseek.evaluation.kinds import Kind
from dinoseek.evaluation.metrics import Values, measured
from dinoseek.evaluation.reordered import PatchesOf, timed_ranks
from dinoseek.evaluation.run import label_measures
from dinoseek.evaluation.truth import Ids
from dinoseek.rerank.options import Rerank, described, name_of

METRIC = "map@r"
_LEAST_QUERIES = 12  # of a half


@dataclass(frozen=True, kw_only=True)
class SweepOptions:
    """How combinations are compared: `alpha` is the chance of one mistake among all of them."""

    metric: str = METRIC
    seed: int = 0
    alpha: float = ALPHA


@dataclass(frozen=True, kw_only=True)
class Tried:
    """One combination on the half that is chosen by: `value` is its mean, `gain` over the first.

    `p_value` is corrected by Holm for the number of combinations; the first has neither.
    Milliseconds are of an image's model and of a query's ranking; None where nothing was embedded.
    """

    pooling: str
    scales: str
    rerank: str
    value: Interval
    gain: Interval | None
    p_value: float | None
    image_ms: float | None
    query_ms: float

    @property
    def name(self) -> str:
        return f"{self.pooling}/{self.scales}/{self.rerank}"


@dataclass(frozen=True, kw_only=True)
class Shown:
    """The chosen combination and the first on the half that nothing was chosen by."""

    first: Interval
    chosen: Interval
    gain: Interval
    p_value: float
    queries: int


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """What a sweep found. `chosen` is the best that is better than the first; None if none is.

    It is `recommended` if the other half, `shown`, has the gain too.
    """

    protocol: str
    metric: str
    alpha: float
    halves: str
    queries: int
    tried: Sequence[Tried]
    chosen: Tried | None
    shown: Shown | None

    @property
    def recommended(self) -> Tried | None:
        if self.chosen is None or self.shown is None:
            return None
        held = self.shown.gain.value > 0 and self.shown.p_value < self.alpha
        return self.chosen if held else None


@dataclass(frozen=True)
class _Combination:
    kind: Kind
    rerank: Rerank | None


def sweep(
    dataset: Dataset,
    kinds: Sequence[Kind],
    reranks: Sequence[Rerank | None],
    options: SweepOptions,
    *,
    patches: PatchesOf | None = None,
    watched: Callable[[Iterable[_Combination]], Iterable[_Combination]] = iter,
) -> Sweep:
    """Tries each kind of vectors (n, d) with each re-ranking; the first of both is what to beat.

    All images have vectors. Raises DataError sweep.few where a half would be too small to tell.
    """
    (validation, held), by = halves(dataset, options.seed)
    combinations = [_Combination(kind, rerank) for kind in kinds for rerank in reranks]
    rows = [_measured(validation, each, options, patches) for each in watched(combinations)]
    values = [value for value, _ in rows]
    groups = validation.numbers[validation.queries]
    p_values = holm([p_value_of(values[0], each, groups, seed=options.seed) for each in values[1:]])
    tried = [
        _tried(each, values[0], *row, None if i == 0 else p_values[i - 1], options)
        for i, (each, row) in enumerate(zip(combinations, rows, strict=True))
    ]
    best = _best(tried, options.alpha)
    return Sweep(
        protocol=f"{dataset.name}/sweep/seed{options.seed}",
        metric=options.metric,
        alpha=options.alpha,
        halves=by,
        queries=len(validation.queries),
        tried=tried,
        chosen=None if best is None else tried[best],
        shown=None
        if best is None
        else _shown(held, combinations[0], combinations[best], options, patches),
    )


def halves(dataset: Dataset, seed: int = 0) -> tuple[tuple[Dataset, Dataset], str]:
    """Two halves of the queries that have something to find, and what was halved.

    Classes are, where each half gets enough of them: then the other half has new ones. The gallery
    is the same for both.
    """
    truth = dataset.truth()
    useful = np.array([i for i in range(len(truth)) if len(truth.positives_of(i))], np.int64)
    if len(useful) < 2 * _LEAST_QUERIES:
        reason = f"it has {len(useful)} queries that can find something, a sweep needs"
        reason += f" {2 * _LEAST_QUERIES}"
        raise DataError("sweep.few", dataset.name, reason, fix="label more images")
    rng = np.random.default_rng(seed)
    classes = dataset.numbers[dataset.queries[useful]]
    names = rng.permutation(np.unique(classes))
    by_class = len(names) >= 2 * LEAST_GROUPS
    if by_class:
        inside = np.isin(classes, names[: len(names) // 2])
    else:
        inside = np.isin(np.arange(len(useful)), rng.permutation(len(useful))[: len(useful) // 2])
    parts = [dataset.queries[useful[side]] for side in (inside, ~inside)]
    first, second = (replace(dataset, queries=np.asarray(part, np.int64)) for part in parts)
    return (first, second), "classes" if by_class else "queries"


def _measured(
    dataset: Dataset, combination: _Combination, options: SweepOptions, patches: PatchesOf | None
) -> tuple[Values, float]:
    """The metric of each query (q,), and the milliseconds of one."""
    measure = label_measures(dataset.cutoffs)[options.metric]
    matrix = combination.kind.vectors.matrix
    timed = list(timed_ranks(dataset, matrix, combination.rerank, patches))
    values, _, _ = measured((each.found for each in timed), {options.metric: measure})
    return values[options.metric], 1000 * float(np.mean([each.seconds for each in timed]))


def _tried(
    combination: _Combination,
    first: Values,
    values: Values,
    query_ms: float,
    p_value: float | None,
    options: SweepOptions,
) -> Tried:
    made = combination.kind.vectors.made
    found = intervals({"value": values, "gain": values - first}, seed=options.seed)
    return Tried(
        pooling=made.pooling,
        scales=made.said_scales,
        rerank=_named(combination.rerank),
        value=found["value"],
        gain=None if p_value is None else found["gain"],
        p_value=p_value,
        image_ms=combination.kind.image_ms,
        query_ms=query_ms,
    )


def _named(rerank: Rerank | None) -> str:
    """A way of re-ranking by its name, with its settings where they are not the usual ones."""
    if rerank is None:
        return "none"
    return name_of(rerank) if rerank == type(rerank)() else described(rerank)


def _best(tried: Sequence[Tried], alpha: float) -> int | None:
    """The best of those that are better by more than chance; of equal ones the cheaper."""
    better = [
        i
        for i, each in enumerate(tried)
        if each.p_value is not None and each.gain is not None
        if each.p_value < alpha and each.gain.value > 0
    ]
    cost = [(each.image_ms or 0) + each.query_ms for each in tried]
    return max(better, key=lambda i: (tried[i].value.value, -cost[i]), default=None)


def _shown(
    held: Dataset,
    first: _Combination,
    chosen: _Combination,
    options: SweepOptions,
    patches: PatchesOf | None,
) -> Shown:
    """Both combinations on the half that nothing was chosen by."""
    before, _ = _measured(held, first, options, patches)
    after, _ = _measured(held, chosen, options, patches)
    columns = {"first": before, "chosen": after, "gain": after - before}
    groups: Ids = held.numbers[held.queries]
    return Shown(
        **intervals(columns, seed=options.seed),
        p_value=p_value_of(before, after, groups, seed=options.seed),
        queries=len(before),
    )
