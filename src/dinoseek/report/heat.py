"""Draws what matches on a picture: heat maps, and pairs of points."""

import colorsys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dinoseek.explain import Explanation, Seen, strongest
from dinoseek.matching import Points, centres
from dinoseek.vit.ops import Array

Color = tuple[int, int, int]
Point = tuple[float, float]  # shares of a picture's sides

# Dark to light through violet and orange, so that it can be read in grey too.
STOPS = ((12, 8, 38), (86, 18, 110), (187, 55, 84), (249, 142, 9), (252, 252, 164))
_LEAST_SPAN = 0.1  # cosines nearer than this look alike
_NEAREST, _BICUBIC = Image.Resampling.NEAREST, Image.Resampling.BICUBIC
_DIMMED = 0.35  # brightness of what a region leaves out


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A match to be drawn: from a point of the query to one of the hit."""

    start: Point
    end: Point
    color: Color
    cosine: float


def pairs(explained: Explanation, count: int) -> list[Pair]:
    """The strongest matches, at most `count`, in colours that tell them apart."""
    matches = explained.matches
    chosen = strongest(matches, explained.query.heat.shape[1], count)
    starts, ends = (points[chosen] for points in shares(explained))
    return [
        Pair(
            start=(float(start[0]), float(start[1])),
            end=(float(end[0]), float(end[1])),
            color=_color(place / max(len(chosen), 1)),
            cosine=float(matches.cosines[which]),
        )
        for place, (which, start, end) in enumerate(zip(chosen, starts, ends, strict=True))
    ]


def shares(explained: Explanation) -> tuple[Points, Points]:
    """Where matches begin and end, as shares of the sides of what the model sees: (k, 2) each."""
    ends = ((explained.query, explained.matches.first), (explained.hit, explained.matches.second))
    first, second = (centres(ids, seen.heat.shape[1]) / seen.heat.shape[::-1] for seen, ids in ends)
    return first, second


def heat_span(explained: Explanation) -> tuple[float, float]:
    """The cosines at the cold and the hot end, the same for both pictures."""
    both = np.concatenate([explained.query.heat.reshape(-1), explained.hit.heat.reshape(-1)])
    high = float(np.nanmax(both))
    return min(float(np.nanpercentile(both, 5)), high - _LEAST_SPAN), high


def heated(seen: Seen, span: tuple[float, float]) -> Image.Image:
    """A picture under its heat map: grey and dark where it is cold, bright where it is hot."""
    low, high = span
    missing = np.isnan(seen.heat)
    left_out = _resized(missing.astype(np.float32), seen.picture.size, _NEAREST) > 0.5
    warm = (np.where(missing, np.nanmean(seen.heat), seen.heat) - low) / (high - low)
    smooth = _resized(warm.astype(np.float32), seen.picture.size, _BICUBIC)
    warmth = np.clip(smooth, 0, 1)[:, :, None]
    grey = np.asarray(seen.picture.convert("L"), np.float32)[:, :, None]
    blend = 0.3 + 0.45 * warmth
    mixed = (1 - blend) * grey + blend * ramp(warmth[:, :, 0])
    mixed[left_out] = _DIMMED * grey[left_out]
    return Image.fromarray(np.clip(mixed, 0, 255).astype(np.uint8))


def ramp(warmth: Array) -> Array:
    """Colours (..., 3) for warmth (...) between 0 and 1."""
    stops = np.array(STOPS, np.float32)
    places = np.linspace(0, 1, len(stops))
    channels = [np.interp(warmth, places, stops[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).astype(np.float32)


def _resized(grid: Array, size: tuple[int, int], how: Image.Resampling) -> NDArray[np.float32]:
    return np.asarray(Image.fromarray(grid).resize(size, how), np.float32)


def _color(share: float) -> Color:
    red, green, blue = colorsys.hsv_to_rgb(share, 0.75, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)
