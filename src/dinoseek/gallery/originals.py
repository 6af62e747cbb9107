"""Whether the photographs on disk are still those that were indexed, byte for byte."""

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from dinoseek.errors import printable
from dinoseek.gallery import roots
from dinoseek.gallery.base import WEB
from dinoseek.gallery.checkup import Problem
from dinoseek.gallery.connection import typed
from dinoseek.gallery.roots import full_path, is_archive, name_of
from dinoseek.gallery.sqlite_gallery import SqliteGallery

_FILES_AT_ONCE = 1000
_BYTES_AT_ONCE = 1 << 20
# opening a pipe that nobody writes to must not wait
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def changed_files(gallery: SqliteGallery) -> Iterator[Problem | None]:
    """Reads every file of the gallery; for each what is wrong with it, or None.

    Members of archives and addresses are not read.
    """
    with gallery.reading():
        where = roots.located(gallery._connection, gallery.path)
    for root in where:
        if name_of(where, root) == WEB:
            continue
        if is_archive(where, root):
            yield _archive(Path(name_of(where, root)))
            continue
        for path, size, mtime_ns, digest in _files(gallery, root):
            yield _compare(full_path(where, root, path), size, mtime_ns, digest)


def _files(gallery: SqliteGallery, root: int) -> Iterator[tuple[bytes, int, int, str]]:
    """The files of a root, some at a time: reading photographs may take hours."""
    query = (
        "SELECT path, size, mtime_ns, digest FROM files JOIN images ON id = image_id"
        " WHERE root_id = ? AND path > ? ORDER BY path LIMIT ?"
    )
    last = b""
    while True:
        with gallery.reading():
            rows = gallery._connection.execute(query, (root, last, _FILES_AT_ONCE)).fetchall()
        yield from typed(rows, bytes, int, int, str)
        if len(rows) < _FILES_AT_ONCE:
            return
        last = rows[-1][0]


def _archive(path: Path) -> Problem | None:
    return None if path.exists() else Problem(code="file.missing", text=f"{path} is not there")


def _compare(file: Path, size: int, mtime_ns: int, digest: str) -> Problem | None:
    try:
        found, status = _digest(file)
    except (FileNotFoundError, NotADirectoryError):
        return _problem("file.missing", file, "is not there")
    except OSError as exc:
        return _problem("file.unreadable", file, f"cannot be read ({exc.strerror or exc})")
    if found == digest:
        return None
    if (status.st_size, status.st_mtime_ns) == (size, mtime_ns):
        return _problem("file.damaged", file, "has other bytes, although nobody wrote to it")
    return _problem("file.changed", file, "was changed since it was indexed")


def _problem(code: str, file: Path, text: str) -> Problem:
    return Problem(code=code, text=f"{printable(file)} {text}")


def _digest(file: Path) -> tuple[str, os.stat_result]:
    """The sha256 of a regular file's bytes, in hexadecimal, and its status."""
    descriptor = os.open(file, _FLAGS)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError("it is no file")
        found = hashlib.sha256()
        while piece := os.read(descriptor, _BYTES_AT_ONCE):
            found.update(piece)
        return found.hexdigest(), status
    finally:
        os.close(descriptor)
