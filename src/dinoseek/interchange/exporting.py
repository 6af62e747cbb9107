"""What a gallery gives to others: its images in the order of their ids, some at a time."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dinoseek.embedder import Fingerprint
from dinoseek.errors import UsageError
from dinoseek.gallery import filters, roots
from dinoseek.gallery.connection import select_in, typed
from dinoseek.gallery.descriptions import values_of
from dinoseek.gallery.exact import Ids
from dinoseek.gallery.filters import Filter
from dinoseek.gallery.id_sets import are_in, read_ids
from dinoseek.gallery.places import places
from dinoseek.gallery.spaces import Space, fault_of, spaces_of
from dinoseek.gallery.sqlite_gallery import SqliteGallery
from dinoseek.interchange.columns import Column, columns_of
from dinoseek.vit.ops import Array

Row = dict[str, Any]

FACTS = ("id", "path", "url", "caption", "width", "height", "bytes", "format", "digest")
VECTOR = "vector"

_ROWS_AT_ONCE = 1024


@dataclass(frozen=True, kw_only=True)
class Exported:
    """The images of one space, at one version of the gallery; valid inside `gallery.reading()`.

    `batches` reads them anew each time: rows with FACTS and `metadata`, and vectors (n, d) as they
    are stored, of unit length but for the rounding. `facts` reads the rows alone.
    """

    fingerprint: Fingerprint
    rows: int
    columns: Sequence[Column]
    batches: Callable[[], Iterator[tuple[list[Row], Array]]]
    facts: Callable[[], Iterator[list[Row]]]


def exported(gallery: SqliteGallery, space: str | None, where: Filter | None) -> Exported:
    """What there is to export of a space, by its id or model's name; only what a filter holds for.

    To be used inside `gallery.reading()`. Raises UsageError if there is nothing, or several spaces
    and none is named.
    """
    chosen = _space(gallery, space)
    ids = _ids(gallery, chosen, where)

    def facts() -> Iterator[list[Row]]:
        for part in _parts(ids):
            yield _rows(gallery, part)

    def batches() -> Iterator[tuple[list[Row], Array]]:
        for part in _parts(ids):
            yield _rows(gallery, part), _vectors(gallery, chosen, part)

    return Exported(
        fingerprint=chosen.fingerprint,
        rows=len(ids),
        columns=columns_of(_metadata(gallery, ids), {*FACTS, VECTOR}),
        batches=batches,
        facts=facts,
    )


def _space(gallery: SqliteGallery, name: str | None) -> Space:
    filled = [space for space in spaces_of(gallery._connection) if space.key.rows]
    found = [space for space in filled if name in (None, space.key.space, space.fingerprint.model)]
    if len(found) == 1:
        return found[0]
    if not filled:
        raise UsageError("gallery.empty", gallery.path, "there are no vectors here yet")
    listed = "; ".join(f"{each.key.space} ({each.fingerprint.describe()})" for each in filled)
    reason = f"it has vectors of {listed}"
    raise UsageError("gallery.several_spaces", gallery.path, reason, fix="name one with --space ID")


def _ids(gallery: SqliteGallery, space: Space, where: Filter | None) -> Ids:
    """The ids (n,), ascending, of images with a vector and a place."""
    query = (
        "SELECT image_id AS id FROM vectors WHERE space_id = ?"
        " AND EXISTS (SELECT 1 FROM files WHERE files.image_id = vectors.image_id)"
    )
    ids = read_ids(gallery._connection, query, [space.id])
    if where is not None:
        ids = ids[are_in(ids, filters.matching(gallery._connection, where))]
    if not len(ids):
        raise UsageError("export.empty", gallery.path, "no image is to be exported")
    return ids


def _parts(ids: Ids) -> Iterator[Ids]:
    for start in range(0, len(ids), _ROWS_AT_ONCE):
        yield ids[start : start + _ROWS_AT_ONCE]


def _metadata(gallery: SqliteGallery, ids: Ids) -> Iterator[Any]:
    query = "SELECT id, metadata FROM images WHERE metadata <> '{}' AND id IN"
    for part in _parts(ids):
        for _, text in typed(select_in(gallery._connection, query, part.tolist()), int, str):
            yield values_of(text)


def _vectors(gallery: SqliteGallery, space: Space, ids: Ids) -> Array:
    """The vectors (n, d) of images as they are stored; sqlite3.DatabaseError if one is damaged."""
    query = (
        "SELECT image_id, vector, checksum FROM vectors"
        f" WHERE space_id = {space.id:d} AND image_id IN"
    )
    rows = select_in(gallery._connection, query, ids.tolist())
    for id, blob, checksum in rows:
        if fault := fault_of(id, blob, checksum, space.key.dim):
            raise sqlite3.DatabaseError(fault)
    stored = {id: np.frombuffer(blob, "<f2") for id, blob, _ in rows}
    return np.stack([stored[id] for id in ids.tolist()]).astype(np.float32)


def _rows(gallery: SqliteGallery, ids: Ids) -> list[Row]:
    connection = gallery._connection
    where = roots.located(connection, gallery.path)
    found = places(connection, where, ids.tolist())
    query = "SELECT id, width, height, bytes, format, digest FROM images WHERE id IN"
    facts = typed(select_in(connection, query, ids.tolist(), "ORDER BY id"), *[int] * 4, str, str)
    return [
        {
            "id": id,
            "path": found[id].path,
            "url": found[id].url,
            "caption": found[id].caption,
            "width": width,
            "height": height,
            "bytes": size,
            "format": format,
            "digest": digest,
            "metadata": found[id].metadata,
        }
        for id, width, height, size, format, digest in facts
    ]
