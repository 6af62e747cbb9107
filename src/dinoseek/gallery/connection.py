"""Opening gallery.sqlite: how durable its commits are, and what its errors mean to a person."""

import contextlib
import errno
import os
import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar

from dinoseek.errors import DinoseekError, GalleryError, MachineError

T = TypeVar("T")

RECORD = "gallery.sqlite"
_PATIENCE = 10.0  # seconds to wait for another connection's transaction

_PRAGMAS = (
    "PRAGMA foreign_keys = ON",
    "PRAGMA synchronous = FULL",  # a commit is on the disk when it returns
    "PRAGMA trusted_schema = OFF",  # a gallery may come from anywhere: its schema runs no functions
    "PRAGMA cell_size_check = ON",
    "PRAGMA cache_size = -65536",  # KiB; new digests go to pages all over their index
    "PRAGMA wal_autocheckpoint = 16000",  # 64 MB: such pages are copied back once, not each time
)

_MACHINE_ERRORS = {
    sqlite3.SQLITE_BUSY: ("gallery.locked", "another process is writing to it", "try again"),
    sqlite3.SQLITE_LOCKED: ("gallery.locked", "another process is writing to it", "try again"),
    sqlite3.SQLITE_FULL: ("disk.full", "the disk is full", "free some space and run it again"),
    sqlite3.SQLITE_READONLY: ("gallery.readonly", "it can only be read", ""),
    sqlite3.SQLITE_PERM: ("gallery.unreadable", "permission denied", ""),
    sqlite3.SQLITE_AUTH: ("gallery.unreadable", "permission denied", ""),
    sqlite3.SQLITE_CANTOPEN: ("gallery.unreadable", "its record cannot be opened", ""),
    sqlite3.SQLITE_IOERR: ("gallery.io", "the disk failed to read or write", "look at the disk"),
}


def connect(folder: Path, *, readonly: bool) -> sqlite3.Connection:
    """Opens the record of the gallery in `folder`, in autocommit mode; the record must be there."""
    uri = (folder / RECORD).absolute().as_uri() + _mode(folder, readonly)
    connection = sqlite3.connect(uri, uri=True, timeout=_PATIENCE, isolation_level=None)
    try:
        for pragma in _PRAGMAS:
            connection.execute(pragma)
    except BaseException:
        connection.close()
        raise
    return connection


def _mode(folder: Path, readonly: bool) -> str:
    """SQLite's opening mode: a reader writes too, unless told that nothing can change."""
    if not readonly:
        return "?mode=rw"
    log = folder / f"{RECORD}-wal"
    settled = not (log.exists() and log.stat().st_size)
    return "?mode=ro" if os.access(folder, os.W_OK) or not settled else "?mode=ro&immutable=1"


def can_write(folder: Path) -> bool:
    """Whether this process may change the gallery in `folder`."""
    return os.access(folder, os.W_OK) and os.access(folder / RECORD, os.W_OK)


@contextmanager
def transaction(connection: sqlite3.Connection, kind: str = "IMMEDIATE") -> Iterator[None]:
    """All or nothing: commits at the end, rolls back on any exception.

    Inside another transaction, it belongs to that one. `kind` is "IMMEDIATE" to write, or
    "DEFERRED" to read one version throughout.
    """
    if connection.in_transaction:
        yield
        return
    connection.execute(f"BEGIN {kind}")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()
        raise


def typed(rows: Iterable[tuple[Any, ...]], *kinds: type | UnionType) -> Iterator[tuple[Any, ...]]:
    """The rows, if each column has its kind: a bit that flipped on the disk can change that too."""
    for row in rows:
        if not all(map(isinstance, row, kinds)):
            raise sqlite3.DatabaseError("a value of another kind than was written")
        yield row


_PARAMETERS_AT_ONCE = 500  # SQLite allows 999 in older builds


def select_in(
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


@contextmanager
def reported(folder: Path) -> Iterator[None]:
    """Turns SQLite's errors into ours, with the gallery as their subject."""
    try:
        yield
    except (sqlite3.ProgrammingError, sqlite3.IntegrityError):  # a programmer's mistake
        raise
    except sqlite3.Error as exc:
        raise _explained(folder, exc) from exc
    except UnicodeDecodeError as exc:  # sqlite3's, of a message that quotes a damaged schema
        raise corrupt(folder, "unreadable text") from exc


def _explained(folder: Path, exc: sqlite3.Error) -> DinoseekError:
    primary = getattr(exc, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    if primary == sqlite3.SQLITE_IOERR and _is_full(folder):
        primary = sqlite3.SQLITE_FULL
    if primary in _MACHINE_ERRORS:
        code, reason, fix = _MACHINE_ERRORS[primary]
        return MachineError(code, folder, reason, fix=fix)
    return corrupt(folder, str(exc))


def is_of_machine(exc: Exception) -> bool:
    """Whether an error of SQLite's is the machine's fault, and says nothing of the record."""
    return getattr(exc, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF in _MACHINE_ERRORS


def _is_full(folder: Path) -> bool:
    """Whether the disk is full; SQLite's shared memory then fails as if the disk were broken."""
    with contextlib.suppress(OSError):
        return shutil.disk_usage(folder).free < 1 << 20
    return False


def refused(folder: Path, code: str, doing: str, exc: OSError) -> MachineError:
    """The system refused to do something with the gallery's files."""
    if exc.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        code, doing, fix = _MACHINE_ERRORS[sqlite3.SQLITE_FULL]
        return MachineError(code, folder, doing, fix=fix)
    return MachineError(code, folder, f"{doing} ({exc.strerror})")


def corrupt(folder: Path, reason: str) -> GalleryError:
    """The gallery's record is damaged."""
    fix = "restore a backup, or delete the gallery and index its folders again"
    return GalleryError("gallery.corrupt", folder, f"the record is damaged ({reason})", fix=fix)
