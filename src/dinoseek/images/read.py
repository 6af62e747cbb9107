"""The bytes of a file that may be anything: a pipe, a device, too large, gone, or changing."""

import errno
import os
import stat
from pathlib import Path

from dinoseek.errors import ImageError
from dinoseek.images.limits import DEFAULT_LIMITS, Limits, check_bytes

# O_NONBLOCK: opening a pipe that nobody writes to must not wait. Not all systems have all flags.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def read_bytes(path: str | bytes | Path, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """The bytes of a regular file; its size is checked before anything is read.

    ImageError: path.not_regular, path.vanished, path.unreadable, path.changed (while it was read),
    image.too_large_bytes, image.empty.
    """
    subject = os.fsdecode(path)
    try:
        descriptor = os.open(path, _FLAGS)
        try:
            return _read(descriptor, subject, limits)
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as exc:  # ValueError: the name has a null byte
        raise _path_error(exc, subject) from exc


def _read(descriptor: int, subject: str, limits: Limits) -> bytes:
    before = os.fstat(descriptor)
    if not stat.S_ISREG(before.st_mode):
        raise _not_regular(subject)
    check_bytes(before.st_size, subject, limits)
    pieces, missing = [], before.st_size
    while missing and (piece := os.read(descriptor, missing)):
        pieces.append(piece)
        missing -= len(piece)
    after = os.fstat(descriptor)
    if missing or (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise ImageError("path.changed", subject, "it changed while it was read", fix="try again")
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _path_error(exc: OSError | ValueError, subject: str) -> ImageError:
    if isinstance(exc, FileNotFoundError | NotADirectoryError):
        return ImageError("path.vanished", subject, "there is no such file")
    if isinstance(exc, OSError) and exc.errno == errno.ENXIO:  # a socket cannot be opened
        return _not_regular(subject)
    reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
    return ImageError("path.unreadable", subject, f"it cannot be read: {reason}")


def _not_regular(subject: str) -> ImageError:
    return ImageError("path.not_regular", subject, "it is a folder, pipe or device, not a file")
