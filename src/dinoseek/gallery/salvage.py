"""Saving what can still be read of a damaged record, row by row, into a new gallery."""

import contextlib
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dinoseek.embedder import Fingerprint
from dinoseek.errors import UsageError
from dinoseek.gallery.connection import connect, is_of_machine, reported, transaction
from dinoseek.gallery.descriptions import put_attributes
from dinoseek.gallery.factory import open_gallery
from dinoseek.gallery.spaces import fault_of

_LAST = (1 << 63) - 1

# Tables in which rows can be asked for by number, what is copied of them, and those without.
_NUMBERED = {
    "roots": ("id", "absolute, relative"),
    "spaces": ("id", "fingerprint_id, fingerprint, dim"),
    "images": (
        "id",
        "digest, width, height, bytes, format, caption, metadata, look, described_by,"
        " described_row",
    ),
    "vectors": ("rowid", "space_id, image_id, vector, checksum"),
    "thumbnails": ("image_id", "jpeg"),
}
_BY_NAME = {
    "files": ("root_id, path", "image_id, size, mtime_ns"),
    "failures": ("root_id, path, space_id", "size, mtime_ns, code, reason, said"),
    "decisions": ("first, second", "verdict"),
    "choices": ("root_id, path", "digest, instead"),
}
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Saved:
    """How many rows of each table were saved."""

    images: int
    files: int
    vectors: int


def salvage(folder: Path, target: Path) -> Saved:
    """Makes the gallery `target` of what can be read of the damaged one in `folder`.

    Images keep their ids. What is lost is found again by indexing. Raises UsageError if there is
    something at `target`, GalleryError if the record's table of contents itself is damaged.
    """
    if target.exists():
        fix = "name a folder that is not there yet"
        raise UsageError("file.exists", target, "is there already", fix=fix)
    with reported(folder), closing(connect(folder, readonly=True)) as old:
        old.execute("SELECT count(*) FROM sqlite_master").fetchone()
        with open_gallery(target) as new, new.writing(), transaction(new._connection):
            return _save(old, new._connection)


def _save(old: sqlite3.Connection, new: sqlite3.Connection) -> Saved:
    for table, (number, columns) in _NUMBERED.items():
        width = columns.count(",") + 2
        for row in _numbered_rows(old, table, number, columns):
            if _is_good(new, table, row):
                _insert(new, f"{table} ({number}, {columns})", row, width)
    for table, (key, columns) in _BY_NAME.items():
        names = f"{key}, {columns}"
        for row in _named_rows(old, table, key, names):
            _insert(new, f"{table} ({names})", row, len(row))
        if table == "files":  # all of them, before what is said of them
            _save_files_by_image(old, new)
    for id, metadata in new.execute("SELECT id, metadata FROM images").fetchall():
        put_attributes(new, id, json.loads(metadata))
    return Saved(**{name: _count(new, name) for name in Saved.__annotations__})


def _count(connection: sqlite3.Connection, table: str) -> int:
    (count,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    return int(count)


def _numbered_rows(
    connection: sqlite3.Connection, table: str, number: str, columns: str
) -> Iterator[tuple[Any, ...]]:
    """All rows that can be read; where one cannot, it goes on at the next number that can."""
    query = f"SELECT {number}, {columns} FROM {table} WHERE {number} > ? ORDER BY {number}"
    last = -1
    while last < _LAST:
        try:
            for row in connection.execute(query, (last,)):
                yield row
                last = row[0]
            return
        except (sqlite3.DatabaseError, UnicodeDecodeError) as exc:
            _pass_over(exc)
            last = _next_readable(connection, table, number, last)


def _next_readable(connection: sqlite3.Connection, table: str, number: str, last: int) -> int:
    """The least number above `last` after which rows can be read again.

    Steps are doubled until one leads past what is damaged, and the way back is halved.
    """
    bad, step = last, 1
    while not _can_be_read(connection, table, number, last + step):
        bad, step = last + step, 2 * step
        if last + step > _LAST:
            return _LAST
    good = last + step
    while good - bad > 1:
        middle = (good + bad) // 2
        if _can_be_read(connection, table, number, middle):
            good = middle
        else:
            bad = middle
    return good


def _can_be_read(connection: sqlite3.Connection, table: str, number: str, last: int) -> bool:
    query = f"SELECT * FROM {table} WHERE {number} > ? ORDER BY {number} LIMIT 1"
    try:
        connection.execute(query, (last,)).fetchone()
    except (sqlite3.DatabaseError, UnicodeDecodeError) as exc:
        _pass_over(exc)
        return False
    return True


def _named_rows(
    connection: sqlite3.Connection, table: str, key: str, columns: str
) -> Iterator[tuple[Any, ...]]:
    """The rows before the first that cannot be read, and those behind the last; some twice."""
    backwards = ", ".join(f"{name} DESC" for name in key.split(", "))
    for order in (key, backwards):
        try:
            yield from connection.execute(f"SELECT {columns} FROM {table} ORDER BY {order}")
            return
        except (sqlite3.DatabaseError, UnicodeDecodeError) as exc:
            _pass_over(exc)


def _pass_over(exc: Exception) -> None:
    if is_of_machine(exc):
        raise exc


def _save_files_by_image(old: sqlite3.Connection, new: sqlite3.Connection) -> None:
    """Files whose rows are lost, from the index by image; indexing looks into them once more."""
    without = "SELECT id, bytes FROM images WHERE id NOT IN (SELECT image_id FROM files)"
    query = "SELECT root_id, path FROM files INDEXED BY files_of_image WHERE image_id = ?"
    for id, size in new.execute(without).fetchall():
        with contextlib.suppress(sqlite3.DatabaseError):
            for root, path in old.execute(query, (id,)).fetchall():
                names = "files (root_id, path, image_id, size, mtime_ns)"
                _insert(new, names, (root, path, id, size, 0), 5)


def _insert(connection: sqlite3.Connection, columns: str, row: tuple[Any, ...], width: int) -> None:
    """Keeps a row unless it contradicts one that is there, or refers to one that is not."""
    marks = ", ".join("?" * width)
    with contextlib.suppress(sqlite3.IntegrityError):
        connection.execute(f"INSERT OR IGNORE INTO {columns} VALUES ({marks})", row)


def _is_good(new: sqlite3.Connection, table: str, row: tuple[Any, ...]) -> bool:
    match table:
        case "images":
            return _is_good_image(*row[1:])
        case "spaces":
            return _is_good_space(*row[1:])
        case "vectors":
            _, space, image_id, blob, checksum = row
            dim = new.execute("SELECT dim FROM spaces WHERE id = ?", (space,)).fetchone()
            return dim is not None and not fault_of(image_id, blob, checksum, dim[0])
    return True


def _is_good_image(digest: Any, *values: Any) -> bool:
    *numbers, format, caption, metadata, _, _, _ = values
    try:
        is_object = isinstance(json.loads(metadata), dict)
    except (ValueError, TypeError, RecursionError):
        return False
    return (
        is_object
        and _DIGEST.fullmatch(str(digest)) is not None
        and all(isinstance(number, int) and number >= 0 for number in numbers)
        and isinstance(format, str)
        and isinstance(caption, str | None)
    )


def _is_good_space(name: Any, text: Any, dim: Any) -> bool:
    try:
        fingerprint = Fingerprint.from_json(text)
    except (ValueError, TypeError):
        return False
    return (fingerprint.id, fingerprint.dim) == (name, dim)
