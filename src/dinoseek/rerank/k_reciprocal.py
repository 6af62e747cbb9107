"""Re-ranking with k-reciprocal encoding (Zhong, Zheng, Cao and Li, 2017)."""

import numpy as np
from numpy.typing import NDArray

from dinoseek.rerank.options import KReciprocal
from dinoseek.vit.ops import Array

Mask = NDArray[np.bool_]
Rows = NDArray[np.int64]


def k_reciprocal_scores(query: Array, hits: Array, options: KReciprocal) -> Array:
    """Scores (k,) of hits (k, d) for a query (d,), all of unit length: 1 - the paper's distance.

    The final distance is (1 - weight) Jaccard distance + weight original distance (eq. 12). The
    paper takes the neighbours from the whole gallery; here they are those among query and hits.
    Distances are squared Euclidean and divided by the largest in their row, as in the authors'
    code.
    """
    vectors = np.concatenate([query[None], hits])  # (1 + k, d)
    distances = _distances(vectors)
    order = _order(distances)
    encoded = _encoded(distances, order, options)
    # Rows add up to 1, so the sum of the larger is 2 - that of the smaller (eq. 10).
    shared = np.minimum(encoded[0], encoded[1:]).sum(axis=1)  # (k, 1 + k) -> (k,)
    jaccard = 1 - shared / (2 - shared)
    final = (1 - options.weight) * jaccard + options.weight * distances[0, 1:]
    return np.asarray(1 - final, np.float32)


def _distances(vectors: Array) -> Array:
    """Squared Euclidean distances (n, n) of unit vectors (n, d); the largest of each row is 1."""
    squared = np.maximum(2 - 2 * (vectors @ vectors.T), 0)
    np.fill_diagonal(squared, 0)
    largest = squared.max(axis=1, keepdims=True)
    return np.asarray(squared / np.maximum(largest, np.finfo(np.float32).tiny), np.float32)


def _order(distances: Array) -> Rows:
    """The rows by distance from each row, itself first: (n, n)."""
    own_first = distances.copy()
    np.fill_diagonal(own_first, -1)
    return np.argsort(own_first, axis=1, kind="stable")


def _encoded(distances: Array, order: Rows, options: KReciprocal) -> Array:
    """The k-reciprocal vectors (n, n), after local query expansion (eqs. 7 and 11)."""
    neighbours = _expanded(
        _reciprocal(order, options.k1), _reciprocal(order, round(options.k1 / 2))
    )
    weights = np.where(neighbours, np.exp(-distances), 0)
    weights /= weights.sum(axis=1, keepdims=True)
    return np.asarray(
        weights[order[:, : options.k2]].mean(axis=1), np.float32
    )  # (n, k2, n) -> n, n


def _reciprocal(order: Rows, k: int) -> Mask:
    """Who is among the k nearest of whom and the other way round: (n, n), each with itself."""
    near = np.zeros(order.shape, np.bool_)
    np.put_along_axis(near, order[:, : k + 1], values=True, axis=1)
    return near & near.T


def _expanded(wide: Mask, narrow: Mask) -> Mask:
    """The sets of `wide` joined by those of `narrow` that share two thirds with them (eq. 5)."""
    common = wide.astype(np.float32) @ narrow.astype(np.float32)  # (n, n): of set i and set j
    enough = 3 * common >= 2 * narrow.sum(axis=1)
    joining = (wide & enough).astype(np.float32)
    return wide | (joining @ narrow.astype(np.float32) > 0)
