"""The vectors of one space as a file that is read in place: derived, checked, never trusted.

    header   128 bytes, see _HEADER
    matrix   (m, d) float32, rows of unit length, in the order of their ids
    ids      (m,) int64
    sums     (m,) uint64, see row_sums

Header, ids and sums are checked when the file is opened, rows when they are first used: all of them
before all are searched, otherwise those that are read. So nothing here needs to be flushed to disk
in any order, and nothing is lost with it.
"""

import logging
import mmap
import os
import struct
import sys
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from dinoseek.gallery.exact import Ids, Mask
from dinoseek.gallery.row_sums import Sums, row_sums
from dinoseek.vit.ops import Array

logger = logging.getLogger(__name__)

CACHE = "cache"  # the folder of derived files in that of a gallery
MAGIC = (
    b"dinoseek2 " + sys.byteorder.encode()
)  # 16 bytes; the arrays are in the machine's own order
# magic, space, stamp, version, rows, columns, checksum of ids and sums, checksum of all before it
_HEADER = struct.Struct("<16s16s16sQQQII")
_MATRIX_AT = 128  # a multiple of 64: BLAS likes aligned rows
_SUFFIX = ".matrix"
_TEMPORARY = ".tmp"
_READ_ONE_BY_ONE = 256  # rows; more are taken from the map, which is quicker but fills memory
_ROWS_AT_ONCE = 1 << 14  # checked at once


class DamagedError(Exception):
    """A derived file is not what was written: it has to be made anew."""


@dataclass(frozen=True, kw_only=True)
class MatrixKey:
    """Which contents a file must have: those of a space (its fingerprint's id) at a version.

    The random stamp tells versions apart that have one number: of another gallery, or of a record
    restored from a backup.
    """

    space: str
    version: int
    stamp: bytes
    rows: int
    dim: int


class Matrix:
    """Ids (m,), ascending, and vectors (m, d) of a space at one version: in memory or in a file."""

    def __init__(
        self, key: MatrixKey, ids: Ids, vectors: Array, sums: Sums, file: FileIO | None
    ) -> None:
        self.key = key
        self.ids = ids
        self._vectors = vectors
        self._sums = sums
        self._file = file
        self._checked = file is None

    @classmethod
    def in_memory(cls, key: MatrixKey, ids: Ids, vectors: Array) -> "Matrix":
        """Vectors that were just read from the record, and checked there."""
        return cls(key, ids, vectors, np.empty(0, np.uint64), None)

    def close(self) -> None:
        """Lets go of the file."""
        if self._file is not None:
            self._file.close()

    def find(self, wanted: Ids) -> tuple[Ids, Mask]:
        """Where images (n,) are, and which of them are there at all: places and a mask (n,)."""
        count = len(self.ids)
        if count and self.ids[-1] - self.ids[0] == count - 1:  # no gaps: nothing to look up
            places = wanted - self.ids[0]
            return places, (places >= 0) & (places < count)
        places = np.searchsorted(self.ids, wanted)
        return places, np.take(self.ids, places, mode="clip") == wanted if count else places < 0

    def whole(self) -> Array:
        """All vectors (m, d); DamagedError if any is not as it was written."""
        self._check_length()
        for start in range(0, 0 if self._checked else len(self.ids), _ROWS_AT_ONCE):
            end = min(start + _ROWS_AT_ONCE, len(self.ids))
            self._check(np.arange(start, end), self._vectors[start:end])
        self._checked = True
        return self._vectors

    def rows(self, places: Ids) -> Array:
        """The vectors (n, d) at some places; DamagedError if one is not as it was written."""
        if self._checked or len(places) > _READ_ONE_BY_ONE:
            self._check_length()
            found = self._vectors[places]
        else:
            found = self._read(places)
        if not self._checked:
            self._check(places, found)
        return found

    def _read(self, places: Ids) -> Array:
        # not from the map: with each row it would keep the pages around it in memory
        if self._file is None or not hasattr(os, "pread"):
            return self._vectors[places]
        handle, size = self._file.fileno(), 4 * self.key.dim
        starts = (_MATRIX_AT + size * places).tolist()
        content = b"".join([os.pread(handle, size, start) for start in starts])
        if len(content) != size * len(starts):
            raise DamagedError("it became shorter")
        return np.frombuffer(content, np.float32).reshape(len(starts), self.key.dim)

    def _check_length(self) -> None:
        # a map that reaches past the end of its file ends the process
        if self._file is not None and os.fstat(self._file.fileno()).st_size != size_of(self.key):
            raise DamagedError("it changed its length")

    def _check(self, places: Ids, vectors: Array) -> None:
        if (row_sums(self.ids[places], vectors) != self._sums[places]).any():
            raise DamagedError("a vector changed on the disk")


def size_of(key: MatrixKey) -> int:
    """How many bytes the file of this key has."""
    return _MATRIX_AT + key.rows * (key.dim * 4 + 16)


def cache_file(folder: Path, space: str) -> Path:
    """Where the matrix of a space is kept: one file per space, replaced by each new version."""
    return folder / f"{space}{_SUFFIX}"


def load(folder: Path, space: str) -> Matrix | None:
    """Opens the matrix of a space, whatever its version; None if there is none, or a damaged one.

    The vectors themselves are checked when they are used.
    """
    path = cache_file(folder, space)
    try:
        with opened(path) as file:
            return _matrix(file, space)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, OverflowError, DamagedError) as exc:
        logger.info("cannot use %s, reading the record instead: %s", path, exc)
        return None


@contextmanager
def opened(path: Path) -> Iterator[FileIO]:
    """A file for reading without a buffer; closed if the block fails, otherwise left open."""
    file = FileIO(path)
    try:
        yield file
    except BaseException:
        file.close()
        raise


def stored_key(folder: Path, space: str) -> MatrixKey | None:
    """Which version of a space its file says it has; None if there is no such file."""
    try:
        with FileIO(cache_file(folder, space)) as file:
            return _key(file.read(_HEADER.size), space)[0]
    except (OSError, DamagedError):
        return None


def _key(header: bytes, space: str) -> tuple[MatrixKey, int]:
    """What a header says, and the checksum of ids and sums."""
    if len(header) < _HEADER.size:
        raise DamagedError("its header is cut")
    magic, name, stamp, version, rows, dim, contents, _ = _HEADER.unpack(header)
    key = MatrixKey(space=space, version=version, stamp=stamp, rows=rows, dim=dim)
    if magic != MAGIC or name != space.encode() or header != _header(key, contents):
        raise DamagedError("its header is of another kind or space, or damaged")
    return key, contents


def _matrix(file: FileIO, space: str) -> Matrix:
    key, contents = _key(file.read(_HEADER.size), space)
    if os.fstat(file.fileno()).st_size != size_of(key):  # also keeps the map within the file
        raise DamagedError("its length is wrong")
    ends = _MATRIX_AT + key.rows * key.dim * 4
    file.seek(ends)
    ids, sums = np.empty(key.rows, np.int64), np.empty(key.rows, np.uint64)
    for array in (ids, sums):
        _fill(file, array)
    if _checksum(ids, sums) != contents:
        raise DamagedError("its ids or checksums are damaged")
    content = mmap.mmap(file.fileno(), ends, access=mmap.ACCESS_READ)
    vectors = np.frombuffer(content, np.float32, key.rows * key.dim, _MATRIX_AT)
    return Matrix(key, ids, vectors.reshape(key.rows, key.dim), sums, file)


def _fill(file: FileIO, array: NDArray[Any]) -> None:
    left = array.data.cast("B") if array.size else memoryview(b"")
    while left:
        count = file.readinto(left)
        if not count:
            raise DamagedError("it became shorter")
        left = left[count:]


def _checksum(ids: Ids, sums: Sums) -> int:
    return zlib.crc32(sums.data, zlib.crc32(ids.data))


def _header(key: MatrixKey, contents: int) -> bytes:
    fields = (MAGIC, key.space.encode(), key.stamp, key.version, key.rows, key.dim, contents)
    return _HEADER.pack(*fields, zlib.crc32(_HEADER.pack(*fields, 0)[:-4]))


def store(folder: Path, key: MatrixKey, ids: Ids, vectors: Array) -> bool:
    """Writes the file for `key` in the old one's place; False if that cannot be done."""
    try:
        with replacing(cache_file(folder, key.space)) as file:
            _write(file, key, np.ascontiguousarray(ids, np.int64), vectors)
    except OSError as exc:
        logger.info("searching without a cache in %s: %s", folder, exc)
        return False
    return True


def _write(file: IO[bytes], key: MatrixKey, ids: Ids, vectors: Array) -> None:
    rows = np.ascontiguousarray(vectors, np.float32)
    sums = row_sums(ids, rows)
    file.write(_header(key, _checksum(ids, sums)).ljust(_MATRIX_AT, b"\0"))
    for array in (rows, ids, sums):
        file.write(array.data)


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file to write that takes the place of `path` when the block ends, and is gone if it fails.

    Raises OSError where that cannot be done.
    """
    path.parent.mkdir(mode=0o700, exist_ok=True)
    # mkstemp makes the file 0600 whatever the umask, and no two processes share a name
    handle, name = tempfile.mkstemp(prefix=f"{path.stem}.", suffix=_TEMPORARY, dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def sweep(folder: Path) -> None:
    """Removes what killed processes left half written; one at work then goes without a cache."""
    for left in folder.glob(f"*{_TEMPORARY}"):
        left.unlink(missing_ok=True)
