"""What explains a number: the worst queries with their first hits, and how scores are spread."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dinoseek.evaluation.metrics import Values
from dinoseek.evaluation.result import Histogram
from dinoseek.evaluation.truth import Ids, Truth
from dinoseek.vit.ops import Array

HITS = 5
SAMPLED = 256  # queries whose scores are counted
_BINS = 100  # over all cosines, -1 to 1
_MISSING = np.finfo(np.float32).min


def worst_queries(values: Values, count: int) -> list[int]:
    """The `count` queries with the lowest values (q,), the lowest first; NaN is none."""
    known = np.flatnonzero(np.isfinite(values))
    order = known[np.argsort(values[known], kind="stable")]
    return [int(query) for query in order[:count]]


def first_hits(
    query: Array, gallery: Array, junk: Ids, missing: NDArray[np.bool_] | None = None
) -> list[tuple[int, float]]:
    """The first HITS rows of the gallery (m, d) for a query (d,), with their scores; no junk."""
    scores = gallery @ query
    if missing is not None:
        scores[missing] = _MISSING
    scores[junk] = -np.inf
    order = np.argsort(-scores, kind="stable")[:HITS]
    return [(int(row), float(scores[row])) for row in order if scores[row] > _MISSING]


def histogram(
    queries: Array, gallery: Array, truth: Truth, missing: NDArray[np.bool_] | None = None
) -> Histogram | None:
    """The scores of positives and of negatives, of SAMPLED queries spread over all (q, d)."""
    edges = np.linspace(-1, 1, _BINS + 1)
    right, wrong = np.zeros(_BINS, np.int64), np.zeros(_BINS, np.int64)
    chosen = np.linspace(0, len(queries) - 1, min(SAMPLED, len(queries))).astype(int)
    for query in chosen.tolist():
        kind = np.zeros(len(gallery), np.int8)
        kind[truth.positives_of(query)] = 1
        kind[truth.junk[query]] = -1
        if missing is not None:
            kind[missing] = -1
        scores = np.clip(gallery @ queries[query], -1, 1)
        right += np.histogram(scores[kind == 1], edges)[0]
        wrong += np.histogram(scores[kind == 0], edges)[0]
    used = np.flatnonzero(right + wrong)
    if not len(used):
        return None
    part = slice(used[0], used[-1] + 1)
    return Histogram(
        edges=edges[used[0] : used[-1] + 2].tolist(),
        positives=right[part].tolist(),
        negatives=wrong[part].tolist(),
    )


def recall_curve(first: Values, gallery: int) -> dict[str, float]:
    """Recall@K for K from 1 to the gallery's size, from each query's first rank (q,)."""
    known = first[np.isfinite(first)]
    cutoffs = [k for k in _cutoffs() if k <= max(gallery, 1)]
    return {str(k): float(np.mean(known < k)) if len(known) else 0.0 for k in cutoffs}


def _cutoffs() -> Sequence[int]:
    """1, 2, 5, 10, 20, ... of which a curve over a logarithmic axis is drawn."""
    return [step * 10**power for power in range(7) for step in (1, 2, 5)]
