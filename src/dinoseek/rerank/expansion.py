"""Query expansion and database augmentation: vectors joined by their nearest neighbours."""

import numpy as np
from numpy.typing import NDArray

from dinoseek.pooling import unit
from dinoseek.rerank.options import AlphaQE, Augmentation
from dinoseek.vit.ops import Array

Rows = NDArray[np.int64]

_SCORES_AT_ONCE = 1 << 22


def alpha_query_expansion(
    queries: Array, gallery: Array, rankings: Rows, options: AlphaQE
) -> Array:
    """Queries (q, d) joined by their first hits in gallery (m, d), as new unit queries (q, d).

    rankings (q, k) are rows of the gallery, best first. The new query is the old one plus the sum
    of its first n hits, each weighted by its cosine to the power of alpha (Radenovic, Tolias and
    Chum, 2018, section 3.4); a hit with a cosine below 0 has no weight. Alpha 0 is average query
    expansion (Chum et al., 2007).
    """
    first = gallery[rankings[:, : options.neighbors]]  # (m, d) -> (q, n, d)
    return _joined(queries, first, options.alpha)


def augmented(gallery: Array, options: Augmentation) -> Array:
    """Database augmentation (Arandjelovic and Zisserman, 2012): unit vectors (m, d) to such.

    Each vector is joined by its n nearest others, weighted as in alpha query expansion (Gordo et
    al., 2017, section 5.2, with cos^alpha for the weight by rank).
    """
    found = nearest_others(gallery, options.neighbors)
    return augmented_by(gallery, gallery[found], options)


def augmented_by(vectors: Array, others: Array, options: Augmentation) -> Array:
    """Vectors (n, d) joined by the neighbours (n, k, d) that each has."""
    return _joined(vectors, others, options.alpha)


def nearest_others(vectors: Array, count: int) -> Rows:
    """The rows (m, count') of the nearest other vectors of each of (m, d), best first."""
    m = len(vectors)
    count = min(count, m - 1)
    found = np.empty((m, count), np.int64)
    step = max(1, _SCORES_AT_ONCE // max(m, 1))
    for start in range(0, m, step):
        scores = vectors[start : start + step] @ vectors.T  # (step, d) @ (d, m) -> (step, m)
        own = np.arange(len(scores))
        scores[own, own + start] = -np.inf
        found[start : start + step] = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    return found


def _joined(vectors: Array, others: Array, alpha: float) -> Array:
    """Vectors (n, d) plus the weighted sum of others (n, k, d), scaled to unit length."""
    cosines = np.einsum("nd,nkd->nk", vectors, others)
    # 0 ** 0 is 1, but a hit that points away has no weight whatever alpha is
    weights = np.where(cosines > 0, np.maximum(cosines, 0) ** np.float32(alpha), 0)
    return unit(vectors + np.einsum("nk,nkd->nd", weights.astype(np.float32), others))
