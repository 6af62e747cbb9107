"""Rankings of labelled queries, re-ranked, with the query itself taken out of the gallery."""

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from dinoseek.evaluation.dataset import Dataset
from dinoseek.evaluation.scoring import Found, equal_rows
from dinoseek.evaluation.truth import Ids
from dinoseek.matching import Patches
from dinoseek.rerank.expansion import augmented_by, nearest_others
from dinoseek.rerank.local import local_scores
from dinoseek.rerank.methods import rerank, sorted_by
from dinoseek.rerank.options import Augmentation, Local, Rerank
from dinoseek.vit.ops import Array

PatchesOf = Callable[[int], Patches | None]


class Timed(NamedTuple):
    """The ranks of a query's positives, and the seconds that its ranking took."""

    found: Found
    seconds: float


def timed_ranks(
    dataset: Dataset, matrix: Array, options: Rerank | None, patches: PatchesOf | None = None
) -> Iterator[Timed]:
    """The ranks of each query's positives after re-ranking; `matrix` (n, d) are all images.

    The query is taken out first, so that no method learns from it what else is near: also database
    augmentation, whose gallery is made once and not timed, joins nothing with the query. `Local`
    needs `patches` of images by their position.
    """
    gallery, truth = matrix[dataset.gallery], dataset.truth()
    copies, originals = equal_rows(gallery)
    order = _order_of(dataset, gallery, options, patches)
    for i, own in enumerate(dataset.own.tolist()):
        query = matrix[dataset.queries[i]]
        start = time.perf_counter()
        scores = gallery @ query
        scores[copies] = scores[originals]
        ranking = np.argsort(-scores, kind="stable")
        ranking = order(i, query, ranking[ranking != own], own)
        seconds = time.perf_counter() - start
        right = np.zeros(len(gallery), np.bool_)
        right[truth.positives_of(i)] = True
        yield Timed(Found(np.flatnonzero(right[ranking]), 0), seconds)


Order = Callable[[int, Array, Ids, int], Ids]  # query's number, vector, ranking, own row


def _order_of(
    dataset: Dataset, gallery: Array, options: Rerank | None, patches: PatchesOf | None
) -> Order:
    """What brings one query's ranking into its new order."""
    match options:
        case None:
            return lambda _number, _query, ranking, _own: ranking
        case Augmentation():
            return _augmenting(gallery, options)
        case Local():
            if patches is None:
                raise ValueError("local re-ranking needs patches")
            return _local(dataset, gallery, options, patches)
        case _:
            return lambda _number, query, ranking, _own: rerank(
                query[None], gallery, ranking[None], options
            ).rankings[0]


def _augmenting(gallery: Array, options: Augmentation) -> Order:
    neighbours = nearest_others(gallery, options.neighbors + 1)  # one more, if one is the query

    def order(_number: int, query: Array, ranking: Ids, own: int) -> Ids:
        first = ranking[: options.shortlist]
        near = neighbours[first]  # (k, n + 1)
        last = np.argsort(near == own, axis=1, kind="stable")  # the query behind all others
        others = np.take_along_axis(near, last, axis=1)
        others = others[:, : min(options.neighbors, max(len(ranking) - 1, 0))]
        scores = augmented_by(gallery[first], gallery[others], options) @ query
        return _with_first(ranking, scores)

    return order


def _local(dataset: Dataset, gallery: Array, options: Local, patches: PatchesOf) -> Order:
    def order(number: int, query: Array, ranking: Ids, _own: int) -> Ids:
        own_patches = patches(int(dataset.queries[number]))
        if own_patches is None:
            return ranking
        first = ranking[: options.shortlist]
        hits = [patches(int(position)) for position in dataset.gallery[first]]
        return _with_first(
            ranking, local_scores(own_patches, hits, gallery[first] @ query, options)
        )

    return order


def _with_first(ranking: Ids, scores: Array) -> Ids:
    """A ranking (m,) whose first k are ordered by scores (k,)."""
    k = len(scores)
    first = sorted_by(ranking[None, :k], scores[None]).rankings[0]
    return np.concatenate([first, ranking[k:]])
