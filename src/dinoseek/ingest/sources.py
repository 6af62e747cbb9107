"""Where images come from: the files of a folder and all below it, in an order that never changes.

The order is that of the paths' bytes, "/" included. A gallery sorts its files in the same way, so
the two are compared side by side without holding either.
"""

# ruff: noqa: PTH110, PTH112, PTH114, PTH116, PTH118
# (pathlib knows no paths of bytes)

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dinoseek.errors import MachineError
from dinoseek.gallery.connection import RECORD
from dinoseek.ingest.outcomes import Item

SUFFIXES = (b".jpg", b".jpeg", b".png", b".webp", b".gif", b".bmp", b".tif", b".tiff")
_GALLERY_SUFFIX = b".dino"


@dataclass(frozen=True)
class Source:
    """The images of a folder, or one file of it."""

    folder: Path
    name: str | None = None  # only this file

    @property
    def whole(self) -> bool:
        """Whether a file of this folder that the source does not offer is gone."""
        return self.name is None

    def check(self) -> None:
        """Raises MachineError if the folder or file is missing or cannot be read."""
        path = self.folder / (self.name or "")
        try:
            if self.name is None:
                os.scandir(path).close()
            else:
                path.stat()
        except OSError as exc:
            raise _unusable(path, exc) from exc

    def count(self, exclude: Path | None = None) -> int:
        """How many files and problems `scan` finds; it only reads directories."""
        return 1 if self.name else sum(1 for _ in _names(os.fsencode(self.folder), exclude))


@dataclass(frozen=True, kw_only=True)
class Link:
    """A link that is not followed: it leads out of the folder, or to another folder."""

    item: Item

    @property
    def path(self) -> bytes:
        return self.item.path


@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """A directory whose files are not known. `below` is how their paths begin."""

    item: Item
    below: bytes
    code: str
    reason: str

    @property
    def path(self) -> bytes:
        return self.item.path


def from_folder(folder: str | Path) -> Source:
    """The images in a folder and all below it, or a single image file.

    Takes files named .jpg .jpeg .png .webp .gif .bmp .tif .tiff, in any case. Hidden files and
    folders and galleries are left out; links are followed to files inside the folder only. Raises
    MachineError if there is no such folder or it cannot be read.
    """
    path = Path(folder)
    source = Source(path) if not _is_file(path) else Source(path.parent, path.name)
    source.check()
    return source


def _is_file(path: Path) -> bool:
    try:
        return not stat.S_ISDIR(path.stat().st_mode)
    except OSError:  # `check` says why
        return False


def _unusable(path: Path, exc: OSError) -> MachineError:
    if isinstance(exc, FileNotFoundError):
        return MachineError("path.missing", path, "there is no such folder or file")
    return MachineError("path.unreadable", path, f"it cannot be read ({exc.strerror})")


def scan(
    source: Source, root: str, prefix: bytes, exclude: Path | None = None
) -> Iterator[Item | Link | Unreadable]:
    """What the source has, sorted by path.

    Paths begin with `prefix`, the way from `root` to the folder.
    `exclude` is the gallery's own directory, which is never entered.
    """
    top = os.fsencode(source.folder)
    if source.name:
        yield _item(top, os.fsencode(source.name), root, prefix)
        return
    real_top = os.path.realpath(top)
    for name, problem in _names(top, exclude):
        if problem is not None:
            yield _unreadable(name, problem, root, prefix)
        else:
            yield _found(top, name, real_top, root, prefix)


def _found(top: bytes, name: bytes, real_top: bytes, root: str, prefix: bytes) -> Item | Link:
    file = os.path.join(top, name)
    if os.path.islink(file):
        target = os.path.realpath(file)
        inside = target.startswith(real_top.rstrip(b"/") + b"/")
        if os.path.isdir(target) or (os.path.exists(target) and not inside):
            return Link(item=Item(root=root, path=prefix + name))
    return _item(top, name, root, prefix)


def _item(top: bytes, name: bytes, root: str, prefix: bytes) -> Item:
    """The file with its size and time; zero if it cannot be asked: reading it will say why."""
    file = os.path.join(top, name)
    for ask in (os.stat, os.lstat):  # lstat: of a link that leads nowhere
        try:
            status = ask(file)
        except OSError:
            continue
        size, mtime_ns = status.st_size, status.st_mtime_ns
        return Item(root=root, path=prefix + name, size=size, mtime_ns=mtime_ns)
    return Item(root=root, path=prefix + name)


def _unreadable(name: bytes, problem: OSError, root: str, prefix: bytes) -> Unreadable:
    long = problem.errno == errno.ENAMETOOLONG
    return Unreadable(
        # the top itself needs a name: "." sorts before all that is not hidden
        item=Item(root=root, path=prefix + (name or b"./")),
        below=prefix + name,
        code="path.too_long" if long else "path.unreadable",
        reason=f"the folder cannot be read: {problem.strerror}",
    )


def _names(top: bytes, exclude: Path | None) -> Iterator[tuple[bytes, OSError | None]]:
    """Sorted paths of image files below `top`, and of directories with why they cannot be read."""
    own = _identity(os.fsencode(exclude)) if exclude else None
    waiting = [b""]  # directories end in "/"; the last is the next
    while waiting:
        name = waiting.pop()
        if name and not name.endswith(b"/"):
            yield name, None
            continue
        if own is not None and _identity(os.path.join(top, name)) == own:
            continue
        try:
            children = sorted(_children(os.path.join(top, name)), reverse=True)
        except OSError as exc:
            yield name, exc
        else:
            waiting += [name + child for child in children]


def _identity(directory: bytes) -> tuple[int, int] | None:
    try:
        status = os.stat(directory)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _children(directory: bytes) -> Iterator[bytes]:
    """The names in a directory that matter, unsorted; those of directories end in "/"."""
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.startswith(b"."):
                continue
            if entry.is_dir(follow_symlinks=False):
                if not _is_gallery(entry):
                    yield entry.name + b"/"
            elif entry.name.lower().endswith(SUFFIXES) or _leads_to_directory(entry):
                yield entry.name


def _is_gallery(entry: "os.DirEntry[bytes]") -> bool:
    record = os.path.join(entry.path, os.fsencode(RECORD))
    return entry.name.endswith(_GALLERY_SUFFIX) and os.path.exists(record)


def _leads_to_directory(entry: "os.DirEntry[bytes]") -> bool:
    try:
        return entry.is_symlink() and entry.is_dir()
    except OSError:  # links that lead to each other
        return False
