"""The vectors of one space as a file mapped into memory: derived, checked, never trusted.

    header   128 bytes, see _HEADER
    matrix   (m, d) float32, rows of unit length, in the order of their ids
    ids      (m,) int64

A file that does not match its key to the last bit does not exist as far as `load` is concerned. So
nothing here needs to be flushed to disk in any order, and nothing is lost with it.
"""

import logging
import mmap
import os
import struct
import sys
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinoseek.gallery.exact import Ids
from dinoseek.vit.ops import Array

logger = logging.getLogger(__name__)

MAGIC = (
    b"dinoseek1 " + sys.byteorder.encode()
)  # 16 bytes; the arrays are in the machine's own order
# magic, space, stamp, version, rows, columns, checksum of the contents, checksum of all before it
_HEADER = struct.Struct("<16s16s16sQQQII")
_MATRIX_AT = 128  # a multiple of 64: BLAS likes aligned rows
_SUFFIX = ".matrix"
_TEMPORARY = ".tmp"


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


def cache_file(folder: Path, key: MatrixKey) -> Path:
    """Where the matrix of this space is kept: one file per space, replaced by each new version."""
    return folder / f"{key.space}{_SUFFIX}"


def load(folder: Path, key: MatrixKey) -> tuple[Ids, Array] | None:
    """Maps ids (m,) and matrix (m, d), read-only; None if the file is not that of `key`."""
    path = cache_file(folder, key)
    try:
        content = _map(path, _size(key))
        return None if content is None else _checked(content, key)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as exc:
        logger.info("cannot use %s, reading the record instead: %s", path, exc)
        return None


def _size(key: MatrixKey) -> int:
    return _MATRIX_AT + key.rows * (key.dim * 4 + 8)


def _map(path: Path, size: int) -> mmap.mmap | None:
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size != size:  # also keeps the map within the file
            return None
        return mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)


def _checked(content: mmap.mmap, key: MatrixKey) -> tuple[Ids, Array] | None:
    header = content[: _HEADER.size]
    checksum = zlib.crc32(memoryview(content)[_MATRIX_AT:])
    if header != _header(key, checksum):
        logger.info("the cached matrix of space %s is of another version, or damaged", key.space)
        return None
    matrix = np.frombuffer(content, np.float32, key.rows * key.dim, _MATRIX_AT)
    ids = np.frombuffer(content, np.int64, key.rows, _MATRIX_AT + matrix.nbytes)
    return ids, matrix.reshape(key.rows, key.dim)


def _header(key: MatrixKey, checksum: int) -> bytes:
    fields = (MAGIC, key.space.encode(), key.stamp, key.version, key.rows, key.dim, checksum)
    return _HEADER.pack(*fields, zlib.crc32(_HEADER.pack(*fields, 0)[:-4]))


def store(folder: Path, key: MatrixKey, ids: Ids, matrix: Array) -> bool:
    """Writes the file for `key` in the old one's place; False if that cannot be done."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        _write(folder, key, ids, matrix)
    except OSError as exc:
        logger.info("searching without a cache in %s: %s", folder, exc)
        return False
    return True


def _write(folder: Path, key: MatrixKey, ids: Ids, matrix: Array) -> None:
    contents: list[NDArray[Any]] = [
        np.ascontiguousarray(matrix, np.float32),
        np.ascontiguousarray(ids, np.int64),
    ]
    checksum = 0
    for array in contents:
        checksum = zlib.crc32(array.data, checksum)
    # mkstemp makes the file 0600 whatever the umask, and no two processes share a name
    handle, name = tempfile.mkstemp(prefix=f"{key.space}.", suffix=_TEMPORARY, dir=folder)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(_header(key, checksum).ljust(_MATRIX_AT, b"\0"))
            for array in contents:
                file.write(array.data)
        temporary.replace(cache_file(folder, key))
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def sweep(folder: Path) -> None:
    """Removes what killed processes left half written; one at work then goes without a cache."""
    for left in folder.glob(f"*{_TEMPORARY}"):
        left.unlink(missing_ok=True)
