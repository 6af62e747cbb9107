"""How images look: perceptual hashes and coarse colours, from the record or the picture itself."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dinoseek.errors import ImageError, MachineError
from dinoseek.gallery.exact import Ids
from dinoseek.gallery.holdings import Copy, keep_looks, looks
from dinoseek.gallery.sqlite_gallery import SqliteGallery
from dinoseek.images.ahead import ahead
from dinoseek.images.decode import load_image
from dinoseek.images.perceptual_hash import LENGTH, is_flat, look

_THREADS = 2
_LEAST_SIDE = 256  # a JPEG need not be read larger for this
_CELLS = 8
_UNKNOWN, _KNOWN, _NONE = 0, 1, 2
_FLAT = bytes(LENGTH)  # of a picture of one colour: all such would look the same


class Taken(NamedTuple):
    """What was taken from the picture at a place; nothing of one that cannot be read."""

    place: int
    hash: bytes | None
    colours: NDArray[np.uint8] | None


class Looks:
    """The looks of a list of images, each read or taken when it is first asked for.

    `images` are the files of each image, the best first.
    """

    def __init__(self, gallery: SqliteGallery, images: Sequence[Sequence[Copy]]) -> None:
        self._gallery = gallery
        self._images = images
        self._hashes = np.zeros((len(images), LENGTH), np.uint8)
        self._states = np.zeros(len(images), np.uint8)  # of the hashes
        self._colours: dict[int, NDArray[np.uint8] | None] = {}
        self._new: dict[int, bytes] = {}  # hashes by image id

    def distances(self, some: Ids, others: Ids) -> Ids:
        """In how many bits the hashes of images (p,) differ from those of `others` (p,): (p,).

        The highest number where one of them has no hash that says anything.
        """
        self._read_hashes(np.unique(np.concatenate([some, others])))
        differing = np.bitwise_xor(self._hashes[some], self._hashes[others])  # (p, 32)
        found = np.bitwise_count(differing).sum(axis=1, dtype=np.int64)
        known = (self._states[some] == _KNOWN) & (self._states[others] == _KNOWN)
        return np.where(known, found, 8 * LENGTH)

    def known_distance(self, one: int, other: int) -> int | None:
        """The distance of two images, if both hashes were read before."""
        if (self._states[[one, other]] != _KNOWN).any():
            return None
        return int(self.distances(np.array([one]), np.array([other]))[0])

    def known_colour_difference(self, one: int, other: int) -> float | None:
        """How far the colours of two images are apart, if both were read before."""
        if self._colours.get(one) is None or self._colours.get(other) is None:
            return None
        return self._apart(one, other)

    def colour_differences(self, some: Ids, others: Ids) -> NDArray[np.float32]:
        """How far the colours of images (p,) and `others` (p,) are apart where most: (p,), of 255.

        Infinite where one of them cannot be read.
        """
        wanted = np.unique(np.concatenate([some, others])).tolist()
        self._take(place for place in wanted if place not in self._colours)
        pairs = zip(some.tolist(), others.tolist(), strict=True)
        return np.array([self._apart(*pair) for pair in pairs], np.float32)

    def _apart(self, one: int, other: int) -> float:
        first, second = self._colours[one], self._colours[other]
        if first is None or second is None:
            return float("inf")
        return float(np.linalg.norm(first.astype(np.float32) - second, axis=-1).max())

    def keep(self) -> None:
        """Remembers the hashes that were taken, where the gallery can be written to just now."""
        try:
            if self._new:
                keep_looks(self._gallery, self._new)
        except MachineError:  # it would only have saved time
            return
        self._new = {}

    def _read_hashes(self, places: Ids) -> None:
        wanted = places[self._states[places] == _UNKNOWN].tolist()
        by_id = {self._images[place][0].id: place for place in wanted}
        for id, found in looks(self._gallery, by_id).items():
            self._put(by_id.pop(id), found)
        self._take(by_id.values())

    def _take(self, places: Iterable[int]) -> None:
        """Reads the pictures at some places."""
        # where they are is asked in this thread, which the gallery belongs to
        sources = ((place, self._source(place)) for place in places)
        for taken in ahead(_taken, sources, workers=_THREADS, depth=4 * _THREADS):
            self._colours[taken.place] = taken.colours
            if self._states[taken.place] == _UNKNOWN:
                self._put(taken.place, taken.hash)
                if taken.hash:
                    self._new[self._images[taken.place][0].id] = taken.hash

    def _source(self, place: int) -> Path | bytes | None:
        best = self._images[place][0]
        return best.file or self._gallery.thumbnail(best.id)

    def _put(self, place: int, found: bytes | None) -> None:
        useful = found is not None and len(found) == LENGTH and found != _FLAT
        self._states[place] = _KNOWN if useful else _NONE
        if found is not None and useful:
            self._hashes[place] = np.frombuffer(found, np.uint8)


def _taken(job: tuple[int, Path | bytes | None]) -> Taken:
    place, source = job
    if source is None:
        return Taken(place, None, None)
    try:
        image = load_image(source, least_side=_LEAST_SIDE)
    except ImageError:
        return Taken(place, None, None)
    return Taken(place, _FLAT if is_flat(image) else look(image), coarse_colours(image))


def coarse_colours(image: Image.Image) -> NDArray[np.uint8]:
    """The colours of a picture without its brightness, in a few cells: (8, 8, 2), Cb and Cr."""
    cells = image.convert("YCbCr").resize((_CELLS, _CELLS), Image.Resampling.BOX)
    return np.asarray(cells)[..., 1:]
