"""How a picture looks, in 256 bits that survive re-encoding and resizing.

The signs of the low frequencies of a small grey copy, about their median: the DCT hash of Zauner,
"Implementation and benchmarking of perceptual image hash functions" (2010), section 3.2.1, at four
times its length.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Bits = NDArray[np.uint8]

LENGTH = 32  # bytes
_SIDE = 64
_FREQUENCIES = 16
# Below this contrast (in levels of 255) of the grey copy, the signs are those of noise.
_FLAT = 1.0


def look(image: Image.Image) -> bytes:
    """The hash of an RGB picture: 32 bytes."""
    return np.packbits(_signs(_grey(image))).tobytes()


def is_flat(image: Image.Image) -> bool:
    """Whether a picture is of one colour, or nearly: then its hash says nothing."""
    return bool(_grey(image).std() < _FLAT)


def distance(first: bytes, second: bytes) -> int:
    """In how many of 256 bits two hashes differ."""
    return int(distances(first, np.frombuffer(second, np.uint8)[None])[0])


def distances(one: bytes, others: Bits) -> NDArray[np.int64]:
    """In how many bits a hash differs from each of others (n, 32): (n,)."""
    differing = np.bitwise_xor(others, np.frombuffer(one, np.uint8))
    return np.bitwise_count(differing).sum(axis=1, dtype=np.int64)


def _grey(image: Image.Image) -> NDArray[np.float32]:
    """A copy of 64 x 64 luma values."""
    small = image.resize((_SIDE, _SIDE), Image.Resampling.LANCZOS, reducing_gap=2.0)
    return np.asarray(small.convert("L"), np.float32)


def _signs(grey: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which of the 16 x 16 lowest frequencies but the constant ones are above their median."""
    basis = _basis()
    spectrum = basis @ grey @ basis.T
    return spectrum > np.median(spectrum)


@cache
def _basis() -> NDArray[np.float32]:
    """The rows 1 to 16 of the DCT-II of 64 values: (16, 64)."""
    frequency = np.arange(1, _FREQUENCIES + 1)[:, None]
    place = np.arange(_SIDE)[None]
    return np.cos(np.pi * frequency * (2 * place + 1) / (2 * _SIDE)).astype(np.float32)
