"""Puts the files of an export in their places: all of them, or none."""

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from dinoseek.errors import DinoseekError, MachineError, UsageError
from dinoseek.weights.save import sync


def refuse_existing(paths: Sequence[Path], *, force: bool) -> None:
    """UsageError file.exists for the first that is there, unless it may be replaced."""
    for path in paths:
        if os.path.lexists(path) and not force:
            fix = "use --force to replace it"
            raise UsageError("file.exists", path, "is there already", fix=fix)


@contextmanager
def placing(target: Path, *, force: bool = False) -> Iterator[Path]:
    """An empty folder beside `target`, whose files take their places if the block succeeds.

    They may be written under their own names there, as runtimes look for one by the name of
    another. What goes wrong with a file in the folder is told of `target`. Raises MachineError
    disk.full or export.unwritable if the disk refuses.
    """
    folder = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        folder.mkdir()
        yield folder
        _place(folder, target, force=force)
    except OSError as exc:
        raise _refused(target, exc) from exc
    except DinoseekError as exc:
        if not exc.subject.startswith(str(folder)):
            raise
        raise type(exc)(exc.code, target, exc.reason, fix=exc.fix) from exc
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _place(folder: Path, target: Path, *, force: bool) -> None:
    """Moves the files of the folder beside it, the target last: it says that the others are there.

    Interrupted, what was moved is taken away again.
    """
    files = sorted(folder.iterdir(), key=lambda file: file.name == target.name)
    places = [target.with_name(file.name) for file in files]
    refuse_existing(places, force=force)
    mode = stat.S_IMODE(folder.stat().st_mode) & 0o666  # as the user's umask wants it
    for file in files:
        file.chmod(mode)  # onnx keeps what is large to its owner
        sync(file)
    moved: list[Path] = []
    try:
        for file, place in zip(files, places, strict=True):
            moved.append(place)
            file.replace(place)
    except BaseException:
        for place in moved:
            place.unlink(missing_ok=True)
        raise
    if os.name == "posix":  # elsewhere a folder cannot be opened to be synced
        sync(target.parent)


def _refused(target: Path, exc: OSError) -> MachineError:
    full = exc.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    code = "disk.full" if full else "export.unwritable"
    more = "check the folder, its permissions and the space on the disk"
    fix = "free some space" if full else more
    return MachineError(code, target, exc.strerror or str(exc), fix=fix)
