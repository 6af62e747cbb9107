"""Small pictures of a gallery's images: made when they are first looked at, then kept.

What is served was encoded here and is nothing but pixels: no place where it was taken, and no
second meaning of the file.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from dinoseek.errors import ImageError
from dinoseek.images.limits import DEFAULT_LIMITS
from dinoseek.images.pool import DecoderPool
from dinoseek.web.live.flights import Flights
from dinoseek.web.live.galleries import Galleries
from dinoseek.web.live.originals import Sight, read_first, sight_of
from dinoseek.web.live.thumbnail_store import ThumbnailStore
from dinoseek.web.live.turns import Turns, always

Size: TypeAlias = Literal["thumb", "large"]
SIZES: tuple[Size, ...] = get_args(Size)

_SIDES: dict[str, int] = {"thumb": 320, "large": 1280}  # pixels
_WAITING = 200


@dataclass(frozen=True, kw_only=True)
class Thumbnail:
    """A JPEG to be shown. `etag` changes with its bytes, `digest` is the indexed image's.

    `is_same` is false if the file is not any more what was indexed: it is shown as it is now.
    """

    jpeg: bytes
    etag: str
    digest: str
    is_same: bool


class Thumbnails:
    """Thumbnails by the ids of images, kept in the file `cache`; None: in memory."""

    def __init__(
        self,
        galleries: Galleries,
        decoders: DecoderPool,
        cache: Path | None,
    ) -> None:
        self._galleries = galleries
        self._decoders = decoders
        self._store = ThumbnailStore(cache)
        self._turns = Turns(decoders.workers, _WAITING)
        self._flights: Flights[tuple[str, Size], Thumbnail] = Flights()

    def get(self, id: int, size: Size, *, is_wanted: Callable[[], bool] = always) -> Thumbnail:
        """The picture of an image, up to 320 ("thumb") or 1280 pixels ("large") on each side.

        Raises UsageError id.unknown, ImageError if its file cannot be read or shown (see
        `Originals.read`), Busy if too many wait, Gone soon after `is_wanted` says so.
        """
        sight = self._galleries.run(lambda gallery: sight_of(gallery, id))
        found = self._kept(sight, size)
        if found is None:
            make = partial(self._made, sight, size)
            found, _ = self._flights.share((sight.digest, size), make, is_wanted)
        return found

    def close(self) -> None:
        """Closes the file that they are kept in."""
        self._store.close()

    def _kept(self, sight: Sight, size: Size) -> Thumbnail | None:
        jpeg = self._store.get(_name(sight, size))
        return None if jpeg is None else _thumbnail(jpeg, sight)

    def _made(self, sight: Sight, size: Size, is_wanted: Callable[[], bool]) -> Thumbnail:
        if found := self._kept(sight, size):  # another was quicker
            return found
        with self._turns.taken(is_wanted):
            data, is_same = _source(sight)
            jpeg = self._decoders.thumbnail(data, f"image {sight.id}", _SIDES[size])
        if is_same:
            self._store.put(_name(sight, size), jpeg)
        return _thumbnail(jpeg, sight, is_same=is_same)


def _source(sight: Sight) -> tuple[bytes, bool]:
    """The bytes of a picture of an image, and whether they are what was indexed."""
    try:
        original = read_first(sight, DEFAULT_LIMITS)
    except ImageError:
        if sight.kept is None:
            raise
        return sight.kept, True
    return original.data, original.is_same


def _name(sight: Sight, size: Size) -> str:
    return f"{sight.digest}.{size}"


def _thumbnail(jpeg: bytes, sight: Sight, *, is_same: bool = True) -> Thumbnail:
    etag = hashlib.sha256(jpeg).hexdigest()[:32]
    return Thumbnail(jpeg=jpeg, etag=etag, digest=sight.digest, is_same=is_same)
