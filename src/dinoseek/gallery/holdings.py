"""Every image of a gallery with all its files: where duplicates are looked for, and acted on."""

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from dinoseek.errors import printable
from dinoseek.gallery import roots
from dinoseek.gallery.base import WEB, Blob
from dinoseek.gallery.connection import select_in, transaction, typed
from dinoseek.gallery.records import put_file
from dinoseek.gallery.sqlite_gallery import SqliteGallery

Kind: TypeAlias = Literal["file", "archive", "web"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Copy:
    """One file of an image; `id` is the image's, `root` and `path` are as in `Record`.

    `kind` says if it is a file of its own, the member of an archive, or an address on the web.
    """

    id: int
    digest: str
    width: int
    height: int
    bytes: int
    format: str
    root: str
    path: Blob
    kind: Kind
    mtime_ns: int

    @property
    def file(self) -> Path | None:
        """The file, for opening; None for what is not a file of its own."""
        return Path(self.root, os.fsdecode(self.path)) if self.kind == "file" else None

    @property
    def shown(self) -> str:
        """Where it is, for people: a path, ARCHIVE/MEMBER, or an address."""
        name = os.fsdecode(self.path)
        return printable(name if self.kind == "web" else Path(self.root, name))


_COPIES = (
    "SELECT id, digest, width, height, bytes, format, root_id, path, mtime_ns"
    " FROM images JOIN files ON image_id = id ORDER BY id, root_id, path"
)
_KINDS = (int, str, int, int, int, str, int, bytes, int)


def copies(gallery: SqliteGallery) -> list[Copy]:
    """All files of all images, by image, root and path."""
    with gallery.reading():
        connection = gallery._connection
        where = roots.located(connection, gallery.path)
        rows = list(typed(connection.execute(_COPIES), *_KINDS))
        known = {
            id: (roots.name_of(where, id), _kind(where, id)) for id in {row[6] for row in rows}
        }
    return [
        Copy(
            id=id,
            digest=digest,
            width=width,
            height=height,
            bytes=size,
            format=format,
            root=known[root][0],
            path=path,
            kind=known[root][1],
            mtime_ns=mtime_ns,
        )
        for id, digest, width, height, size, format, root, path, mtime_ns in rows
    ]


def _kind(where: Mapping[int, bytes], root: int) -> Kind:
    if roots.name_of(where, root) == WEB:
        return "web"
    return "archive" if roots.is_archive(where, root) else "file"


def state_of(gallery: SqliteGallery) -> bytes:
    """Something that differs once any file, or any image's vector, is not what it was."""
    state = hashlib.blake2b(digest_size=16)
    tables = (
        "SELECT id, stamp FROM spaces ORDER BY id",
        "SELECT id, absolute FROM roots ORDER BY id",
        "SELECT root_id, path, image_id, size, mtime_ns FROM files ORDER BY root_id, path",
    )
    with gallery.reading():
        for query in tables:
            for row in gallery._connection.execute(query):
                state.update(repr(row).encode())
            state.update(b"/")
    return state.digest()


def digest_at(gallery: SqliteGallery, file: Path) -> str | None:
    """The digest of the image that a file held when it was last seen; None if that is not known."""
    path = roots.slashed(file.parent) + b"/" + os.fsencode(file.name)
    query = "SELECT digest FROM images JOIN files ON image_id = id WHERE root_id = ? AND path = ?"
    with gallery.reading():
        for id, root in roots.located(gallery._connection, gallery.path).items():
            inside = path.startswith(root + b"/") and path[len(root) + 1 :]
            if row := gallery._connection.execute(query, (id, inside or b"")).fetchone():
                return str(row[0])
    return None


def looks(gallery: SqliteGallery, ids: Iterable[int]) -> dict[int, bytes]:
    """The perceptual hashes of images by id, of those that have one."""
    query = "SELECT id, look FROM images WHERE look IS NOT NULL AND id IN"
    with gallery.reading():
        return dict(typed(select_in(gallery._connection, query, ids), int, bytes))


def keep_looks(gallery: SqliteGallery, found: Mapping[int, bytes]) -> None:
    """Remembers perceptual hashes of images that had none."""
    with gallery.writing(), transaction(gallery._connection):
        query = "UPDATE images SET look = ? WHERE id = ? AND look IS NULL"
        gallery._connection.executemany(query, [(look, id) for id, look in found.items()])


def touched(gallery: SqliteGallery, copy: Copy, size: int, mtime_ns: int) -> None:
    """Remembers the new time of a file that still holds the same bytes; inside `writing`."""
    with transaction(gallery._connection):
        root_id = roots.root_id(gallery._connection, gallery.path, copy.root)
        put_file(gallery._connection, root_id, copy.path, copy.id, size, mtime_ns)


def folders(gallery: SqliteGallery) -> list[bytes]:
    """The real paths of the folders that are indexed, as `roots.slashed` has them."""
    with gallery.reading():
        where = roots.located(gallery._connection, gallery.path)
        return [path for id, path in where.items() if _kind(where, id) == "file"]
