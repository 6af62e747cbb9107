"""A gallery as a map: where each image lies in a plane, and which are nearest to it."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from dinoseek.errors import DinoseekError
from dinoseek.gallery.exact import Ids, top_k
from dinoseek.gallery.filters import Filter
from dinoseek.gallery.sqlite_gallery import SqliteGallery
from dinoseek.images.decode import load_image
from dinoseek.interchange.exporting import Exported, exported
from dinoseek.layout import Method, laid_out
from dinoseek.pooling import unit
from dinoseek.report.pictures import thumbnail
from dinoseek.vit.ops import Array

SIDE = 128  # pixels of a picture on the map
_QUALITY = 72


@dataclass(frozen=True, kw_only=True)
class Mapped:
    """Images (m,) of an export with their vectors (m, d), as stored, and points (m, 2).

    Only every so many are there if there are more than were asked for.
    """

    found: Exported
    rows: list[dict[str, Any]]
    vectors: Array
    points: Array


def mapped(found: Exported, method: Method, most: int) -> Mapped:
    """Lays an export out, at most `most` images evenly spread over it."""
    rows: list[dict[str, Any]] = []
    parts: list[Array] = []
    step = max(1, -(-found.rows // most))
    first = 0
    for batch, vectors in found.batches():
        keep = slice(-first % step, None, step)
        rows += batch[keep]
        parts.append(vectors[keep])
        first += len(batch)
    vectors = np.concatenate(parts)
    points = laid_out(unit(vectors), method)
    return Mapped(found=found, rows=rows, vectors=vectors, points=points)


def map_of(
    gallery: SqliteGallery,
    *,
    method: Method = "pca",
    space: str | None = None,
    where: Filter | None = None,
    most: int,
) -> Mapped:
    """The map of a space, by its id or model's name; only of images that `where` holds for."""
    with gallery.reading():
        return mapped(exported(gallery, space, where), method, most)


def nearest(vectors: Array, count: int) -> tuple[Ids, Array]:
    """The `count` nearest others of vectors (m, d): rows (m, k) and cosines (m, k)."""
    vectors = unit(vectors)  # they were rounded when they were stored
    count = min(count, len(vectors) - 1)
    rows, cosines = top_k(vectors, vectors, count + 1)
    own = rows == np.arange(len(vectors))[:, None]
    own[~own.any(axis=1), -1] = True  # an image with many copies may not be among its own nearest
    shape = (len(vectors), count)
    return rows[~own].reshape(shape), cosines[~own].reshape(shape)


def pictures(gallery: SqliteGallery, found: Mapped) -> Iterator[bytes | None]:
    """A small JPEG of each image on a map; None for one that cannot be read now."""
    for row in found.rows:
        yield _small(gallery, row["id"])


def _small(gallery: SqliteGallery, id: int) -> bytes | None:
    (record,) = gallery.get([id])
    for source in (record.own_file, gallery.thumbnail(id)):
        try:
            if source is not None:
                image = thumbnail(load_image(source, least_side=2 * SIDE), SIDE)
                data = io.BytesIO()
                image.save(data, "JPEG", quality=_QUALITY, optimize=True)
                return data.getvalue()
        except DinoseekError:
            continue
    return None
