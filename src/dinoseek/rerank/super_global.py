"""SuperGlobal's re-ranking (Shao, Chen, Karpur, Cui, Araujo and Cao, 2023, section 3.3)."""

import numpy as np

from dinoseek.rerank.options import SuperGlobal
from dinoseek.vit.ops import Array


def super_global_scores(query: Array, hits: Array, options: SuperGlobal) -> Array:
    """Scores (k,) of hits (k, d) for a query (d,), all of unit length.

    Each hit is refined: the mean of itself, with weight 1, and its nearest among the hits, with
    weight beta times their cosine. The query becomes the largest value of the best refined hits in
    each dimension. A score is the mean of what old and new query give with the refined hit. As in
    the authors' code nothing is scaled to unit length again, and the neighbours number K besides
    the hit itself. Unlike there a neighbour with a cosine below 0 has no weight.
    """
    count = options.neighbors + 1
    refined = _refined(hits, count, options.beta)
    first = refined @ query  # (k, d) @ (d,) -> (k,)
    best = np.argsort(-first, kind="stable")[:count]
    second = refined @ refined[best].max(axis=0)  # (count, d) -> (d,), (k, d) @ (d,) -> (k,)
    return np.asarray((first + second) / 2, np.float32)


def _refined(hits: Array, count: int, beta: float) -> Array:
    """Hits (k, d), each averaged with its count - 1 nearest others."""
    cosines = hits @ hits.T  # (k, k)
    own_first = cosines.copy()
    np.fill_diagonal(own_first, np.inf)
    nearest = np.argsort(-own_first, axis=1, kind="stable")[:, :count]
    near = np.take_along_axis(cosines, nearest, axis=1)  # (k, count)
    weights = np.float32(beta) * np.maximum(near, 0)
    weights[:, 0] = 1
    total = np.einsum("kn,knd->kd", weights, hits[nearest])
    return np.asarray(total / weights.sum(axis=1, keepdims=True), np.float32)
