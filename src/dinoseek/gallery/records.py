"""Images and their files as rows: writing records, reading them back, forgetting them."""

import json
import os.path
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeVar

from dinoseek.gallery.base import Record
from dinoseek.gallery.connection import typed
from dinoseek.gallery.roots import full_path

T = TypeVar("T")

_PARAMETERS_AT_ONCE = 500  # SQLite allows 999 in older builds


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where an image lies: the first of its files that exists, or the first if none does."""

    digest: str
    caption: str | None
    file: Path


def put_image(connection: sqlite3.Connection, record: Record) -> int:
    """Keeps the image of a record and returns its id; see `Gallery.add` for one already there."""
    metadata = json.dumps(dict(record.metadata), ensure_ascii=False)
    connection.execute(
        "INSERT INTO images (digest, width, height, bytes, format, caption, metadata)"
        " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (digest) DO UPDATE SET"
        " caption = coalesce(excluded.caption, caption),"
        " metadata = iif(excluded.metadata = '{}', metadata, excluded.metadata)",
        (
            record.digest,
            record.width,
            record.height,
            record.bytes,
            record.format,
            record.caption,
            metadata,
        ),
    )
    return ids_of(connection, [record.digest])[record.digest]


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
    return dict(_select_in(connection, "SELECT digest, id FROM images WHERE digest IN", digests))


def known(connection: sqlite3.Connection, space_id: int, digests: Iterable[str]) -> set[str]:
    """Those of `digests` whose images have a vector in the space."""
    query = (
        "SELECT digest FROM images JOIN vectors ON image_id = id"
        f" WHERE space_id = {space_id:d} AND digest IN"
    )
    return {digest for (digest,) in _select_in(connection, query, digests)}


def remove(connection: sqlite3.Connection, ids: Iterable[int]) -> int:
    """Forgets images with their files and vectors; returns how many there were."""
    return sum(connection.execute("DELETE FROM images WHERE id = ?", (id,)).rowcount for id in ids)


def prune(connection: sqlite3.Connection) -> int:
    """Forgets images that have no file any more; returns how many."""
    return connection.execute(
        "DELETE FROM images WHERE NOT EXISTS (SELECT 1 FROM files WHERE image_id = images.id)"
    ).rowcount


def records(
    connection: sqlite3.Connection, roots: Mapping[int, bytes], ids: Sequence[int]
) -> dict[int, Record]:
    """The records of images by id, each with its first file; unknown ids are left out."""
    query = (
        "SELECT id, digest, width, height, bytes, format, caption, metadata,"
        " root_id, path, mtime_ns FROM images JOIN files ON image_id = id WHERE id IN"
    )
    rows = _select_in(connection, query, ids, "ORDER BY id, root_id, path")
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
    try:
        values = json.loads(metadata)
    except ValueError as exc:
        raise sqlite3.DatabaseError("unreadable metadata") from exc
    return Record(
        path=path,
        root=str(full_path(roots, root, b"")),
        digest=digest,
        width=width,
        height=height,
        bytes=size,
        mtime_ns=mtime_ns,
        format=format,
        caption=caption,
        metadata=values,
    )


def places(
    connection: sqlite3.Connection, roots: Mapping[int, bytes], ids: Iterable[int]
) -> dict[int, Place]:
    """Where images lie, by id; those without a file are left out."""
    wanted = list(ids)
    query = (
        "SELECT id, digest, caption, root_id, path"
        " FROM images JOIN files ON image_id = id WHERE id IN"
    )
    rows = _select_in(connection, query, wanted, "ORDER BY id, root_id, path")
    found = {}
    checked = typed(rows, int, str, str | None, int, bytes)
    for id, group in groupby(checked, key=itemgetter(0)):
        files = list(group)
        paths = [full_path(roots, root, path) for *_, root, path in files]
        # asked only where there is a choice: a search must not wait for a slow disk
        file = paths[0] if len(paths) == 1 else next(filter(os.path.lexists, paths), paths[0])
        found[id] = Place(digest=files[0][1], caption=files[0][2], file=file)
    _check_without_file(connection, [id for id in wanted if id not in found])
    return found


def _check_without_file(connection: sqlite3.Connection, ids: list[int]) -> None:
    """Makes sure that images have really lost their files, and the record is not damaged."""
    images = _select_in(connection, "SELECT id FROM images WHERE id IN", ids)
    if len(images) < len(ids):
        raise sqlite3.DatabaseError("vectors of images that are not there")
    # of the table itself: "+" keeps the index out of it, which may be what is damaged
    scan = "SELECT size FROM files WHERE +image_id IN"
    if _select_in(connection, scan, ids):
        raise sqlite3.DatabaseError("files that their index does not have")


def files_of(connection: sqlite3.Connection, roots: Mapping[int, bytes], digest: str) -> list[Path]:
    """All files of an image, by root and path."""
    query = (
        "SELECT root_id, path FROM files JOIN images ON id = image_id WHERE digest = ?"
        " ORDER BY root_id, path"
    )
    return [full_path(roots, root, path) for root, path in connection.execute(query, (digest,))]


def _select_in(
    connection: sqlite3.Connection, query: str, values: Iterable[T], ending: str = ""
) -> list[tuple[Any, ...]]:
    """Rows of `query`, which ends in IN, for any number of values."""
    chosen = list(values)
    rows = []
    for start in range(0, len(chosen), _PARAMETERS_AT_ONCE):
        part = chosen[start : start + _PARAMETERS_AT_ONCE]
        marks = ", ".join("?" * len(part))
        rows += connection.execute(f"{query} ({marks}) {ending}", part).fetchall()
    return rows
