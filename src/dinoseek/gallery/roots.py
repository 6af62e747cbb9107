"""The folders that were indexed: where each was, and where it is now that things have moved.

A root is kept as an absolute path and as the way from the gallery to it. A gallery that moved
together with its photographs finds them by the second, one that moved alone by the first. A tar
archive is a root like a folder; all addresses have one root, WEB, which is nowhere.
"""

import os
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

from dinoseek.errors import UsageError, printable
from dinoseek.gallery.base import WEB
from dinoseek.gallery.connection import typed

ARCHIVE_SUFFIXES = (b".tar", b".tar.gz", b".tgz")

Stored: TypeAlias = tuple[int, bytes, bytes | None]  # id, absolute and relative path

_WEB = os.fsencode(WEB)


def slashed(folder: str | Path) -> bytes:
    """The real path of a folder in the system's bytes, "/" between its parts, not at its end."""
    if folder == WEB:
        return _WEB
    return os.fsencode(Path(os.path.realpath(folder)).as_posix()).rstrip(b"/")


def located(connection: sqlite3.Connection, gallery: Path) -> dict[int, bytes]:
    """Where each root is now, by id: on the way from the gallery, else where it was."""
    return placed(stored(connection), gallery)


def stored(connection: sqlite3.Connection) -> list[Stored]:
    """The roots as they are kept: id, absolute and relative path."""
    rows = connection.execute("SELECT id, absolute, relative FROM roots ORDER BY id")
    return list(typed(rows, int, bytes, bytes | None))


def placed(roots: Iterable[Stored], gallery: Path) -> dict[int, bytes]:
    """Where roots are now, by id, as the disk shows it."""
    return {id: _locate(gallery, absolute, relative) for id, absolute, relative in roots}


def _locate(gallery: Path, absolute: bytes, relative: bytes | None) -> bytes:
    if relative is None:
        return absolute
    beside = slashed(gallery / os.fsdecode(relative))  # resolves links before it goes up
    return beside if os.path.exists(beside or b"/") else absolute  # noqa: PTH110  in each search


def _root(roots: Mapping[int, bytes], root: int) -> bytes:
    if root not in roots:
        raise sqlite3.DatabaseError(f"files of root {root}, which there is not")
    return roots[root]


def full_path(roots: Mapping[int, bytes], root: int, path: bytes) -> Path:
    """The absolute path of a file of a root, as `located` gives them; not for addresses."""
    return Path(os.fsdecode(_root(roots, root) + b"/" + path))


def address(roots: Mapping[int, bytes], root: int, path: bytes) -> str | None:
    """The address, if the root is the web."""
    return os.fsdecode(path) if _root(roots, root) == _WEB else None


def is_archive(roots: Mapping[int, bytes], root: int) -> bool:
    """Whether the root is a tar archive, whose members cannot be opened as files."""
    where = _root(roots, root)
    return where.lower().endswith(ARCHIVE_SUFFIXES) and not Path(os.fsdecode(where)).is_dir()


def is_plain(roots: Mapping[int, bytes], root: int) -> bool:
    """Whether the root is a folder, and its files' paths are as the system writes them."""
    return os.sep == "/" and _root(roots, root) != _WEB and not is_archive(roots, root)


def file_name(roots: Mapping[int, bytes], root: int, path: bytes) -> str:
    """`full_path` as text, as Path would write it; for files of folders."""
    return os.fsdecode(_root(roots, root) + b"/" + path)


def shown(roots: Mapping[int, bytes], root: int, path: bytes) -> str:
    """Where a file is, for people: a path, ARCHIVE/MEMBER, or an address."""
    return printable(address(roots, root, path) or full_path(roots, root, path))


def name_of(roots: Mapping[int, bytes], root: int) -> str:
    """The root as `Record.root` has it."""
    where = _root(roots, root)
    return WEB if where == _WEB else str(Path(os.fsdecode(where + b"/")))


def way_from(gallery: Path, root: bytes) -> bytes | None:
    """The relative path from the gallery to the root; None where there is none (drives, web)."""
    if root == _WEB:
        return None
    try:
        way = os.path.relpath(os.fsdecode(root + b"/"), os.path.realpath(gallery))
    except ValueError:
        return None
    return os.fsencode(Path(way).as_posix())


def root_id(connection: sqlite3.Connection, gallery: Path, root: str) -> int:
    """The id of the root at this path; a new one if there is none."""
    path = slashed(root)
    for known, where in located(connection, gallery).items():
        if where == path:
            return known
    cursor = connection.execute(
        "INSERT INTO roots (absolute, relative) VALUES (?, ?)", (path, way_from(gallery, path))
    )
    return int(cursor.lastrowid or 0)


def place(
    connection: sqlite3.Connection, gallery: Path, folder: str | Path, *, whole: bool
) -> tuple[str, bytes]:
    """The root that `folder` belongs to, and the folder's path inside it ("" or ending in "/").

    A folder inside a root belongs to it; a new root takes over the roots inside it if it is indexed
    as a `whole`. So a file has one path in the gallery, however it is named.
    """
    settle(connection, gallery)
    path = slashed(folder)
    around = [root for root in located(connection, gallery).values() if _inside(path, root)]
    if around:
        root = max(around, key=len)
        return os.fsdecode(root or b"/"), (path + b"/")[len(root) + 1 :]
    id = root_id(connection, gallery, os.fsdecode(path or b"/"))
    for other, inner in located(connection, gallery).items() if whole else ():
        if other != id and _inside(inner, path):
            _move_files(connection, other, id, inner[len(path) + 1 :] + b"/")
    return os.fsdecode(path or b"/"), b""


def _inside(path: bytes, root: bytes) -> bool:
    return (path + b"/").startswith(root + b"/")


def _move_files(connection: sqlite3.Connection, old: int, new: int, prefix: bytes) -> None:
    """Gives the files of one root to another, where their paths begin with `prefix`."""
    for table in ("files", "failures"):
        connection.execute(
            f"UPDATE OR REPLACE {table} SET root_id = ?, path = CAST(? || path AS BLOB)"
            " WHERE root_id = ?",
            (new, prefix, old),
        )
    connection.execute("DELETE FROM roots WHERE id = ?", (old,))


def settle(connection: sqlite3.Connection, gallery: Path) -> None:
    """Writes down where the roots are now, so that the next move starts from there."""
    for id, where in located(connection, gallery).items():
        connection.execute(
            "UPDATE OR IGNORE roots SET absolute = :absolute, relative = :relative"
            " WHERE id = :id AND (absolute, relative) IS NOT (:absolute, :relative)",
            {"absolute": where, "relative": way_from(gallery, where), "id": id},
        )


def relocate(
    connection: sqlite3.Connection, gallery: Path, old: str | Path, new: str | Path
) -> None:
    """Makes the root at `old` the one at `new`; if that is a root already, it gets the files.

    Raises UsageError if `old` is no root.
    """
    before, after = slashed(old), slashed(new)
    now = located(connection, gallery)
    stored = {path: id for id, path in connection.execute("SELECT id, absolute FROM roots")}
    id = {**stored, **{path: id for id, path in now.items()}}.get(before)
    if id is None:
        known = ", ".join(printable(os.fsdecode(path)) for path in now.values()) or "none"
        raise UsageError("root.unknown", old, "not a folder of this gallery", fix=f"known: {known}")
    there = stored.get(after)
    if there is not None and there != id:
        _move_files(connection, id, there, b"")
    else:
        connection.execute(
            "UPDATE roots SET absolute = ?, relative = ? WHERE id = ?",
            (after, way_from(gallery, after), id),
        )
