"""The same picture at several scales: which, and how a prepared one is brought to each."""

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dinoseek.errors import UsageError
from dinoseek.images.geometry import GRID, PATCH
from dinoseek.images.preprocess import Preset

Bytes = NDArray[np.uint8]
Scales = tuple[float, ...]  # ascending, different; (1.0,) is no change

ONE: Scales = (1.0,)
_MOST = 8


def checked_scales(scales: Iterable[float]) -> Scales:
    """Scales in ascending order. UsageError scales.* for none, too many, and ones without sense."""
    found = tuple(sorted({float(f"{scale:.6g}") for scale in scales}))
    if not 1 <= len(found) <= _MOST:
        raise UsageError("scales.number", f"{len(found)} scales", f"give 1 to {_MOST}")
    for scale in found:
        if not (math.isfinite(scale) and 0.1 <= scale <= 10):
            raise UsageError("scales.range", f"scale {scale:g}", "it must be within 0.1 to 10")
    return found


def parse_scales(text: str) -> Scales:
    """The scales that "1,0.707,0.5" names."""
    try:
        return checked_scales([float(part) for part in text.split(",")])
    except ValueError as exc:
        fix = "give numbers, as in 1,0.707"
        raise UsageError("scales.number", text, "these are no scales", fix=fix) from exc


def name_of(scales: Scales) -> str:
    """The scales in a fingerprint: "0.5,0.707,1"; nothing where there is only the usual one."""
    return "" if scales == ONE else ",".join(f"{scale:g}" for scale in scales)


def preset_for(preset: Preset, scales: Scales) -> Preset:
    """The preset that prepares pictures for the largest scale; the others are made from that.

    UsageError scales.size where it would be more than 518 pixels, or is cut and not scaled.
    """
    largest = scales[-1]
    size = round(preset.size * largest / PATCH) * PATCH
    if largest == 1:
        return preset
    if preset.layout == "crop":
        reason = "it cuts pictures and does not scale them, so there is no other scale"
        raise UsageError("scales.size", preset.name, reason, fix="use another preprocessing")
    if not PATCH <= size <= GRID * PATCH:
        reason = f"at {largest:g} times it would be {size} pixels, expected 14 to {GRID * PATCH}"
        raise UsageError("scales.size", preset.name, reason, fix="use a smaller size or scale")
    return preset.at_size(size)


def at_scale(prepared: Bytes, ratio: float) -> Bytes:
    """A prepared picture (H, W, 3) shrunk by `ratio` to (H', W', 3), both multiples of 14."""
    height, width = (max(1, round(side * ratio / PATCH)) * PATCH for side in prepared.shape[:2])
    if (height, width) == prepared.shape[:2]:
        return prepared
    image = Image.fromarray(prepared)
    return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))
