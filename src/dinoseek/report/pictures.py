"""What a report shows: queries with their hits, and the pictures behind them."""

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, TypeAlias

from PIL import Image

from dinoseek.errors import DinoseekError
from dinoseek.gallery.base import Hit
from dinoseek.images.decode import load_image
from dinoseek.images.region import Region

THUMBNAIL_SIDE = 256

Source: TypeAlias = Path | bytes | None
ThumbnailOf: TypeAlias = Callable[[int], bytes | None]


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One picture of a query, or the region of it that was looked at.

    `sign` says whether hits should be like it or unlike it.
    """

    name: str
    source: Source
    region: Region | None = None
    sign: Literal["+", "-"] = "+"


@dataclass(frozen=True, kw_only=True)
class Result:
    """One query and its hits, best first.

    `source` is where its picture is, None for one that has none; several for one of several.
    """

    query: str
    source: Source | Sequence[Shown]
    hits: Sequence[Hit]

    @property
    def shown(self) -> Sequence[Shown]:
        """The pictures of the query."""
        if isinstance(self.source, Path | bytes | None):
            return [Shown(name=self.query, source=self.source)]
        return self.source

    @property
    def name(self) -> str:
        """The query without folders: "a.jpg + b.jpg - c.jpg"."""
        first, *more = self.shown
        others = (f" {each.sign} {short_name(each.name)}" for each in more)
        return short_name(first.name) + "".join(others)


def no_thumbnail(_id: int) -> None:
    """For galleries that keep none."""


def picture(source: Source, region: Region | None = None) -> Image.Image | None:
    """The picture in `source`, upright RGB; None where there is none, or it cannot be read now."""
    if source is None:
        return None
    try:
        image = load_image(source)
        return region.of(image) if region else image
    except DinoseekError:
        return None


def picture_of(hit: Hit, thumbnail_of: ThumbnailOf) -> Image.Image | None:
    """The picture of a hit: its file, or the small picture that the gallery keeps of it."""
    return picture(hit.file) or picture(thumbnail_of(hit.id))


def short_name(path: str) -> str:
    """The last part of a path or address."""
    return PurePosixPath(path.replace("\\", "/")).name or path


def thumbnail(image: Image.Image, side: int = THUMBNAIL_SIDE) -> Image.Image:
    """A copy of `image` whose longer side is at most `side` pixels."""
    small = image.copy()
    small.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return small


def data_uri(image: Image.Image) -> str:
    """`image` as a JPEG inside a data: address, so that a page needs no second file."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=82, optimize=True, progressive=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
