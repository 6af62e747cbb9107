"""Drawn photographs: JPEGs that cost a decoder what real ones do, without a data set."""

import io
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[np.float32]

_COARSEST = 8  # pixels on the short side of the coarsest level
# Photographs have about as much contrast in each octave but the finest two, which lenses and the
# interpolation of the sensor's colours take away; then comes the sensor's noise.
_CONTRAST, _FINE, _FINEST, _NOISE = 16.0, 9.0, 3.0, 1.2
_EDGE = 40.0  # levels between what is before and behind a contour


def photograph(seed: int, width: int, height: int, quality: int = 90) -> bytes:
    """A JPEG of soft shades, contours, texture and noise; the same for the same arguments.

    At quality 90 it has about a quarter of a byte for each pixel, as photographs do.
    """
    rng = np.random.default_rng(seed)
    light = _octaves(rng, width, height)
    shape = _resized(rng.standard_normal((6, 8), np.float32), width, height)
    light += np.where(shape > 0, np.float32(_EDGE), np.float32(0))
    planes = [_bytes(light + rng.uniform(90, 150)), *(_colour(rng, width, height) for _ in "br")]
    file = io.BytesIO()
    Image.merge("YCbCr", planes).save(file, "JPEG", quality=quality)
    return file.getvalue()


def _octaves(rng: np.random.Generator, width: int, height: int) -> Array:
    """Random light (height, width) about 0: each level is twice as fine as the one before."""
    sizes = [(width, height)]
    while min(sizes[-1]) >= 2 * _COARSEST:
        sizes.append((sizes[-1][0] // 2, sizes[-1][1] // 2))
    light = np.zeros((1, 1), np.float32)
    for level, (across, down) in reversed(list(enumerate(sizes))):
        contrast = {0: _FINEST, 1: _FINE}.get(level, _CONTRAST)
        noise = rng.standard_normal((down, across), np.float32)
        light = _resized(light, across, down) + noise * np.float32(contrast)
    return light + _noise(down, across)


def _resized(light: Array, width: int, height: int) -> Array:
    image = Image.fromarray(light)
    return np.array(image.resize((width, height), Image.Resampling.BICUBIC))


@cache
def _noise(height: int, width: int) -> Array:
    noise = np.random.default_rng(0).standard_normal((height, width), np.float32)
    return noise * np.float32(_NOISE)


def _bytes(light: Array) -> Image.Image:
    return Image.fromarray(np.clip(light, 0, 255).astype(np.uint8))


def _colour(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """A plane of soft colours: eyes, cameras and JPEG keep little detail of those."""
    coarse = _octaves(rng, max(1, width // 8), max(1, height // 8))
    return _bytes(coarse * np.float32(0.3) + 128).resize((width, height))
