"""NumPy arrays in .npy and .npz files, row by row and with suspicion: nothing is unpickled.

An array's header says how long it is; it is compared with the bytes that there are before any is
read, and no more than a few hundred rows are in memory.
"""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from dinoseek.errors import UsageError
from dinoseek.interchange.given import ROWS_AT_ONCE, reading, refused

MAX_ROW_BYTES = 1 << 20
MAX_ROWS = 100_000_000

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@dataclass(frozen=True, kw_only=True)
class Header:
    """An array that is still in its file: its shape, the kind of its values, where they begin."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    start: int


@contextmanager
def opened(path: Path, key: str | None) -> Iterator[tuple[IO[bytes], int]]:
    """An array's bytes and how many there are: the file itself, or the entry `key` of an archive.

    Whatever goes wrong with them in the block is told in one line.
    """
    try:
        with reading(path), path.open("rb") as file:
            if key is None:
                yield file, path.stat().st_size
            else:
                with zipfile.ZipFile(file) as archive:
                    entry = _entry(path, archive, key)
                    with archive.open(entry) as stream:
                        yield stream, entry.file_size
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, NotImplementedError) as exc:
        raise _damaged(path, exc) from exc
    except (ValueError, RuntimeError, zipfile.zlib.error) as exc:  # type: ignore[attr-defined]
        raise _damaged(path, exc) from exc


def _damaged(path: Path, exc: Exception) -> UsageError:
    first = str(exc).partition("\n")[0][:120]
    return refused(path, f"it cannot be read as NumPy arrays ({first or 'it is damaged'})")


def _entry(path: Path, archive: zipfile.ZipFile, key: str) -> zipfile.ZipInfo:
    entries = [entry for entry in archive.infolist() if entry.filename == f"{key}.npy"]
    if len(entries) != 1:
        names = ", ".join(entry.filename.removesuffix(".npy") for entry in archive.infolist()[:10])
        fix = "an archive to import has the arrays features and paths"
        raise refused(path, f"it has no array {key!r}, only {names or 'nothing'}", fix=fix)
    if entries[0].compress_type not in _METHODS:
        raise refused(path, f"its array {key!r} is packed in an unknown way")
    return entries[0]


def header_of(path: Path, key: str | None = None) -> Header:
    """The header of an array, which agrees with the length of the file or entry.

    Raises UsageError for objects, which would have to be unpickled, and for what is no array.
    """
    name = "the array" if key is None else f"its array {key!r}"
    with opened(path, key) as (stream, length):
        shape, fortran, dtype = _read_header(stream)
        start = stream.tell()
    if dtype.hasobject:
        fix = "save plain numbers and text (dtype float32, str), not objects"
        reason = f"{name} holds pickled objects, which are never loaded"
        raise refused(path, reason, code="import.pickle", fix=fix)
    if fortran and len(shape) > 1:
        fix = "save np.ascontiguousarray of it"
        raise refused(path, f"{name} is stored by columns", code="import.shape", fix=fix)
    if min(shape, default=1) < 0 or start + prod(shape) * dtype.itemsize != length:
        raise refused(path, f"{name} says {shape} of {dtype}, which is not what follows")
    return Header(shape=shape, dtype=dtype, start=start)


def _read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    match npy.read_magic(stream):
        case (1, 0):
            return npy.read_array_header_1_0(stream)
        case (2, 0):
            return npy.read_array_header_2_0(stream)
        case version:
            raise ValueError(f"unknown .npy version {version}")


def check_features(path: Path, header: Header) -> None:
    """Refuses what is no (images, dim) of floats."""
    fits = len(header.shape) == 2 and header.dtype.kind == "f" and header.dtype.itemsize <= 8
    if not fits or 0 in header.shape:
        reason = f"it holds {header.dtype} of shape {header.shape}, expected floats (images, dim)"
        raise refused(path, reason, code="import.shape")
    if header.shape[1] * header.dtype.itemsize > MAX_ROW_BYTES or header.shape[0] > MAX_ROWS:
        reason = f"it holds {header.shape[0]:,} vectors of {header.shape[1]:,} numbers: too much"
        raise refused(path, reason, code="import.too_large")


def rows_of(path: Path, key: str | None = None) -> Iterator[NDArray[Any]]:
    """An array's rows in their order, as arrays of a few hundred."""
    header = header_of(path, key)
    size = prod(header.shape[1:]) * header.dtype.itemsize
    with opened(path, key) as (stream, _):
        _skip(stream, header.start)
        for start in range(0, header.shape[0], ROWS_AT_ONCE):
            count = min(ROWS_AT_ONCE, header.shape[0] - start)
            content = _exactly(stream, count * size)
            yield np.frombuffer(content, header.dtype).reshape(count, *header.shape[1:])
        stream.read(1)  # an archive's checksum is compared at the entry's end


def _skip(stream: IO[bytes], count: int) -> None:
    _exactly(stream, count)


def _exactly(stream: IO[bytes], count: int) -> bytes:
    content = stream.read(count)
    if len(content) < count:
        raise EOFError("it ends early")
    return content
