"""The perceptual hashes of images: from the record, or taken now where it has none."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from dinoseek.errors import ImageError, MachineError
from dinoseek.gallery.exact import Ids
from dinoseek.gallery.holdings import Copy, keep_looks, looks
from dinoseek.gallery.sqlite_gallery import SqliteGallery
from dinoseek.images.ahead import ahead
from dinoseek.images.decode import load_image
from dinoseek.images.perceptual_hash import LENGTH, is_flat, look

_THREADS = 2
_UNKNOWN, _KNOWN, _NONE = 0, 1, 2
_FLAT = bytes(LENGTH)  # of a picture of one colour: all such would look the same


class Looks:
    """The hashes of a list of images, each read or taken when it is first asked for.

    `images` are the files of each image, the best first.
    """

    def __init__(self, gallery: SqliteGallery, images: Sequence[Sequence[Copy]]) -> None:
        self._gallery = gallery
        self._images = images
        self._hashes = np.zeros((len(images), LENGTH), np.uint8)
        self._states = np.zeros(len(images), np.uint8)
        self._taken: dict[int, bytes] = {}

    def distances(self, rows: Ids, others: Ids) -> Ids:
        """In how many bits the images of rows (p,) differ from those of `others` (p,): (p,).

        The highest number where one of them has no hash that says anything.
        """
        self._read(np.unique(np.concatenate([rows, others])))
        differing = np.bitwise_xor(self._hashes[rows], self._hashes[others])  # (p, 32)
        found = np.bitwise_count(differing).sum(axis=1, dtype=np.int64)
        known = (self._states[rows] == _KNOWN) & (self._states[others] == _KNOWN)
        return np.where(known, found, 8 * LENGTH)

    def known_distance(self, row: int, other: int) -> int | None:
        """The distance of two images, if both hashes were read before."""
        pair = [row, other]
        if (self._states[pair] != _KNOWN).any():
            return None
        return int(self.distances(np.array([row]), np.array([other]))[0])

    def keep(self) -> None:
        """Remembers the hashes that were taken, where the gallery can be written to just now."""
        if not self._taken:
            return
        try:
            keep_looks(self._gallery, self._taken)
        except MachineError:  # it only saves time
            return
        self._taken.clear()

    def _read(self, rows: Ids) -> None:
        wanted = rows[self._states[rows] == _UNKNOWN].tolist()
        if not wanted:
            return
        ids = {self._images[row][0].id: row for row in wanted}
        for id, found in looks(self._gallery, ids).items():
            self._put(ids.pop(id), found)
        self._take(ids.values())

    def _take(self, rows: Iterable[int]) -> None:
        # what is needed of the record is read in this thread, since the connection is its
        sources = [(row, self._source(row)) for row in rows]
        for row, found in ahead(_look_of, sources, workers=_THREADS, depth=4 * _THREADS):
            self._put(row, found)
            if found is not None:
                self._taken[self._images[row][0].id] = found

    def _source(self, row: int) -> Path | bytes | None:
        best = self._images[row][0]
        return best.file or self._gallery.thumbnail(best.id)

    def _put(self, row: int, found: bytes | None) -> None:
        useful = found is not None and len(found) == LENGTH and found != _FLAT
        self._states[row] = _KNOWN if useful else _NONE
        if found is not None and useful:
            self._hashes[row] = np.frombuffer(found, np.uint8)


def _look_of(job: tuple[int, Path | bytes | None]) -> tuple[int, bytes | None]:
    row, source = job
    if source is None:
        return row, None
    try:
        image = load_image(source)
    except ImageError:
        return row, None
    return row, _FLAT if is_flat(image) else look(image)
