"""Everything that changes a gallery, for the process that holds the right to write."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from numpy.typing import ArrayLike

from dinoseek.embedder import Fingerprint
from dinoseek.errors import UsageError
from dinoseek.gallery import background, delta, ledger, records, roots, spaces
from dinoseek.gallery.base import Record
from dinoseek.gallery.connection import transaction
from dinoseek.gallery.descriptions import Description, changed, describe
from dinoseek.gallery.ledger import Failure, FileState
from dinoseek.gallery.matrix_cache import CACHE
from dinoseek.gallery.places import files_of


class Writer:
    """Writes to one gallery, in the space of a fingerprint; made by `SqliteGallery.writing`.

    Each method is durable when it returns; inside `batch`, when that block ends.
    """

    def __init__(
        self, connection: sqlite3.Connection, folder: Path, fingerprint: Fingerprint | None
    ) -> None:
        self._connection = connection
        self._folder = folder
        self._fingerprint = fingerprint
        self._root_ids: dict[str, int] = {}
        self._space: int | None = None
        self._any_failures = True
        self._offers = False

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Everything written in this block is kept together, or not at all."""
        outermost = not self._connection.in_transaction
        try:
            with transaction(self._connection):
                if outermost:
                    self._any_failures = ledger.any_failures(self._connection)
                yield
        except BaseException:
            self._root_ids.clear()  # they may have been made in this block
            self._space = None
            raise

    def add(self, new: Sequence[Record], vectors: ArrayLike) -> list[int]:
        """Keeps records and their vectors (m, d); returns the images' ids. See `Gallery.add`."""
        rows = spaces.storable(vectors, new, self._required().dim)
        with self.batch():
            space_id = self._space_id()
            ids = []
            for record, row in zip(new, rows, strict=True):
                origin = self._origin(record.root, record.path)
                ids.append(records.put_image(self._connection, record, origin))
                spaces.put_vector(self._connection, space_id, ids[-1], row)
                self._put_file(record.root, record.path, ids[-1], record.bytes, record.mtime_ns)
        return ids

    def link(self, root: str, path: bytes, digest: str, size: int, mtime_ns: int) -> None:
        """Says that a file holds the image of this digest, which is in the gallery."""
        with self.batch():
            id = records.ids_of(self._connection, [digest])[digest]
            self._put_file(root, path, id, size, mtime_ns)

    def describe(self, root: str, path: bytes, said: Description) -> None:
        """Gives the image of a file the caption and metadata of a list's row."""
        with self.batch():
            id = self._image_of(root, path)
            if id is not None:
                describe(self._connection, id, self._signed(root, path, said))

    def is_news(self, root: str, path: bytes, said: Description) -> bool:
        """Whether a list's row says anything new of the image that a file holds."""
        id = self._image_of(root, path)
        return id is not None and changed(self._connection, id, self._signed(root, path, said))

    def _signed(self, root: str, path: bytes, said: Description) -> Description:
        return replace(said, origin=self._origin(root, path))

    def _image_of(self, root: str, path: bytes) -> int | None:
        return records.id_of_file(self._connection, self._root_id(root), path)

    def offer(self, root: str, path: bytes) -> bool:
        """Whether a file is met for the first time since this writer was made."""
        if not self._offers:
            # on the disk rather than in memory: lists have tens of millions of rows
            self._connection.execute("DROP TABLE IF EXISTS temp.offers")
            self._connection.execute(
                "CREATE TEMP TABLE offers (file BLOB PRIMARY KEY) WITHOUT ROWID"
            )
            self._offers = True
        query = "INSERT OR IGNORE INTO temp.offers VALUES (?)"
        return self._connection.execute(query, (self._origin(root, path),)).rowcount == 1

    def _origin(self, root: str, path: bytes) -> bytes:
        return b"%d/%s" % (self._root_id(root), path)

    def _put_file(self, root: str, path: bytes, image_id: int, size: int, mtime_ns: int) -> None:
        file = (self._root_id(root), path)
        records.put_file(self._connection, *file, image_id, size, mtime_ns)
        if self._any_failures:
            space_id = self._space_id()
            ledger.drop_outdated_failures(self._connection, space_id, *file, size, mtime_ns)

    def fail(self, root: str, path: bytes, failure: Failure, *, replaced: bool) -> None:
        """Remembers why a file could not be embedded; `replaced` if it held an image before."""
        with self.batch():
            root_id = self._root_id(root)
            if replaced:
                ledger.drop_file(self._connection, root_id, path)
            ledger.put_failure(self._connection, self._space_id(), root_id, path, failure)
            self._any_failures = True

    def forget(self, root: str, path: bytes) -> None:
        """Forgets a file that is gone, and its failures. Its image stays until `prune`."""
        with self.batch():
            root_id = self._root_id(root)
            ledger.drop_file(self._connection, root_id, path)
            ledger.drop_failures(self._connection, root_id, path)

    def remove(self, ids: Iterable[int]) -> int:
        """Forgets images with their files and vectors; returns how many there were."""
        with self.batch():
            return records.remove(self._connection, ids)

    def prune(self) -> int:
        """Forgets images that have no file any more; returns how many."""
        with self.batch():
            return records.prune(self._connection)

    def settle(self) -> None:
        """Brings up to date what is known of the space as a whole, at the end of a run."""
        with self.batch():
            id = self._space_id()
            for space in spaces.spaces_of(self._connection):
                if space.id == id:
                    background.refresh(self._connection, space)
                    delta.trim(self._connection, space, self._folder / CACHE)

    def place(self, folder: Path, *, whole: bool) -> tuple[str, bytes]:
        """The root that `folder` belongs to, made if need be, and the folder's path inside it.

        `whole` says that all of the folder is indexed; then it takes over the roots inside it.
        """
        self._root_ids.clear()
        with self.batch():
            return roots.place(self._connection, self._folder, folder, whole=whole)

    def roots(self) -> list[bytes]:
        """Where the roots are, in the system's bytes with "/" between the parts."""
        return list(roots.located(self._connection, self._folder).values())

    def relocate(self, old: str | Path, new: str | Path) -> None:
        """Makes the root at `old` the one at `new`."""
        self._root_ids.clear()
        with self.batch():
            roots.relocate(self._connection, self._folder, old, new)

    def states(self, root: str, after: bytes, upto: bytes | None) -> Iterator[FileState]:
        """The known files of a root with `after` < path <= `upto` (None: the end), by path.

        Nothing may be written until the last is read.
        """
        return ledger.states(self._connection, self._space_id(), self._root_id(root), after, upto)

    def state(self, root: str, path: bytes) -> FileState | None:
        """What is known of one file."""
        return ledger.state_of(self._connection, self._space_id(), self._root_id(root), path)

    def failed(self) -> list[tuple[str, bytes, Description | None]]:
        """Root and path of each file that could not be embedded, and what a list said of it."""
        where = roots.located(self._connection, self._folder)
        found = ledger.failed(self._connection, self._space_id())
        return [(roots.name_of(where, root), path, said) for root, path, said in found]

    def known(self, digest: str) -> bool:
        """Whether the image of this digest has a vector in the space."""
        return bool(records.known(self._connection, self._space_id(), [digest]))

    def files_of(self, digest: str) -> list[Path | str]:
        """The files and addresses that held this image when they were last seen."""
        where = roots.located(self._connection, self._folder)
        return files_of(self._connection, where, digest)

    def _root_id(self, root: str) -> int:
        if root not in self._root_ids:
            self._root_ids[root] = roots.root_id(self._connection, self._folder, root)
        return self._root_ids[root]

    def _space_id(self) -> int:
        if self._space is None:
            self._space = spaces.make_space(self._connection, self._required())
        return self._space

    def _required(self) -> Fingerprint:
        if self._fingerprint is None:
            reason = "it was opened without an embedder, so vectors cannot be added"
            raise UsageError("gallery.no_embedder", self._folder, reason)
        return self._fingerprint
