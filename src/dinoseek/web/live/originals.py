"""The files of a gallery's images, read as they lie there, but never outside their folder.

A link may lead to another file of the same root, as when it was indexed. Whoever can write to a
folder of photographs cannot have other files of this machine shown by putting links there.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dinoseek.errors import DinoseekError, ImageError
from dinoseek.gallery.connection import typed
from dinoseek.gallery.roots import is_plain
from dinoseek.gallery.sqlite_gallery import SqliteGallery
from dinoseek.images.limits import DEFAULT_LIMITS, FORMATS, Limits, check_bytes
from dinoseek.images.sniff import sniff
from dinoseek.web.live.galleries import Galleries

# opening a pipe that nobody writes to must not wait; a link put there meanwhile is not followed
_FLAGS = os.O_RDONLY
for _name in ("O_NONBLOCK", "O_NOFOLLOW", "O_CLOEXEC", "O_BINARY"):
    _FLAGS |= getattr(os, _name, 0)
_AT_ONCE = 1 << 20  # bytes


@dataclass(frozen=True, kw_only=True)
class File:
    """A file of an image: where it lies, as the system writes it, below which root."""

    root: str
    path: str


@dataclass(frozen=True, kw_only=True)
class Sight:
    """What the gallery knows of how an image looks: its own files, and the small JPEG it keeps."""

    id: int
    digest: str
    files: Sequence[File]
    kept: bytes | None


@dataclass(frozen=True, kw_only=True)
class Original:
    """A file's bytes, what they are ("JPEG"), and whether they are still those that were indexed.

    `name` is the file's, without its folders.
    """

    data: bytes
    name: str
    format: str
    is_same: bool


class Originals:
    """Reads files of images by their id."""

    def __init__(self, galleries: Galleries, limits: Limits = DEFAULT_LIMITS) -> None:
        self._galleries = galleries
        self._limits = limits

    def read(self, id: int) -> tuple[bytes, str]:
        """The bytes of an image's file, the first of several that can be read, and its name.

        UsageError id.unknown; ImageError image.no_file for one that lies in no file of its own,
        path.outside for one that has become a link out of its folder, image.unrecognised for what
        is no picture any more, and as `read_bytes` raises.
        """
        sight = self._galleries.run(lambda gallery: sight_of(gallery, id))
        found = read_first(sight, self._limits)
        return found.data, found.name


def sight_of(gallery: SqliteGallery, id: int) -> Sight:
    """What can be shown of an image; UsageError id.unknown if there is none. In its thread."""
    with gallery.reading():
        (record,) = gallery.get([id])
        where = gallery._roots()
        query = "SELECT root_id, path FROM files WHERE image_id = ? ORDER BY root_id, path"
        rows = list(typed(gallery._connection.execute(query, (id,)), int, bytes))
        files = [
            File(root=os.fsdecode(where[root] or b"/"), path=os.fsdecode(where[root] + b"/" + path))
            for root, path in rows
            if root in where and is_plain(where, root)
        ]
        return Sight(id=id, digest=record.digest, files=files, kept=gallery.thumbnail(id))


def read_first(sight: Sight, limits: Limits) -> Original:
    """The first file of an image that can be read; why the first cannot, if none can."""
    errors: list[DinoseekError] = []
    for file in sight.files:
        try:
            return _original(file, sight, limits)
        except ImageError as exc:
            errors.append(exc)
    if errors:
        raise errors[0]
    raise ImageError("image.no_file", _subject(sight.id), "it has no file of its own")


def _original(file: File, sight: Sight, limits: Limits) -> Original:
    data = _read_inside(file, _subject(sight.id), limits)
    format = sniff(data)
    if format not in FORMATS:
        raise ImageError("image.unrecognised", _subject(sight.id), "its file is no picture")
    is_same = hashlib.sha256(data).hexdigest() == sight.digest
    return Original(data=data, name=Path(file.path).name, format=format, is_same=is_same)


def _subject(id: int) -> str:
    return f"image {id}"  # not its path: a page shows this


def _read_inside(file: File, subject: str, limits: Limits) -> bytes:
    """The bytes of a regular file that lies below its root, wherever links lead."""
    try:
        root = os.path.realpath(file.root)
        target = os.path.realpath(file.path)
        _check_inside(target, root, subject)
        descriptor = os.open(target, _FLAGS)
        try:
            # a folder on the way may have been replaced by a link since
            _check_inside(_opened_path(descriptor, target), root, subject)
            return _read(descriptor, subject, limits)
        finally:
            os.close(descriptor)
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise ImageError("path.vanished", subject, "its file is not there any more") from exc
    except (OSError, ValueError) as exc:  # ValueError: the name has a null byte
        raise ImageError("path.unreadable", subject, "its file cannot be read") from exc


def _check_inside(path: str, root: str, subject: str) -> None:
    if not path.startswith(root.rstrip(os.sep) + os.sep):
        reason = "its file has become a link that leads out of its folder"
        raise ImageError("path.outside", subject, reason)


def _opened_path(descriptor: int, path: str) -> str:
    """Where an open file really is, if the system tells."""
    try:
        return str(Path(f"/proc/self/fd/{descriptor}").readlink())
    except OSError:
        return path


def _read(descriptor: int, subject: str, limits: Limits) -> bytes:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        reason = "its file has become a folder, pipe or device"
        raise ImageError("path.not_regular", subject, reason)
    check_bytes(status.st_size, subject, limits)
    pieces = list(iter(_reader(descriptor, status.st_size), b""))
    data = b"".join(pieces)
    if len(data) != status.st_size:
        raise ImageError("path.changed", subject, "its file changed while it was read")
    return data


def _reader(descriptor: int, size: int) -> Callable[[], bytes]:
    """Reads on, but never more than the file had: a file that grows has no end."""
    left = size

    def read() -> bytes:
        nonlocal left
        piece = os.read(descriptor, min(left, _AT_ONCE))
        left -= len(piece)
        return piece

    return read
