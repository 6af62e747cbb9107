"""Thumbnails kept from one start of the server to the next, in an SQLite file that may be lost.

Nothing waits for the disk: what a power failure damages is noticed by a checksum, or by SQLite, and
made again. Where nothing can be written, some are kept in memory.
"""

import contextlib
import logging
import os
import sqlite3
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from dinoseek.gallery.connection import is_of_machine
from dinoseek.web.live.lru import Lru

logger = logging.getLogger(__name__)

T = TypeVar("T")

_VERSION = 1
_MOST = 1_000_000_000  # bytes
_KEPT = 0.9  # of it are left when the oldest go
_IN_MEMORY = 64_000_000  # bytes
_PATIENCE = 2.0  # seconds that another process may take to write
# UnicodeDecodeError: sqlite3's, of a message that quotes what is damaged
_FAULTS = (OSError, sqlite3.Error, UnicodeDecodeError)
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS thumbnails (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
    " size INTEGER NOT NULL, crc INTEGER NOT NULL, jpeg BLOB NOT NULL)"
)


class ThumbnailStore:
    """JPEGs by name, in the SQLite file `path`, or only in memory; threads may share it.

    The file holds up to `most` bytes of them; the first that came go first.
    """

    def __init__(self, path: Path | None, *, most: int = _MOST) -> None:
        self._path = path
        self._most = most
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._total = 0
        self._memory: Lru[str, bytes] = Lru(_IN_MEMORY, len)
        self._is_closed = False

    def get(self, name: str) -> bytes | None:
        """The JPEG of that name, exactly as it was put, or None."""
        return self._memory.get(name) or self._tried(lambda: self._read(name))

    def put(self, name: str, jpeg: bytes) -> None:
        """Keeps a JPEG; never fails."""
        if not self._tried(lambda: self._write(name, jpeg)):
            self._memory.put(name, jpeg)

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self._is_closed = True
            self._disconnect()

    def _tried(self, work: Callable[[], T]) -> T | None:
        """What `work` returns; None where the file will not do. A damaged one is made anew."""
        with self._lock:
            if self._path is None or self._is_closed:
                return None
            try:
                return work()
            except _FAULTS as exc:
                self._disconnect()
                if isinstance(exc, OSError) or is_of_machine(exc):  # full, locked, not writable
                    logger.info("thumbnails are kept in memory: %s", exc)
                    return None
                logger.warning("making %s anew: %s", self._path, exc)
            return self._afresh(self._path, work)

    def _afresh(self, path: Path, work: Callable[[], T]) -> T | None:
        try:
            for ending in ("", "-wal", "-shm"):
                path.with_name(path.name + ending).unlink(missing_ok=True)
            return work()
        except _FAULTS as exc:
            logger.warning("thumbnails are kept in memory: %s", exc)
            self._disconnect()
            return None

    def _disconnect(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None and self._path is not None:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))  # pictures are private
            self._connection = sqlite3.connect(
                self._path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False
            )
            self._total = _prepared(self._connection)
        if self._connection is None:
            raise sqlite3.OperationalError("there is no file")
        return self._connection

    def _read(self, name: str) -> bytes | None:
        connection = self._connected()
        query = "SELECT crc, jpeg FROM thumbnails WHERE name = ?"
        row = connection.execute(query, (name,)).fetchone()
        if row is None:
            return None
        crc, jpeg = row
        if isinstance(jpeg, bytes) and zlib.crc32(jpeg) == crc:
            return jpeg
        connection.execute("DELETE FROM thumbnails WHERE name = ?", (name,))
        return None

    def _write(self, name: str, jpeg: bytes) -> bool:
        connection = self._connected()
        query = "INSERT OR IGNORE INTO thumbnails (name, size, crc, jpeg) VALUES (?, ?, ?, ?)"
        cursor = connection.execute(query, (name, len(jpeg), zlib.crc32(jpeg), jpeg))
        self._total += len(jpeg) * cursor.rowcount
        if self._total > self._most:
            self._make_room(connection)
        return True

    def _make_room(self, connection: sqlite3.Connection) -> None:
        """Forgets the first that came, several at once so that this is seldom needed."""
        last, total = 0, self._total
        query = "SELECT number, size FROM thumbnails ORDER BY number"
        for number, size in connection.execute(query):
            if total <= _KEPT * self._most:
                break
            last, total = number, total - size
        connection.execute("DELETE FROM thumbnails WHERE number <= ?", (last,))
        self._total = total


def _prepared(connection: sqlite3.Connection) -> int:
    """Makes the table of a new file; how many bytes of thumbnails there are."""
    for pragma in ("journal_mode = WAL", "synchronous = OFF", "trusted_schema = OFF"):
        connection.execute(f"PRAGMA {pragma}")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version not in (0, _VERSION):
        raise sqlite3.DatabaseError(f"it has version {version}")
    connection.execute(_SCHEMA)
    connection.execute(f"PRAGMA user_version = {_VERSION}")
    (total,) = connection.execute("SELECT coalesce(sum(size), 0) FROM thumbnails").fetchone()
    return int(total)
