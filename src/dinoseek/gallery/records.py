"""Images and their files as rows: writing records, reading them back, forgetting them."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence

from dinoseek.gallery.base import Record
from dinoseek.gallery.connection import select_in, typed
from dinoseek.gallery.descriptions import (
    Description,
    as_text,
    describe,
    drop_attributes,
    put_attributes,
    values_of,
)
from dinoseek.gallery.roots import name_of


def put_image(connection: sqlite3.Connection, record: Record, origin: bytes = b"") -> int:
    """Keeps the image of a record and returns its id; see `Gallery.add` for one already there.

    `origin` names the file whose row in a list describes it.
    """
    found = connection.execute("SELECT id FROM images WHERE digest = ?", (record.digest,))
    if row := found.fetchone():
        id = int(row[0])
        describe(connection, id, description(record, origin))
        if record.look:
            query = "UPDATE images SET look = ? WHERE id = ? AND look IS NULL"
            connection.execute(query, (record.look, id))
    else:
        id = _insert(connection, record, origin)
    if record.thumbnail:
        query = "INSERT OR IGNORE INTO thumbnails (image_id, jpeg) VALUES (?, ?)"
        connection.execute(query, (id, record.thumbnail))
    return id


def description(record: Record, origin: bytes) -> Description:
    """What a record says of its image."""
    return Description(
        caption=record.caption, metadata=record.metadata, row=record.row, origin=origin
    )


def _insert(connection: sqlite3.Connection, record: Record, origin: bytes) -> int:
    cursor = connection.execute(
        "INSERT INTO images (digest, width, height, bytes, format, caption, metadata, look,"
        " described_by, described_row) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            record.digest,
            record.width,
            record.height,
            record.bytes,
            record.format,
            record.caption,
            as_text(record.metadata),
            record.look,
            None if record.row is None else origin,
            record.row,
        ),
    )
    id = int(cursor.lastrowid or 0)
    put_attributes(connection, id, record.metadata)
    return id


def put_file(
    connection: sqlite3.Connection,
    root_id: int,
    path: bytes,
    image_id: int,
    size: int,
    mtime_ns: int,
) -> None:
    """Says that the file is the image; whatever it was before, it is no longer."""
    connection.execute(
        "INSERT INTO files (root_id, path, image_id, size, mtime_ns) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (root_id, path) DO UPDATE SET"
        " image_id = excluded.image_id, size = excluded.size, mtime_ns = excluded.mtime_ns",
        (root_id, path, image_id, size, mtime_ns),
    )


def ids_of(connection: sqlite3.Connection, digests: Iterable[str]) -> dict[str, int]:
    """The ids of those of `digests` that are images here."""
    return dict(select_in(connection, "SELECT digest, id FROM images WHERE digest IN", digests))


def id_of_file(connection: sqlite3.Connection, root_id: int, path: bytes) -> int | None:
    """The id of the image that a file holds."""
    query = "SELECT image_id FROM files WHERE root_id = ? AND path = ?"
    row = connection.execute(query, (root_id, path)).fetchone()
    return None if row is None else int(row[0])


def known(connection: sqlite3.Connection, space_id: int, digests: Iterable[str]) -> set[str]:
    """Those of `digests` whose images have a vector in the space."""
    query = (
        "SELECT digest FROM images JOIN vectors ON image_id = id"
        f" WHERE space_id = {space_id:d} AND digest IN"
    )
    return {digest for (digest,) in select_in(connection, query, digests)}


def remove(connection: sqlite3.Connection, ids: Iterable[int]) -> int:
    """Forgets images with their files and vectors; returns how many there were."""
    count = 0
    for id in ids:
        row = connection.execute("SELECT metadata FROM images WHERE id = ?", (id,)).fetchone()
        if row:
            drop_attributes(connection, id, row[0])
            count += connection.execute("DELETE FROM images WHERE id = ?", (id,)).rowcount
    return count


def prune(connection: sqlite3.Connection) -> int:
    """Forgets images that have no file any more; returns how many."""
    rows = connection.execute(
        "SELECT id FROM images WHERE NOT EXISTS (SELECT 1 FROM files WHERE image_id = images.id)"
    )
    return remove(connection, [id for (id,) in rows])


def records(
    connection: sqlite3.Connection, roots: Mapping[int, bytes], ids: Sequence[int]
) -> dict[int, Record]:
    """The records of images by id, each with its first file; unknown ids are left out."""
    query = (
        "SELECT id, digest, width, height, bytes, format, caption, metadata,"
        " root_id, path, mtime_ns FROM images JOIN files ON image_id = id WHERE id IN"
    )
    rows = select_in(connection, query, ids, "ORDER BY id, root_id, path")
    found: dict[int, Record] = {}
    for id, *values in typed(rows, int, str, *[int] * 3, str, str | None, str, int, bytes, int):
        found.setdefault(id, _record(roots, *values))
    return found


def _record(
    roots: Mapping[int, bytes],
    digest: str,
    width: int,
    height: int,
    size: int,
    format: str,
    caption: str | None,
    metadata: str,
    root: int,
    path: bytes,
    mtime_ns: int,
) -> Record:
    return Record(
        path=path,
        root=name_of(roots, root),
        digest=digest,
        width=width,
        height=height,
        bytes=size,
        mtime_ns=mtime_ns,
        format=format,
        caption=caption,
        metadata=values_of(metadata),
    )
