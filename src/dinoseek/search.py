"""Search: the images of a gallery that look most like a query, for one query or for many."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Literal, TypeAlias

from dinoseek.collapse import COLLAPSE_SCORE
from dinoseek.embedder import BATCH_SIZE, Embedder
from dinoseek.errors import DinoseekError, UsageError
from dinoseek.gallery import filters
from dinoseek.gallery.background import automatic
from dinoseek.gallery.base import Hit
from dinoseek.gallery.filters import Filter
from dinoseek.gallery.sqlite_gallery import SqliteGallery
from dinoseek.images.ahead import ahead
from dinoseek.images.region import Region
from dinoseek.queries import Asked, Query, Source, read, sources_of
from dinoseek.ranking import Posed, Wanted, hits_of, pose
from dinoseek.rerank.options import Rerank
from dinoseek.shortlist import chosen_rerank
from dinoseek.vit.ops import Array

__all__ = ["Query", "search", "search_many"]

MinScore: TypeAlias = float | Literal["auto"] | None
Answer: TypeAlias = list[Hit] | DinoseekError

_DECODERS = 2


def search(
    gallery: SqliteGallery,
    query: Query,
    k: int = 10,
    *,
    min_score: MinScore = None,
    where: Filter | str | None = None,
    region: Region | None = None,
    collapse: bool = False,
    collapse_score: float = COLLAPSE_SCORE,
    exclude_self: bool = False,
    l2: bool = False,
    rerank: Rerank | str | None = None,
) -> list[Hit]:
    """The k nearest images to a query, best first.

    The query is an image (a path, a file's bytes, or a Pillow image), a vector (d,) of the
    gallery's space, the id of an image in the gallery, or several of these as a `Mix`. With
    `region` only that part of each image counts.

    Only images that `where` holds for are searched. Hits below `min_score` are left out; "auto" is
    a score that by chance less than one image of the gallery reaches. With `exclude_self` the
    images that the query is, byte for byte, are left out too. With `collapse` a hit whose cosine
    with a better one is `collapse_score` or more is only counted, as one of its copies. With `l2`
    hits are ranked by Euclidean distance of the unit vectors, which is then given; it is the same
    order. With `rerank`, as in "k-reciprocal" or "alpha-qe:neighbors=5", the first hits are put in
    a better order; their scores stay cosines.

    Raises UsageError for a query that makes no sense, ImageError for one that cannot be read,
    GalleryError if the gallery has vectors of other models only.
    """
    wanted = Wanted(
        k=k,
        min_score=_least(gallery, min_score),
        where=_condition(where),
        collapse=collapse,
        collapse_score=collapse_score,
        exclude_self=exclude_self,
        l2=l2,
        rerank=chosen_rerank(rerank, gallery.embedder),
    )
    gallery.check()
    sources = sources_of(query, region, partial(_file_of, gallery))
    (answer,) = _answers(gallery, [read(query, sources, gallery.embedder)], wanted)
    if isinstance(answer, DinoseekError):
        raise answer
    return answer


def search_many(
    gallery: SqliteGallery,
    queries: Iterable[Query],
    k: int = 10,
    *,
    min_score: MinScore = None,
    where: Filter | str | None = None,
    region: Region | None = None,
    collapse: bool = False,
    collapse_score: float = COLLAPSE_SCORE,
    exclude_self: bool = False,
    l2: bool = False,
    rerank: Rerank | str | None = None,
    batch_size: int = BATCH_SIZE,
) -> Iterator[tuple[Query, Answer]]:
    """Answers many queries, in their order: yields (query, its hits), or (query, its error).

    See `search` for what a query can be. One that cannot be read does not stop the others.
    """
    wanted = Wanted(
        k=k,
        min_score=_least(gallery, min_score),
        where=_condition(where),
        collapse=collapse,
        collapse_score=collapse_score,
        exclude_self=exclude_self,
        l2=l2,
        rerank=chosen_rerank(rerank, gallery.embedder),
    )
    gallery.check()
    return _in_batches(gallery, queries, region, wanted, batch_size)


def _condition(where: Filter | str | None) -> Filter | None:
    return filters.parse(where) if isinstance(where, str) else where


def _least(gallery: SqliteGallery, min_score: MinScore) -> float | None:
    """The least score as a number."""
    if not isinstance(min_score, str):
        return min_score
    if min_score != "auto":
        reason = 'the least score is a number, or "auto"'
        raise UsageError("search.min_score", min_score, reason)
    return automatic(gallery.background(), gallery.path)


def _in_batches(
    gallery: SqliteGallery,
    queries: Iterable[Query],
    region: Region | None,
    wanted: Wanted,
    batch_size: int,
) -> Iterator[tuple[Query, Answer]]:
    # located in this thread, since the gallery is its; read and prepared in others
    located = ((query, _located(gallery, query, region)) for query in queries)
    reading = partial(_read, embedder=gallery.embedder)
    asked = ahead(reading, located, workers=_DECODERS, depth=2 * batch_size)
    while chunk := list(islice(asked, batch_size)):
        answers = _answers(gallery, [each for _, each in chunk], wanted)
        yield from zip((query for query, _ in chunk), answers, strict=True)


def _located(
    gallery: SqliteGallery, query: Query, region: Region | None
) -> list[Source] | DinoseekError:
    try:
        return sources_of(query, region, partial(_file_of, gallery))
    except DinoseekError as exc:
        return exc


def _file_of(gallery: SqliteGallery, id: int) -> Path:
    (record,) = gallery.get([id])
    if (file := record.own_file) is None:
        reason = "it has no file of its own that a region could be cut from"
        raise UsageError("search.no_file", f"id {id}", reason)
    return file


def _read(
    located: tuple[Query, list[Source] | DinoseekError], embedder: Embedder | None
) -> tuple[Query, Asked | DinoseekError]:
    query, sources = located
    if isinstance(sources, DinoseekError):
        return query, sources
    try:
        return query, read(query, sources, embedder)
    except DinoseekError as exc:
        return query, exc


def _answers(
    gallery: SqliteGallery, asked: Sequence[Asked | DinoseekError], wanted: Wanted
) -> list[Answer]:
    """The hits of each query, or its error."""
    embedded = _embedded(gallery.embedder, asked)
    with gallery.reading():  # one version for all that follows
        posed = [
            _posed(gallery, each, embedded.get(i, {}), wanted.rerank)
            for i, each in enumerate(asked)
        ]
        good = [each for each in posed if isinstance(each, Posed)]
        hits = iter(hits_of(gallery, good, wanted))
        return [next(hits) if isinstance(each, Posed) else each for each in posed]


def _embedded(
    embedder: Embedder | None, asked: Sequence[Asked | DinoseekError]
) -> dict[int, dict[int, Array]]:
    """The vectors (d,) of the images in queries, by the query's position and theirs in it."""
    images = [
        ((i, j), operand.image)
        for i, each in enumerate(asked)
        if isinstance(each, Asked)
        for j, operand in enumerate(each.operands)
        if operand.image is not None
    ]
    found: dict[int, dict[int, Array]] = {}
    for (i, j), vector in embedder.stream(images) if embedder else ():
        found.setdefault(i, {})[j] = vector
    return found


def _posed(
    gallery: SqliteGallery,
    asked: Asked | DinoseekError,
    embedded: dict[int, Array],
    rerank: Rerank | None,
) -> Posed | DinoseekError:
    if isinstance(asked, DinoseekError):
        return asked
    try:
        return pose(gallery, asked, embedded, rerank)
    except DinoseekError as exc:
        return exc
