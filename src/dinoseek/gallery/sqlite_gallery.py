"""A gallery in a directory: the record in SQLite, and beside it what is derived from it.

    NAME.dino/gallery.sqlite    everything that must not be lost
    NAME.dino/cache/            what can be made again from it
    NAME.dino/lock              who is writing

An object of this class belongs to the thread that opened it; other threads and processes open their
own.
"""

import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from dinoseek.embedder import Embedder, Fingerprint
from dinoseek.errors import MachineError, UsageError
from dinoseek.gallery import background, filters, matrix_cache, roots
from dinoseek.gallery.background import Background
from dinoseek.gallery.base import Hit, Record
from dinoseek.gallery.checkup import problems
from dinoseek.gallery.connection import reported, transaction
from dinoseek.gallery.exact import Ids
from dinoseek.gallery.filters import Filter
from dinoseek.gallery.inventory import info
from dinoseek.gallery.lock import WriterLock
from dinoseek.gallery.nearest import Nearest
from dinoseek.gallery.places import Place, places, thumbnail
from dinoseek.gallery.records import ids_of, known, records
from dinoseek.gallery.spaces import Space, choose, own_space, spaces_of
from dinoseek.gallery.writer import Writer
from dinoseek.vit.ops import Array

CACHE = matrix_cache.CACHE


class SqliteGallery:
    """A gallery on this machine. Made by `open_gallery`; a context manager that closes it."""

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        embedder: Embedder | None = None,
        *,
        readonly: bool = False,
    ) -> None:
        self.path = path
        self.embedder = embedder
        self.readonly = readonly
        self._connection = connection
        self._lock = WriterLock(path)
        self._nearest = Nearest(connection, path / CACHE)
        self._located: tuple[tuple[list[roots.Stored], int], dict[int, bytes]] | None = None

    def __enter__(self) -> "SqliteGallery":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the record; closing twice is no error."""
        self._nearest.close()
        self._connection.close()

    # reading

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Everything read inside comes from one version, whoever writes meanwhile."""
        with reported(self.path), transaction(self._connection, "DEFERRED"):
            yield

    def __len__(self) -> int:
        """How many images have a vector in this space; without an embedder, how many there are."""
        with self.reading():
            if self.embedder is None:
                (count,) = self._connection.execute("SELECT count(*) FROM images").fetchone()
                return int(count)
            space = self._own_space()
            return space.key.rows if space else 0

    def check(self) -> None:
        """Raises GalleryError if there are vectors, but none of its embedder."""
        with self.reading():
            self._space()

    @property
    def dim(self) -> int | None:
        """The length of the vectors that are searched; None if there are none."""
        return self.searched.dim if self.searched else None

    @property
    def searched(self) -> Fingerprint | None:
        """What made the vectors that are searched; None if there are none."""
        with self.reading():
            space = self._space()
            return space.fingerprint if space else None

    def search(self, queries: Array, k: int, where: Filter | None = None) -> list[list[Hit]]:
        """The k nearest images of each of queries (q, d), best first, equal scores by lower id.

        Only images that `where` holds for are searched. Queries are of unit length. Raises
        GalleryError if the gallery has vectors, but none of its embedder, and UsageError if it has
        no embedder and several spaces.
        """
        with self.reading():
            space = self._space()
            if space is None or not space.key.rows:
                return [[] for _ in queries]
            if queries.ndim != 2 or queries.shape[1] != space.key.dim:
                reason = f"it has the shape {queries.shape}, expected (q, {space.key.dim})"
                raise UsageError("vector.dim", "query", reason)
            allowed = None if where is None else filters.matching(self._connection, where)
            return self._hits(space, queries, k, allowed)

    def matching(self, where: Filter) -> list[int]:
        """The ids of the images that a filter holds for, ascending."""
        with self.reading():
            found: list[int] = filters.matching(self._connection, where).tolist()
            return found

    def unknown_names(self, where: Filter) -> list[str]:
        """A sentence for each name in a filter that no image has, with names that are nearly it."""
        with self.reading():
            return filters.unknown_names(self._connection, where)

    def _space(self) -> Space | None:
        fingerprint = self.embedder.fingerprint if self.embedder else None
        return choose(self.path, spaces_of(self._connection), fingerprint)

    def _hits(self, space: Space, queries: Array, k: int, allowed: Ids | None) -> list[list[Hit]]:
        """Asks for more than k where images have lost their files and are not yet pruned."""
        wanted = k
        while True:
            found = self._nearest.search(space, queries, wanted, allowed)
            places = self._places(sorted({id for ids, _ in found for id in ids.tolist()}))
            hits = [_ranked(ids, scores, places, k) for ids, scores in found]
            if wanted >= space.key.rows or all(len(each) == k for each in hits):
                return hits
            wanted = 2 * wanted + 16

    def _places(self, ids: list[int]) -> dict[int, Place]:
        return places(self._connection, self._roots(), ids)

    def _roots(self) -> dict[int, bytes]:
        """Where the roots are; quick searches one after another ask the disk once a second."""
        now = (roots.stored(self._connection), int(time.monotonic()))
        if self._located is None or self._located[0] != now:
            self._located = (now, roots.placed(now[0], self.path))
        return self._located[1]

    def known(self, digests: Iterable[str]) -> set[str]:
        """Those of `digests` whose images have a vector in this space."""
        with self.reading():
            space = self._own_space()
            return known(self._connection, space.id, digests) if space else set()

    def _own_space(self) -> Space | None:
        """As `_space`, but None where a new embedder would be refused: it may be about to add."""
        if self.embedder is None:
            return self._space()
        spaces = spaces_of(self._connection)
        return own_space(spaces, self.embedder.fingerprint, alike=self.readonly)

    def get(self, ids: Iterable[int]) -> list[Record]:
        """The records of images by id, in the order asked. Raises UsageError for an unknown id."""
        wanted = list(ids)
        with self.reading():
            found = records(self._connection, self._roots(), wanted)
        for id in wanted:
            if id not in found:
                raise UsageError("id.unknown", f"id {id}", "no image of this gallery has it")
        return [found[id] for id in wanted]

    def ids_of(self, digests: Iterable[str]) -> dict[str, int]:
        """The ids of those of `digests` (sha256 of a file's bytes) that are images here."""
        with self.reading():
            return ids_of(self._connection, digests)

    def vectors(self, ids: Iterable[int]) -> Array:
        """The vectors (n, d) of images by id, as searched; UsageError for an id without one."""
        wanted = np.fromiter(ids, np.int64)
        with self.reading():
            space = self._space()
            if space is None or not space.key.rows:
                raise UsageError("gallery.empty", self.path, "there are no vectors here yet")
            return self._nearest.vectors(space, wanted)

    def background(self) -> Background | None:
        """How alike random pairs of the space are; None where there are too few to tell."""
        with self.reading():
            space = self._space()
            return background.load(self._connection, space) if space else None

    def thumbnail(self, id: int) -> bytes | None:
        """A small JPEG of an image that was fetched or lies in an archive; None for other files."""
        with self.reading():
            return thumbnail(self._connection, id)

    def info(self) -> dict[str, Any]:
        """What is in it: format version, images, files, failures, spaces, roots, bytes on disk."""
        with self.reading():
            space = self._own_space() if self.embedder else None
            found = info(
                self._connection, self.path, self.path / CACHE, space.id if space else None
            )
            for each, shown in zip(spaces_of(self._connection), found["spaces"], strict=True):
                shown["index"] = self._nearest.status(each)
            return found

    def verify(self) -> list[str]:
        """Reads everything and returns what is wrong with it, one sentence each."""
        with self.reading():
            return [problem.text for problem in problems(self._connection)]

    # writing

    @contextmanager
    def writing(self) -> Iterator[Writer]:
        """Holds the right to write: for the length of the block nobody else can.

        Raises MachineError `gallery.locked`, naming the process, if another has it;
        `gallery.readonly` if this gallery can only be read.
        """
        if self.readonly:
            raise MachineError("gallery.readonly", self.path, "it can only be read")
        fingerprint = self.embedder.fingerprint if self.embedder else None
        with self._lock, reported(self.path):
            matrix_cache.sweep(self.path / CACHE)
            yield Writer(self._connection, self.path, fingerprint)

    def add(self, records: Sequence[Record], vectors: Array) -> None:
        """Keeps records and their vectors (m, d); see `Gallery.add`.

        Raises GalleryError `vector.invalid` for a vector that is zero or not finite; nothing is
        kept then.
        """
        with self.writing() as writer:
            writer.add(records, vectors)

    def remove(self, ids: Iterable[int]) -> int:
        """Forgets images in every space; returns how many there were. Indexing finds them again."""
        with self.writing() as writer:
            return writer.remove(ids)

    def relocate(self, old_root: str | Path, new_root: str | Path) -> None:
        """Says that the photographs of `old_root` are in `new_root`; UsageError if unknown."""
        with self.writing() as writer:
            writer.relocate(old_root, new_root)

    def build_index(self, kind: str | None = None) -> dict[str, Any] | None:
        """Brings what searches are quick by up to date: kind auto, exact, hnsw or ivf.

        None: as before. Returns what there is then, see `Nearest.status`; None without vectors.
        """
        if self.readonly:
            raise MachineError("gallery.readonly", self.path, "it can only be read")
        with self.reading():
            space = self._own_space()
        if space is None or not space.key.rows:
            return None
        with reported(self.path):  # it takes minutes: no transaction around it
            return self._nearest.build(space, kind)

    def use_index_key(self, file: Path) -> None:
        """Takes the secret that proves who wrote an index from another file than this user's."""
        self._nearest.use_key(file)

    def compact(self) -> None:
        """Gives the space of forgotten images back to the disk."""
        with self.writing():
            self._connection.execute("VACUUM")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _ranked(ids: Ids, scores: Array, places: Mapping[int, Place], k: int) -> list[Hit]:
    """The first k of ids (k',) that have a place, as hits."""
    bounded = np.minimum(np.maximum(scores, -1), 1)  # rounding can carry a cosine past 1
    found = [pair for pair in zip(ids.tolist(), bounded.tolist(), strict=True) if pair[0] in places]
    return [
        Hit(
            query="",
            rank=rank,
            id=id,
            path=places[id].path,
            score=score,
            caption=places[id].caption,
            location=places[id].file,
            url=places[id].url,
            metadata=places[id].metadata,
        )
        for rank, (id, score) in enumerate(found[:k], 1)
    ]
