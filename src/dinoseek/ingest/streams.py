"""The bytes of a list or an archive: of a regular file, as long as it was, unpacked if asked."""

import gzip
import io
import os
import stat
import zlib
from pathlib import Path
from typing import Any, cast

from dinoseek.errors import MachineError, UsageError

# What reading a damaged gzip file raises.
GZIP_FAULTS = (gzip.BadGzipFile, EOFError, zlib.error)

# O_NONBLOCK: opening a pipe that nobody writes to must not wait. Not all systems have all flags.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)

# Text packs to a twentieth, seldom to a hundredth; deflate cannot do better than a thousandth.
_MAX_RATIO = 250
_ALWAYS_ALLOWED = 64_000_000


def open_bytes(path: Path, *, packed: bool = False) -> io.BufferedReader:
    """Opens a regular file; what is appended to it from now on is not read.

    Of a gzip file (`packed`) at most 250 times its size is unpacked, beyond which reading raises
    one of GZIP_FAULTS. Raises MachineError path.missing or path.unreadable, UsageError
    path.not_regular.
    """
    try:
        descriptor = os.open(path, _FLAGS)
    except FileNotFoundError as exc:
        raise MachineError("path.missing", path, "there is no such file") from exc
    except (OSError, ValueError) as exc:  # ValueError: the name has a null byte
        raise unreadable(path, exc) from exc
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise _not_regular(path, status.st_mode)
    file = _buffered(Snapshot(descriptor, status.st_size))
    if not packed:
        return file
    return _buffered(Unpacked(file, max(_ALWAYS_ALLOWED, _MAX_RATIO * status.st_size)))


def _buffered(raw: io.RawIOBase) -> io.BufferedReader:
    return cast(io.BufferedReader, io.BufferedReader(raw))


def unreadable(path: object, exc: OSError | ValueError) -> MachineError:
    """The error for a file that cannot be opened or read."""
    reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
    return MachineError("path.unreadable", path, f"it cannot be read ({reason})")


def _not_regular(path: Path, mode: int) -> UsageError:
    if stat.S_ISDIR(mode):
        fix = "a folder of images is indexed under its own name"
        return UsageError("path.not_regular", path, "it is a folder, not a list", fix=fix)
    reason, fix = "it is a pipe or a device, not a file", "pipe it in and give - as the name"
    return UsageError("path.not_regular", path, reason, fix=fix)


class Snapshot(io.RawIOBase):
    """The first `size` bytes of an open file, which it closes in the end."""

    def __init__(self, descriptor: int, size: int) -> None:
        self._file = io.FileIO(descriptor, closefd=True)
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = self._file.seek(start + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        left = max(0, self._size - self._position)
        count = self._file.readinto(memoryview(buffer)[:left])
        self._position += count
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


class Unpacked(io.RawIOBase):
    """What a gzip file contains, up to `limit` bytes."""

    def __init__(self, file: io.BufferedReader, limit: int) -> None:
        self._file = file
        self._gzip = gzip.GzipFile(fileobj=file, mode="rb")
        self._limit = self._left = limit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self._gzip.readinto(buffer)
        self._left -= count
        if self._left < 0:
            raise gzip.BadGzipFile(f"it unpacks to more than {self._limit / 1e6:,.0f} MB")
        return count

    def close(self) -> None:
        self._gzip.close()
        self._file.close()
        super().close()
