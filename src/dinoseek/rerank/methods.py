"""Rankings in, better rankings out, by any of the ways that need vectors only."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dinoseek.pooling import unit
from dinoseek.rerank.expansion import alpha_query_expansion, augmented
from dinoseek.rerank.k_reciprocal import k_reciprocal_scores
from dinoseek.rerank.options import AlphaQE, Augmentation, KReciprocal, Rerank, SuperGlobal
from dinoseek.rerank.super_global import super_global_scores
from dinoseek.vit.ops import Array

Rows = NDArray[np.int64]


class Reranked(NamedTuple):
    """Rows of the gallery (q, k), best first, and what they were ranked by (q, k)."""

    rankings: Rows
    scores: Array


def rerank(queries: Array, gallery: Array, rankings: Rows, options: Rerank) -> Reranked:
    """Puts the rows of rankings (q, k) in another order; none is added, none is left out.

    queries (q, d) and gallery (m, d) are of unit length. What is behind the options' shortlist
    stays there, with scores of -inf; alpha query expansion has none, so that with all m rows in the
    rankings it is a second search. `Local` needs patches: ValueError.
    """
    if isinstance(options, AlphaQE):
        expanded = alpha_query_expansion(queries, gallery, rankings, options)
        return sorted_by(rankings, _cosines(expanded, gallery, rankings))
    first = rankings[:, : options.shortlist]
    scores = np.full(rankings.shape, -np.inf, np.float32)
    scores[:, : first.shape[1]] = _scores(queries, gallery, first, options)
    return sorted_by(rankings, scores)


def sorted_by(rankings: Rows, scores: Array) -> Reranked:
    """The rows of rankings (q, k) by scores (q, k), best first; equal ones keep their order."""
    order = np.argsort(-scores, axis=1, kind="stable")
    return Reranked(
        np.take_along_axis(rankings, order, axis=1), np.take_along_axis(scores, order, axis=1)
    )


def _scores(queries: Array, gallery: Array, rankings: Rows, options: Rerank) -> Array:
    """What the rows of rankings (q, k) are ordered by: (q, k)."""
    each = zip(queries, rankings, strict=True)
    match options:
        case Augmentation():
            return _cosines(unit(queries), augmented(gallery, options), rankings)
        case KReciprocal():
            rows = [k_reciprocal_scores(query, gallery[row], options) for query, row in each]
        case SuperGlobal():
            rows = [super_global_scores(query, gallery[row], options) for query, row in each]
        case _:
            raise ValueError("local re-ranking needs patches, see dinoseek.rerank.local")
    return _stacked(rows, rankings)


def _cosines(queries: Array, gallery: Array, rankings: Rows) -> Array:
    """The inner products (q, k) of each query with the rows of its ranking."""
    each = zip(queries, rankings, strict=True)
    return _stacked([gallery[row] @ query for query, row in each], rankings)


def _stacked(rows: list[Array], rankings: Rows) -> Array:
    return np.stack(rows) if rows else np.empty(rankings.shape, np.float32)
