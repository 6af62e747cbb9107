"""The built-in baseline: what colours a picture has, and roughly where."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

# Colours are counted on a cube of 16 x 16 x 16, in 3 bands from top to bottom, each in its middle
# half and its outer quarters. Both are symmetric, so a mirrored picture has the same histogram.
_LEVELS = 16
_BANDS, _RINGS = 3, 2

# 12 hues at 3 saturations and 3 brightnesses, and 4 greys from black to white. Colours without hue
# go to the greys: there the hue is noise.
_HUES, _SATURATIONS, _VALUES = 12, 4, 4
_COLOURS = _VALUES + _HUES * (_SATURATIONS - 1) * (_VALUES - 1)

DIM = _BANDS * _RINGS * _COLOURS  # 672


def color_histogram(image: NDArray[np.uint8]) -> Array:
    """Turns bytes (H, W, 3), in RGB, into a vector (672,) of unit length.

    It is the square root of a histogram that sums to 1, so the cosine of two of them is Hellinger's
    affinity: 1 for the same colours in the same places, 0 for none in common.
    """
    height, width, _ = image.shape
    cube = (image >> 4).astype(np.intp)
    colour = (cube[:, :, 0] * _LEVELS + cube[:, :, 1]) * _LEVELS + cube[:, :, 2]  # (H, W)
    cells = _BANDS * _RINGS
    place = (_cells(height, width) * _LEVELS**3 + colour).ravel()  # (H, W) -> (H * W,)
    counts = np.bincount(place, minlength=cells * _LEVELS**3).reshape(cells, -1)
    shares = counts.astype(np.float32) @ _soft_bins() / np.float32(height * width)
    return np.sqrt(shares).ravel()  # (cells, colours) -> (cells * colours,)


def _cells(height: int, width: int) -> NDArray[np.intp]:
    """The cell that each pixel is in: (H, W)."""
    band = np.arange(height) * _BANDS // height
    ring = np.abs(2 * np.arange(width) + 1 - width) * _RINGS // width
    return band[:, None] * _RINGS + ring


@cache
def _soft_bins() -> Array:
    """How each colour of the cube is shared among the bins: (4096, colours), rows sum to 1."""
    levels = (np.arange(_LEVELS) + 0.5) / _LEVELS
    rgb = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3)
    hue, saturation, value = _hsv(rgb)
    hues = _shares(hue * _HUES, np.arange(_HUES), period=_HUES)
    saturations = _shares(saturation * (_SATURATIONS - 1), np.arange(_SATURATIONS))
    values = _shares(value * (_VALUES - 1), np.arange(_VALUES))
    grey = values * saturations[:, :1]
    grey[:, 0] = values[:, 0]  # black has no saturation either
    chromatic = np.einsum("ch,cs,cv->chsv", hues, saturations[:, 1:], values[:, 1:])
    return np.concatenate([grey, chromatic.reshape(len(rgb), -1)], axis=1, dtype=np.float32)


def _hsv(rgb: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Hue, saturation and value, each (n,) from 0 to 1, of colours (n, 3)."""
    red, green, blue = rgb.T
    top, bottom = rgb.max(axis=1), rgb.min(axis=1)
    spread = np.where(top > bottom, top - bottom, 1)
    sectors = [(green - blue) / spread % 6, (blue - red) / spread + 2, (red - green) / spread + 4]
    hue = np.select([top == red, top == green], sectors[:2], sectors[2]) / 6
    return hue, (top - bottom) / top, top


def _shares(
    position: NDArray[np.float64], bins: NDArray[np.intp], period: int | None = None
) -> NDArray[np.float64]:
    """Shares each position (n,) among the two nearest of `bins`: (n, bins)."""
    distance = np.abs(position[:, None] - bins)
    if period:
        distance = np.minimum(distance, period - distance)
    return np.clip(1 - distance, 0, 1)
