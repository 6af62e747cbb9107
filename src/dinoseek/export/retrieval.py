"""Whether lower precision still finds the same: first hits in common, and Recall@1 by labels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dinoseek.gallery.exact import top_k
from dinoseek.pooling import unit
from dinoseek.vit.ops import Array

HITS = 10
FEWEST = 50  # pictures; of fewer, ten hits are too large a part to say much
LEAST_OVERLAP = 0.95


@dataclass(frozen=True, kw_only=True)
class Retrieval:
    """How searches among the same pictures compare, each picture a query against all others.

    `overlap` is the mean share of the first HITS that both find, `chance` what it would be by luck;
    Recall@1 is over the pictures that share a label with another, None where there are none.
    """

    pictures: int
    overlap: float
    chance: float
    recall_at_1: float | None
    recall_at_1_float32: float | None


def retrieval_of(expected: Array, found: Array, labels: Sequence[str | None]) -> Retrieval:
    """Compares searches with class tokens (m, d) of m pictures, at least two of them."""
    ours, theirs = _neighbours(expected), _neighbours(found)
    pairs = zip(ours.tolist(), theirs.tolist(), strict=True)
    shares = [len(set(a) & set(b)) / len(a) for a, b in pairs]
    return Retrieval(
        pictures=len(expected),
        overlap=float(np.mean(shares)),
        chance=ours.shape[1] / (len(expected) - 1),
        recall_at_1=_recall(theirs, labels),
        recall_at_1_float32=_recall(ours, labels),
    )


def _neighbours(tokens: Array) -> NDArray[np.int64]:
    """The rows (m, k) that are nearest to each of tokens (m, d) besides itself, best first."""
    vectors = unit(tokens)
    count = min(HITS, len(vectors) - 1)
    rows, _ = top_k(vectors, vectors, count + 1)
    others = [row[row != own][:count] for own, row in enumerate(rows)]
    return np.stack(others)


def _recall(neighbours: NDArray[np.int64], labels: Sequence[str | None]) -> float | None:
    known = [label for label in labels if label is not None]
    queries = [row for row, label in enumerate(labels) if label and known.count(label) > 1]
    if not queries:
        return None
    return float(np.mean([labels[neighbours[row, 0]] == labels[row] for row in queries]))
