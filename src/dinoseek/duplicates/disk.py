"""Moving, linking and deleting files so that no bytes are lost, whatever else goes on meanwhile.

Every function raises ImageError where a file is not what it should be, MachineError where the
system refuses; then the file is where and what it was.
"""

import errno
import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from itertools import count
from pathlib import Path, PurePath

from dinoseek.errors import DinoseekError, ImageError, MachineError

_PIECE = 1 << 20
# a link is not followed, and a pipe not waited for; not all systems have both flags
_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_BINARY", 0)
)
_REASONS = {
    errno.EACCES: "permission denied",
    errno.EPERM: "the system does not permit it",
    errno.EROFS: "the disk can only be read",
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk is full",
    errno.ENOTSUP: "this disk cannot do that",
    errno.EMLINK: "it has as many names as the disk allows",
}


def verified(file: Path, digest: str) -> os.stat_result:
    """What the system says of a regular file of this digest (sha256), read just now."""
    with _opened(file) as stream:
        before = os.fstat(stream.fileno())
        found = hashlib.file_digest(stream, "sha256").hexdigest()
        after = os.fstat(stream.fileno())
    if found != digest or _key(before) != _key(after):
        raise _changed(file)
    check_still(file, after)
    return after


def check_time(file: Path, status: os.stat_result, mtime_ns: int) -> None:
    """Makes sure that a file is of the time at which it was last known."""
    if status.st_mtime_ns != mtime_ns:
        raise _changed(file)


def check_still(file: Path, status: os.stat_result) -> None:
    """Makes sure that the name still means the same file, unchanged."""
    try:
        now = os.lstat(file)
    except OSError as exc:
        raise _told(file, exc) from exc
    if _key(now) != _key(status):
        raise _changed(file)


def move(file: Path, status: os.stat_result, folder: Path, name: PurePath, digest: str) -> Path:
    """Moves a file to `folder`/`name`, or a numbered name if that is taken; returns where it is.

    To another file system it is copied, read back, and only then deleted here.
    """
    target = _reserved(folder / name)
    try:
        check_still(file, status)
        if not _renamed(file, target):
            _copy(file, target, digest)
            check_still(file, status)
            file.unlink()
    # of nothing else, as of Ctrl-C, is it known that the file is still where it was
    except (OSError, DinoseekError) as exc:
        with suppress(OSError):
            target.unlink()
        raise _told(file, exc) from exc
    _flush_folders(target.parent, file.parent)
    return target


def _renamed(file: Path, target: Path) -> bool:
    """Puts a file in the place of another; False if they are on different file systems."""
    try:
        file.replace(target)
    except OSError as exc:
        if exc.errno == errno.EXDEV:
            return False
        raise
    return True


def delete(file: Path, status: os.stat_result) -> None:
    """Deletes a file."""
    check_still(file, status)
    try:
        file.unlink()
    except OSError as exc:
        raise _told(file, exc) from exc
    _flush_folders(file.parent)


def link(file: Path, status: os.stat_result, keeper: Path) -> os.stat_result:
    """Makes the name of a file a second name of `keeper`, which has the same bytes.

    At no moment is there no file of this name.
    """
    _check_same_bytes(file, keeper)
    new = file.parent / f".{secrets.token_hex(8)}.dinoseek"
    try:
        os.link(keeper, new)
        check_still(file, status)
        new.replace(file)
    except OSError as exc:
        raise _told(file, exc) from exc
    finally:
        with suppress(OSError):
            new.unlink()
    _flush_folders(file.parent)
    return os.lstat(file)


def free_name(target: Path, taken: set[Path]) -> Path:
    """The first of target, "target (2)", "target (3)" ... that is neither there nor `taken`."""
    free = (each for each in _numbered(target) if each not in taken and not os.path.lexists(each))
    return next(free)


def _numbered(target: Path) -> Iterator[Path]:
    yield target
    for number in count(2):
        yield target.with_name(f"{target.stem} ({number}){target.suffix}")


def _reserved(target: Path) -> Path:
    """An empty file of ours, of the first name that is free."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for each in _numbered(target):
            with suppress(FileExistsError):
                os.close(os.open(each, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
                return each
    except OSError as exc:
        raise _told(target, exc) from exc
    raise ValueError("numbers do not end")


def _copy(file: Path, target: Path, digest: str) -> None:
    with _opened(file) as source, target.open("r+b") as copy:
        shutil.copyfileobj(source, copy, _PIECE)
        copy.flush()
        os.fsync(copy.fileno())
    verified(target, digest)
    with suppress(OSError):  # not every disk can keep times and rights
        shutil.copystat(file, target)
    _flush_folders(target.parent)


def _check_same_bytes(file: Path, keeper: Path) -> None:
    with _opened(file) as one, _opened(keeper) as two:
        if os.fstat(one.fileno()).st_dev != os.fstat(two.fileno()).st_dev:
            reason = "it is on another disk than the file to keep"
            raise MachineError("dupes.other_disk", file, reason, fix="use --move-to for it")
        while True:
            piece, other = one.read(_PIECE), two.read(_PIECE)
            if piece != other:
                raise _changed(file)
            if not piece:
                return


@contextmanager
def _opened(file: Path) -> Iterator[BufferedReader]:
    """A regular file, opened for reading; no link."""
    try:
        descriptor = os.open(file, _FLAGS)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise ImageError("path.not_regular", file, "it is no file any more")
        with open(descriptor, "rb") as stream:  # noqa: PTH123 - it is open
            yield stream
    except OSError as exc:
        raise _told(file, exc) from exc


def _key(status: os.stat_result) -> tuple[int, ...]:
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def _changed(file: Path) -> ImageError:
    fix = "run dinoseek index, then look again"
    return ImageError("path.changed", file, "it changed since it was indexed", fix=fix)


def _told(file: Path, exc: OSError | DinoseekError) -> DinoseekError:
    """What went wrong with a file, in one line."""
    if isinstance(exc, DinoseekError):
        return exc
    if isinstance(exc, FileNotFoundError | NotADirectoryError):
        return ImageError("path.vanished", file, "there is no such file any more")
    if exc.errno == errno.ELOOP:
        return ImageError("path.not_regular", file, "it is a link now")
    reason = _REASONS.get(exc.errno or 0, exc.strerror or str(exc))
    return MachineError("path.refused", file, f"it is left where it is: {reason}")


def _flush_folders(*folders: Path) -> None:
    """Makes the names in folders durable, where the system can."""
    for folder in dict.fromkeys(folders):
        with suppress(OSError):
            handle = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
