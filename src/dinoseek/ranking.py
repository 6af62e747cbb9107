"""From a query's vectors to its hits: ranked, cut off, folded, measured and numbered."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dinoseek.collapse import COLLAPSE_SCORE, fold
from dinoseek.embedder import Prepared
from dinoseek.errors import UsageError
from dinoseek.gallery.background import Background
from dinoseek.gallery.base import Hit
from dinoseek.gallery.filters import Filter
from dinoseek.gallery.sqlite_gallery import SqliteGallery
from dinoseek.queries import Asked, average, unit
from dinoseek.rerank.options import AlphaQE, Local, Rerank
from dinoseek.shortlist import Sought, expanded, own_picture, reordered, with_cosines
from dinoseek.vit.ops import Array

# Where hits are left out or folded, more images are looked at: so many times more each round, and
# at most this many (or k) for one query.
_GROWTH, _MOST = 4, 10_000


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which hits are wanted; see `dinoseek.search.search`."""

    k: int
    min_score: float | None = None
    where: Filter | None = None
    collapse: bool = False
    collapse_score: float = COLLAPSE_SCORE
    exclude_self: bool = False
    l2: bool = False
    rerank: Rerank | None = None

    def __post_init__(self) -> None:
        if self.k < 1:
            raise UsageError("search.k", f"k = {self.k}", "ask for at least one hit")
        if self.min_score is not None and math.isnan(self.min_score):
            raise UsageError("search.min_score", "the least score", "it must be a number")
        if not -1 <= self.collapse_score <= 1:
            subject = f"the score to collapse at, {self.collapse_score:g}"
            raise UsageError("search.collapse_score", subject, "a cosine is between -1 and 1")
        if self.l2 and self.rerank is not None:
            reason = "hits can be ranked by distance or by a re-ranking, not by both"
            raise UsageError("search.rerank", "--rerank and --l2", reason)


@dataclass(frozen=True, kw_only=True)
class Posed:
    """A query as the gallery is asked it: unit vectors of its space, and its own ids there.

    Hits are like the nearest of `likes` (p, d), and not more like any of `unlikes` (n, d). It has
    its `picture` where patches are compared.
    """

    name: str
    likes: Array
    unlikes: Array
    own: frozenset[int]
    picture: Prepared | None = None


def pose(
    gallery: SqliteGallery,
    asked: Asked,
    embedded: Mapping[int, Array],
    rerank: Rerank | None = None,
) -> Posed:
    """The query in the gallery's space; `embedded` are its images' vectors (d,), by position."""
    vectors = _vectors(gallery, asked, embedded)
    weights = [operand.weight for operand in asked.operands]
    digests = {operand.digest for operand in asked.operands if operand.digest}
    own = {operand.own for operand in asked.operands if operand.own is not None}
    own.update(gallery.ids_of(digests).values())
    likes, unlikes = vectors[np.greater(weights, 0)], vectors[np.less(weights, 0)]
    if asked.combine == "average":
        likes, unlikes = average(vectors, weights, asked.name)[None], vectors[:0]  # (1, d), (0, d)
    if rerank is not None and len(likes) > 1:
        reason = "only a single vector can be re-ranked, not the best of several"
        raise UsageError("search.rerank", asked.name, reason, fix='use "average"')
    picture = _picture(gallery, asked) if isinstance(rerank, Local) else None
    return Posed(name=asked.name, likes=likes, unlikes=unlikes, own=frozenset(own), picture=picture)


def _picture(gallery: SqliteGallery, asked: Asked) -> Prepared:
    """The picture that a query is, prepared; UsageError if it is not one."""
    first, *more = asked.operands
    picture = first.image
    if picture is None and first.own is not None:
        picture = own_picture(gallery, first.own)
    if more or picture is None:
        reason = "local re-ranking compares the patches of one picture, and it is none"
        raise UsageError("search.rerank", asked.name, reason, fix="use another way of re-ranking")
    return picture


def _vectors(gallery: SqliteGallery, asked: Asked, embedded: Mapping[int, Array]) -> Array:
    """The unit vectors (n, d) of a query's operands."""
    rows: list[Array] = []
    dim = gallery.dim
    for position, operand in enumerate(asked.operands):
        given = embedded.get(position, operand.vector)
        if given is None:
            (row,) = gallery.vectors([] if operand.own is None else [operand.own])
        else:
            row = unit(given, dim)
        dim = len(row)
        rows.append(row)
    return np.stack(rows)


def hits_of(gallery: SqliteGallery, posed: Sequence[Posed], wanted: Wanted) -> list[list[Hit]]:
    """The hits of each query, best first."""
    if not posed or gallery.dim is None:
        return [[] for _ in posed]
    background = gallery.background()
    return [
        _finished(gallery, each, hits, wanted, background)
        for each, hits in zip(posed, _found(gallery, posed, wanted), strict=True)
    ]


def _found(gallery: SqliteGallery, posed: Sequence[Posed], wanted: Wanted) -> list[list[Hit]]:
    """The wanted hits: of more and more images, until there are k for each query."""
    count = wanted.k + wanted.exclude_self * max(len(each.own) for each in posed)
    found: list[list[Hit]] = [[] for _ in posed]
    waiting = list(range(len(posed)))
    rank = _ranker(gallery, posed, wanted)
    while waiting:
        rankings = rank(waiting, count)
        enough = []
        for i, ranking in zip(waiting, rankings, strict=True):
            found[i], complete = _chosen(gallery, posed[i], ranking, wanted)
            enough.append(complete or len(ranking) < count)
        if count >= _MOST:
            break
        waiting = [i for i, done in zip(waiting, enough, strict=True) if not done]
        count = min(_GROWTH * count, _MOST)
    return found


def _ranker(
    gallery: SqliteGallery, posed: Sequence[Posed], wanted: Wanted
) -> Callable[[Sequence[int], int], list[list[Hit]]]:
    """What gives the `count` first hits of some of the queries, in the order that is wanted."""
    where, rerank = wanted.where, wanted.rerank
    if isinstance(rerank, AlphaQE):
        return _expanded_ranker(gallery, posed, where, rerank)
    first: list[list[Hit]] = [[] for _ in posed]
    if rerank is not None:
        sought = [Sought(vector=each.likes[0], picture=each.picture) for each in posed]
        first = [reordered(gallery, each, where, rerank) for each in sought]

    def rank(which: Sequence[int], count: int) -> list[list[Hit]]:
        rankings = _rankings(gallery, [posed[i] for i in which], count, where)
        pairs = zip(which, rankings, strict=True)
        return [_continued(first[i], ranking, count) for i, ranking in pairs]

    return rank


def _expanded_ranker(
    gallery: SqliteGallery, posed: Sequence[Posed], where: Filter | None, rerank: AlphaQE
) -> Callable[[Sequence[int], int], list[list[Hit]]]:
    queries = expanded(gallery, np.concatenate([each.likes for each in posed]), where, rerank)

    def rank(which: Sequence[int], count: int) -> list[list[Hit]]:
        rankings = gallery.search(queries[list(which)], count, where)
        pairs = zip(which, rankings, strict=True)
        return [with_cosines(gallery, posed[i].likes[0], hits) for i, hits in pairs]

    return rank


def _continued(first: list[Hit], ranking: list[Hit], count: int) -> list[Hit]:
    """Hits in a better order, and behind them those of the ranking that are not among them."""
    known = {hit.id for hit in first}
    return [*first, *(hit for hit in ranking if hit.id not in known)][:count]


def _rankings(
    gallery: SqliteGallery, posed: Sequence[Posed], count: int, where: Filter | None
) -> list[list[Hit]]:
    """The `count` images that are most like the nearest of each query's `likes`."""
    every = gallery.search(np.concatenate([each.likes for each in posed]), count, where)
    rest = iter(every)
    return [_merged([next(rest) for _ in each.likes], count) for each in posed]


def _merged(rankings: Sequence[list[Hit]], count: int) -> list[Hit]:
    """The first `count` of several rankings of that length, each image by its highest score.

    None is missed: what is not among the first of its best ranking is behind as many others.
    """
    if len(rankings) == 1:
        return rankings[0]
    best: dict[int, Hit] = {}
    for hit in (hit for ranking in rankings for hit in ranking):
        if hit.id not in best or hit.score > best[hit.id].score:
            best[hit.id] = hit
    return sorted(best.values(), key=lambda hit: (-hit.score, hit.id))[:count]


def _chosen(
    gallery: SqliteGallery, posed: Posed, ranking: list[Hit], wanted: Wanted
) -> tuple[list[Hit], bool]:
    """The wanted hits of a ranking, and whether more images could not change them."""
    hits = [hit for hit in ranking if not (wanted.exclude_self and hit.id in posed.own)]
    ended = False
    if wanted.min_score is not None:
        hits = [hit for hit in hits if hit.score >= wanted.min_score]
        in_order = wanted.rerank is None
        ended = not ranking or (in_order and ranking[-1].score < wanted.min_score)
    if len(posed.unlikes):
        hits = _not_more_unlike(gallery, posed, hits)
    if wanted.collapse and hits:
        groups, read = fold(_of(gallery, hits), wanted.collapse_score, wanted.k)
        folded = [replace(hits[first], copies=len(copies)) for first, *copies in groups]
        return folded, ended or read < len(hits)
    return hits[: wanted.k], ended or len(hits) >= wanted.k


def _not_more_unlike(gallery: SqliteGallery, posed: Posed, hits: list[Hit]) -> list[Hit]:
    """The hits that are no more like any of `unlikes` than like the nearest of `likes`."""
    if not hits:
        return []
    vectors = _of(gallery, hits)
    like = (vectors @ posed.likes.T).max(axis=1)  # (k, d) @ (d, p) -> (k, p) -> (k,)
    unlike = (vectors @ posed.unlikes.T).max(axis=1)  # (k, d) @ (d, n) -> (k, n) -> (k,)
    return [hit for hit, keep in zip(hits, like >= unlike, strict=True) if keep]


def _of(gallery: SqliteGallery, hits: Sequence[Hit]) -> Array:
    return gallery.vectors(hit.id for hit in hits)


def _finished(
    gallery: SqliteGallery,
    posed: Posed,
    hits: list[Hit],
    wanted: Wanted,
    background: Background | None,
) -> list[Hit]:
    """The hits with their query, rank, percentile, and distance if that was asked for."""
    if wanted.l2 and hits:
        hits = _by_distance(posed.likes, hits, _of(gallery, hits))
    percentile = background.percentile if background else lambda _: None
    return [
        replace(hit, query=posed.name, rank=rank, percentile=percentile(hit.score))
        for rank, hit in enumerate(hits, 1)
    ]


def percent(percentile: float) -> str:
    """A percentile for people, rounded down: 100 is only above every pair that was seen."""
    return f"{math.floor(100 * percentile) / 100:.2f} %"


def _by_distance(likes: Array, hits: list[Hit], vectors: Array) -> list[Hit]:
    """Hits by Euclidean distance of their vectors (k, d) from the nearest of likes (p, d)."""
    apart = np.linalg.norm(vectors[:, None] - likes, axis=2)  # (k, 1, d) - (p, d) -> (k, p)
    distances = apart.min(axis=1)  # (k, p) -> (k,)
    order = np.argsort(distances, kind="stable")
    return [replace(hits[i], distance=float(distances[i])) for i in order]
