"""Queries: an image, a vector or an image of the gallery itself, answered by the nearest images.

An image is always embedded by the gallery's own embedder, so query and gallery cannot be embedded
differently.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from dinoseek.embedder import BATCH_SIZE, Embedder
from dinoseek.errors import DinoseekError, UsageError, printable
from dinoseek.gallery.base import Hit
from dinoseek.gallery.sqlite_gallery import SqliteGallery
from dinoseek.images.ahead import ahead
from dinoseek.images.decode import decode, load_image
from dinoseek.images.read import read_bytes
from dinoseek.vit.ops import Array

Query: TypeAlias = str | Path | bytes | Image.Image | NDArray[Any] | int

_DECODERS = 2


@dataclass(frozen=True, kw_only=True)
class Options:
    """What is asked for; see `search`."""

    k: int = 10
    min_score: float | None = None
    exclude_self: bool = False
    l2: bool = False

    def __post_init__(self) -> None:
        if self.k < 1:
            raise UsageError("search.k", f"k = {self.k}", "ask for at least one hit")


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """A query that was read: its image (H, W, 3), prepared; or its vector; or its id.

    `digest` is that of its file, if it is one.
    """

    name: str
    image: NDArray[np.uint8] | None = None
    vector: NDArray[Any] | None = None
    id: int | None = None
    digest: str | None = None


@dataclass(frozen=True, kw_only=True)
class _Posed:
    """A query as the gallery is asked it: a vector (d,) of its space, and its own id there."""

    name: str
    vector: Array
    id: int | None


def search(
    gallery: SqliteGallery,
    query: Query,
    k: int = 10,
    *,
    min_score: float | None = None,
    exclude_self: bool = False,
    l2: bool = False,
) -> list[Hit]:
    """The k nearest images to a query, best first.

    The query is an image (a path, a file's bytes, or a Pillow image), a vector (d,) of the
    gallery's space, or the id of an image in the gallery. Hits below `min_score` are left out; with
    `exclude_self` also the image that the query is, byte for byte. With `l2` hits are ranked by
    Euclidean distance of the unit vectors, which is then given; it is the same order.

    Raises UsageError for a query that makes no sense, ImageError for one that cannot be read,
    GalleryError if the gallery has vectors of other models only.
    """
    options = Options(k=k, min_score=min_score, exclude_self=exclude_self, l2=l2)
    gallery.check()
    (answer,) = _answers(gallery, [_ask(query, gallery.embedder)], options)
    if isinstance(answer, DinoseekError):
        raise answer
    return answer


def search_many(
    gallery: SqliteGallery,
    queries: Iterable[Query],
    k: int = 10,
    *,
    min_score: float | None = None,
    exclude_self: bool = False,
    l2: bool = False,
    batch_size: int = BATCH_SIZE,
) -> Iterator[tuple[Query, list[Hit] | DinoseekError]]:
    """Answers many queries, in their order: yields (query, its hits), or (query, its error).

    See `search` for what a query can be. One that cannot be read does not stop the others.
    """
    options = Options(k=k, min_score=min_score, exclude_self=exclude_self, l2=l2)
    gallery.check()
    ask = partial(_asked_or_error, embedder=gallery.embedder)
    asked = ahead(ask, queries, workers=_DECODERS, depth=2 * batch_size)
    return _in_batches(gallery, asked, options, batch_size)


def _in_batches(
    gallery: SqliteGallery,
    asked: Iterator[tuple[Query, _Asked | DinoseekError]],
    options: Options,
    batch_size: int,
) -> Iterator[tuple[Query, list[Hit] | DinoseekError]]:
    while chunk := list(islice(asked, batch_size)):
        queries, each = zip(*chunk, strict=True)
        yield from zip(queries, _answers(gallery, each, options), strict=True)


def _asked_or_error(
    query: Query, embedder: Embedder | None
) -> tuple[Query, _Asked | DinoseekError]:
    try:
        return query, _ask(query, embedder)
    except DinoseekError as exc:
        return query, exc


def _ask(query: Query, embedder: Embedder | None) -> _Asked:
    """Reads and prepares a query."""
    if isinstance(query, int | np.integer):
        return _Asked(name=str(query), id=int(query))
    if isinstance(query, np.ndarray):
        return _Asked(name="vector", vector=query)
    name = printable(query) if isinstance(query, str | Path) else "image"
    if embedder is None:
        reason = "the gallery was opened without an embedder, so it cannot be asked with an image"
        raise UsageError("search.no_embedder", name, reason)
    if isinstance(query, Image.Image):
        image = load_image(query, limits=embedder.limits, faithful=embedder.preset.faithful)
        return _Asked(name=name, image=embedder.prepare(image))
    data = query if isinstance(query, bytes) else read_bytes(query, embedder.limits)
    faithful = embedder.preset.faithful
    image = decode(data, subject=name, limits=embedder.limits, faithful=faithful)
    digest = hashlib.sha256(data).hexdigest()
    return _Asked(name=name, image=embedder.prepare(image), digest=digest)


def _answers(
    gallery: SqliteGallery, asked: Sequence[_Asked | DinoseekError], options: Options
) -> list[list[Hit] | DinoseekError]:
    """The hits of each query, or its error."""
    vectors = _embedded(gallery.embedder, asked)
    with gallery.reading():  # one version for all that follows
        posed = [_pose(gallery, each, vectors.get(i)) for i, each in enumerate(asked)]
        good = [each for each in posed if isinstance(each, _Posed)]
        hits = iter(_found(gallery, good, options))
        return [next(hits) if isinstance(each, _Posed) else each for each in posed]


def _embedded(
    embedder: Embedder | None, asked: Sequence[_Asked | DinoseekError]
) -> dict[int, Array]:
    """The vectors (d,) of the queries that are images, by their position."""
    images = [
        (position, each.image)
        for position, each in enumerate(asked)
        if isinstance(each, _Asked) and each.image is not None
    ]
    return dict(embedder.stream(images)) if embedder else {}


def _pose(
    gallery: SqliteGallery, asked: _Asked | DinoseekError, embedded: Array | None
) -> _Posed | DinoseekError:
    """The query as the gallery is asked it, or why it cannot be."""
    if isinstance(asked, DinoseekError):
        return asked
    try:
        if asked.id is not None:
            (vector,) = gallery.vectors([asked.id])
            return _Posed(name=asked.name, vector=vector, id=asked.id)
        given = asked.vector if embedded is None else embedded
        id = gallery.ids_of([asked.digest]).get(asked.digest) if asked.digest else None
        return _Posed(name=asked.name, vector=_unit(given, gallery.dim), id=id)
    except DinoseekError as exc:
        return exc


def _unit(vector: ArrayLike | None, dim: int | None) -> Array:
    """The vector (d,) in float32, of unit length; an empty gallery (`dim` None) takes any."""
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused below
        row = np.asarray(vector, np.float32)
        norm = np.linalg.norm(row)
    if row.ndim != 1 or (dim and len(row) != dim):
        raise UsageError("vector.dim", f"vector {row.shape}", f"expected ({dim or 'd'},)")
    if not np.isfinite(norm) or norm == 0:
        raise UsageError("vector.invalid", "vector", "it is zero, or not finite")
    return row / norm


def _found(gallery: SqliteGallery, posed: Sequence[_Posed], options: Options) -> list[list[Hit]]:
    if not posed or gallery.dim is None:
        return [[] for _ in posed]
    queries = np.stack([each.vector for each in posed])  # q x (d,) -> (q, d)
    hits = gallery.search(queries, options.k + options.exclude_self)
    return [_finished(gallery, *each, options) for each in zip(posed, hits, strict=True)]


def _finished(
    gallery: SqliteGallery, posed: _Posed, hits: list[Hit], options: Options
) -> list[Hit]:
    """The hits as they were asked for: without the query itself, measured, cut off, numbered."""
    if options.exclude_self:
        hits = [hit for hit in hits if hit.id != posed.id]
    if options.l2:
        hits = _by_distance(posed.vector, hits, gallery.vectors(hit.id for hit in hits))
    if options.min_score is not None:
        hits = [hit for hit in hits if hit.score >= options.min_score]
    return [
        replace(hit, query=posed.name, rank=rank) for rank, hit in enumerate(hits[: options.k], 1)
    ]


def _by_distance(query: Array, hits: list[Hit], vectors: Array) -> list[Hit]:
    """Hits by Euclidean distance of their vectors (k, d) from the query (d,)."""
    distances = np.linalg.norm(vectors - query, axis=1)  # (k, d) -> (k,)
    order = np.argsort(distances, kind="stable")
    return [replace(hits[i], distance=float(distances[i])) for i in order]
