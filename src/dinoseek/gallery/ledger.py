"""What a gallery knows of each file in one space: all that decides if it must be read again."""

import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any

from dinoseek.gallery.connection import typed
from dinoseek.gallery.descriptions import Description
from dinoseek.gallery.roots import shown


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a file of this size and time could not be embedded, and what a list said of it."""

    size: int
    mtime_ns: int
    code: str
    reason: str
    said: Description | None = None


@dataclass(frozen=True, kw_only=True)
class FileState:
    """A file as it was when it was last read. `digest` is None if it is only known as a failure."""

    path: bytes
    size: int
    mtime_ns: int
    digest: str | None = None
    embedded: bool = False  # its image has a vector in the space
    failure: Failure | None = None


def states(
    connection: sqlite3.Connection, space_id: int, root_id: int, after: bytes, upto: bytes | None
) -> Iterator[FileState]:
    """The known files of a root with `after` < path <= `upto` (None: the end), by path."""
    where = {"space": space_id, "root": root_id, "after": after, "upto": upto}
    known = map(_state, typed(connection.execute(_IN_RANGE, where), *_KINDS))
    for _, same_path in groupby(known, key=attrgetter("path")):
        yield _merged(list(same_path))


def state_of(
    connection: sqlite3.Connection, space_id: int, root_id: int, path: bytes
) -> FileState | None:
    """What is known of one file; None if nothing is."""
    where = {"space": space_id, "root": root_id, "path": path}
    known = list(map(_state, typed(connection.execute(_AT_PATH, where), *_KINDS)))
    return _merged(known) if known else None


def _query(paths: str) -> str:
    """The files and the failures of a root, as far as `paths` says."""
    return f"""
        SELECT path, size, mtime_ns, digest, vectors.image_id IS NOT NULL, NULL, NULL
        FROM files JOIN images ON images.id = files.image_id
        LEFT JOIN vectors ON vectors.space_id = :space AND vectors.image_id = files.image_id
        WHERE root_id = :root AND {paths}
        UNION ALL
        SELECT path, size, mtime_ns, NULL, 0, code, reason FROM failures
        WHERE space_id = :space AND root_id = :root AND {paths}
        """


_IN_RANGE = _query("path > :after AND (:upto IS NULL OR path <= :upto)") + " ORDER BY 1"
_AT_PATH = _query("path = :path")
_TEXT = str | None
_KINDS = (bytes, int, int, _TEXT, int, _TEXT, _TEXT)


def _state(row: tuple[Any, ...]) -> FileState:
    path, size, mtime_ns, digest, embedded, code, reason = row
    failure = code and Failure(size=size, mtime_ns=mtime_ns, code=code, reason=reason or "")
    return FileState(
        path=path,
        size=size,
        mtime_ns=mtime_ns,
        digest=digest,
        embedded=bool(embedded),
        failure=failure or None,
    )


def _merged(rows: list[FileState]) -> FileState:
    """One state of a path that has a file, a failure, or both."""
    file = next((row for row in rows if row.digest), rows[0])
    failure = next((row.failure for row in rows if row.failure), None)
    return FileState(**{**vars(file), "failure": failure})


def put_failure(
    connection: sqlite3.Connection, space_id: int, root_id: int, path: bytes, failure: Failure
) -> None:
    """Remembers why a file could not be embedded, in place of an older reason."""
    connection.execute(
        "INSERT OR REPLACE INTO failures"
        " (space_id, root_id, path, size, mtime_ns, code, reason, said)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            space_id,
            root_id,
            path,
            failure.size,
            failure.mtime_ns,
            failure.code,
            failure.reason,
            failure.said.to_json() if failure.said else None,
        ),
    )


def drop_file(connection: sqlite3.Connection, root_id: int, path: bytes) -> None:
    """Forgets that the file is an image; the image stays until `prune`."""
    connection.execute("DELETE FROM files WHERE root_id = ? AND path = ?", (root_id, path))


def drop_failures(connection: sqlite3.Connection, root_id: int, path: bytes) -> None:
    """Forgets the failures of a file that is gone."""
    connection.execute("DELETE FROM failures WHERE root_id = ? AND path = ?", (root_id, path))


def any_failures(connection: sqlite3.Connection) -> bool:
    """Whether there is any failure that could be outdated."""
    return connection.execute("SELECT 1 FROM failures LIMIT 1").fetchone() is not None


def drop_outdated_failures(
    connection: sqlite3.Connection,
    space_id: int,
    root_id: int,
    path: bytes,
    size: int,
    mtime_ns: int,
) -> None:
    """Forgets the failures of a file that is now embedded, and in any space of other contents."""
    connection.execute(
        "DELETE FROM failures WHERE root_id = ? AND path = ?"
        " AND (space_id = ? OR size <> ? OR mtime_ns <> ?)",
        (root_id, path, space_id, size, mtime_ns),
    )


def failed(
    connection: sqlite3.Connection, space_id: int
) -> Iterator[tuple[int, bytes, Description | None]]:
    """Root id and path of the files that could not be embedded in a space, and what was said."""
    query = "SELECT root_id, path, said FROM failures WHERE space_id = ? ORDER BY root_id, path"
    for root_id, path, said in typed(connection.execute(query, (space_id,)), int, bytes, _TEXT):
        yield root_id, path, Description.from_json(said) if said else None


def failures(
    connection: sqlite3.Connection, roots: Mapping[int, bytes], space_id: int | None
) -> list[dict[str, Any]]:
    """The files that could not be embedded in a space, or in any: path, code and reason."""
    rows = connection.execute(
        "SELECT DISTINCT root_id, path, code, reason FROM failures"
        " WHERE space_id = coalesce(?, space_id) ORDER BY root_id, path",
        (space_id,),
    )
    checked = typed(rows, int, bytes, str, str)
    return [
        {
            "path": shown(roots, root, path.rstrip(b"/")),
            "code": code,
            "reason": reason,
        }
        for root, path, code, reason in checked
    ]
