"""The first hits of a search in a better order: what re-ranking needs from a gallery."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dinoseek.embedder import Embedder, Prepared
from dinoseek.errors import DinoseekError, UsageError
from dinoseek.gallery.base import Hit
from dinoseek.gallery.filters import Filter
from dinoseek.gallery.sqlite_gallery import SqliteGallery
from dinoseek.matching import Patches
from dinoseek.rerank.expansion import alpha_query_expansion, augmented_by
from dinoseek.rerank.k_reciprocal import k_reciprocal_scores
from dinoseek.rerank.local import local_scores
from dinoseek.rerank.options import (
    AlphaQE,
    Augmentation,
    KReciprocal,
    Local,
    Rerank,
    SuperGlobal,
    find_rerank,
)
from dinoseek.rerank.super_global import super_global_scores
from dinoseek.vit.ops import Array

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Sought:
    """A query: its unit vector (d,), and its picture, prepared, where patches are compared."""

    vector: Array
    picture: Prepared | None = None


def chosen_rerank(rerank: Rerank | str | None, embedder: Embedder | None) -> Rerank | None:
    """The way of re-ranking that is asked for; UsageError if this embedder cannot do it."""
    found = find_rerank(rerank) if isinstance(rerank, str) else rerank
    if isinstance(found, Local):
        if embedder is None:
            reason = "the gallery was opened without an embedder, so there are no patches"
            raise UsageError("search.no_embedder", "rerank local", reason)
        embedder.check_patches()
    return found


def expanded(
    gallery: SqliteGallery, queries: Array, where: Filter | None, options: AlphaQE
) -> Array:
    """Queries (q, d) joined by their first hits in the gallery: unit vectors (q, d)."""
    found = gallery.search(queries, options.neighbors, where)
    ids = [[hit.id for hit in hits] for hits in found]
    if not any(ids):
        return queries
    vectors = gallery.vectors([id for row in ids for id in row])
    rankings = np.arange(len(vectors)).reshape(len(queries), -1)  # each has as many hits
    return alpha_query_expansion(queries, vectors, rankings, options)


def with_cosines(gallery: SqliteGallery, query: Array, hits: Sequence[Hit]) -> list[Hit]:
    """Hits of another query: what ranked them apart, their score the cosine with this one (d,)."""
    if not hits:
        return []
    cosines = np.clip(gallery.vectors(hit.id for hit in hits) @ query, -1, 1)
    return [
        replace(hit, score=float(cosine), reranked=hit.score)
        for hit, cosine in zip(hits, cosines, strict=True)
    ]


def reordered(
    gallery: SqliteGallery, sought: Sought, where: Filter | None, options: Rerank
) -> list[Hit]:
    """The first hits of a query, as many as the way of re-ranking looks at, in its order.

    Their scores stay cosines; `Hit.reranked` is what they are ordered by.
    """
    if isinstance(options, AlphaQE):
        raise ValueError("query expansion has no shortlist, it searches again")
    (hits,) = gallery.search(sought.vector[None], options.shortlist, where)
    if not hits:
        return []
    scores = _scores(gallery, sought, hits, where, options)
    order = np.argsort(-scores, kind="stable")
    return [replace(hits[i], reranked=float(scores[i])) for i in order]


def picture_of(gallery: SqliteGallery, id: int, file: Path | None) -> Prepared | None:
    """An image of the gallery, prepared: its file, or the small picture that is kept of it."""
    embedder = gallery.embedder
    if embedder is None:
        return None
    for source in (file, gallery.thumbnail(id)):
        try:
            if source is not None:
                return embedder.open(source)
        except DinoseekError as exc:
            logger.warning("without its patches: %s", exc)
    return None


def own_picture(gallery: SqliteGallery, id: int) -> Prepared | None:
    """As `picture_of`, for an image of which only the id is known."""
    (record,) = gallery.get([id])
    return picture_of(gallery, id, record.own_file)


def _scores(
    gallery: SqliteGallery,
    sought: Sought,
    hits: Sequence[Hit],
    where: Filter | None,
    options: Augmentation | KReciprocal | SuperGlobal | Local,
) -> Array:
    vectors = gallery.vectors(hit.id for hit in hits)
    match options:
        case Augmentation():
            others = _neighbours(gallery, hits, vectors, where, options.neighbors)
            return augmented_by(vectors, others, options) @ sought.vector
        case KReciprocal():
            return k_reciprocal_scores(sought.vector, vectors, options)
        case SuperGlobal():
            return super_global_scores(sought.vector, vectors, options)
        case Local():
            return _local(gallery, sought, hits, vectors @ sought.vector, options)


def _neighbours(
    gallery: SqliteGallery,
    hits: Sequence[Hit],
    vectors: Array,
    where: Filter | None,
    count: int,
) -> Array:
    """The vectors (k, count', d) of the images nearest to each hit, in the whole gallery."""
    found = gallery.search(vectors, count + 1, where)
    pairs = zip(hits, found, strict=True)
    ids = [[each.id for each in row if each.id != hit.id][:count] for hit, row in pairs]
    fewest = min(map(len, ids))
    flat = [id for row in ids for id in row[:fewest]]
    if not flat:
        return np.empty((len(hits), 0, vectors.shape[1]), np.float32)
    return gallery.vectors(flat).reshape(len(hits), fewest, -1)  # (k count', d) -> (k, count', d)


def _local(
    gallery: SqliteGallery, sought: Sought, hits: Sequence[Hit], cosines: Array, options: Local
) -> Array:
    embedder = gallery.embedder
    if embedder is None or sought.picture is None:
        raise ValueError("local re-ranking compares pictures")
    query = embedder.patches(sought.picture)
    patches: list[Patches | None] = []
    for hit in hits:
        prepared = picture_of(gallery, hit.id, hit.file)
        patches.append(None if prepared is None else embedder.patches(prepared))
    return local_scores(query, patches, cosines, options)
