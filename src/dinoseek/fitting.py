"""Fits on a gallery what better features need: a PCA on vectors, a vocabulary on patches."""

from collections.abc import Iterable, Iterator

import numpy as np

from dinoseek.embedder import Embedder, Prepared
from dinoseek.encoders.base import ValueEncoder
from dinoseek.errors import UsageError
from dinoseek.gallery.sqlite_gallery import SqliteGallery
from dinoseek.images.preprocess import to_pixels
from dinoseek.interchange.exporting import exported
from dinoseek.pca import Pca, fit_pca
from dinoseek.pooling import unit
from dinoseek.shortlist import own_picture
from dinoseek.vit.ops import Array
from dinoseek.vlad import Vocabulary, fit_centres

MOST_VECTORS = 100_000

_SEED = 0
_PATCHES_OF_EACH = 100


def fit_pca_on(
    gallery: SqliteGallery,
    dim: int,
    *,
    whiten: bool = False,
    space: str | None = None,
    most: int = MOST_VECTORS,
) -> Pca:
    """The first `dim` principal components of a gallery's vectors, at most `most` of them.

    `space` is an id or a model's name, where there are several. Raises UsageError projection.space
    for vectors that went through a projection already.
    """
    with gallery.reading():
        found = exported(gallery, space, None)
        if found.fingerprint.projection:
            reason = "its vectors went through a projection already"
            raise UsageError("projection.space", found.fingerprint.describe(), reason)
        every = max(1, -(-found.rows // most))
        vectors = np.concatenate([rows for _, rows in found.batches()])[::every]
    return fit_pca(vectors, dim, whiten=whiten, space=found.fingerprint.id)


def pictures_of(gallery: SqliteGallery, most: int) -> Iterator[Prepared]:
    """At most `most` images of a gallery, prepared, evenly spread over it; unreadable ones not."""
    with gallery.reading():
        rows = [row["id"] for part in exported(gallery, None, None).facts() for row in part]
    for id in rows[:: max(1, -(-len(rows) // most))]:
        picture = own_picture(gallery, id)
        if picture is not None:
            yield picture


def usual_block(depth: int) -> int:
    """The block whose values AnyLoc takes: 31 of 40, and as far up in other models."""
    return depth * 31 // 40


def values_of(embedder: Embedder, pictures: Iterable[Prepared], block: int) -> Iterator[Array]:
    """Unit values (n, d) of some patches of each picture, drawn with a fixed seed."""
    encoder = embedder.encoder
    if not isinstance(encoder, ValueEncoder):
        reason = "VLAD is made of a model's values, and it has none"
        raise UsageError("engine.values", embedder.fingerprint.model, reason, fix="use a model")
    rng = np.random.default_rng(_SEED)
    for picture in pictures:
        (values,) = encoder.with_values(to_pixels([picture]), block)[1].patches
        count = min(_PATCHES_OF_EACH, len(values))
        yield unit(values[rng.choice(len(values), count, replace=False)])


def fit_vocabulary(
    embedder: Embedder, values: Iterable[Array], clusters: int, block: int
) -> Vocabulary:
    """A vocabulary of `clusters` centres on values that `values_of` gave."""
    found = list(values)
    if not found:
        raise UsageError("fit.empty", "vocabulary", "no image of the gallery could be read")
    centres = fit_centres(np.concatenate(found), clusters)
    return Vocabulary(centres=centres, block=block, weights=embedder.fingerprint.weights)
