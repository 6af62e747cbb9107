"""What a report shows: queries with their hits, and the pictures behind them."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from dinoseek.errors import DinoseekError
from dinoseek.gallery.base import Hit
from dinoseek.images.decode import load_image

THUMBNAIL_SIDE = 256


@dataclass(frozen=True, kw_only=True)
class Result:
    """One query, where its picture is (None for one that has none), and its hits, best first."""

    query: str
    source: Path | bytes | None
    hits: Sequence[Hit]


def picture(source: Path | bytes | None) -> Image.Image | None:
    """The picture in `source`, upright RGB; None where there is none, or it cannot be read now."""
    if source is None:
        return None
    try:
        return load_image(source)
    except DinoseekError:
        return None


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
