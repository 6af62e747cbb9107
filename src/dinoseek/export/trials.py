"""The batches that an exported file is tried on, and what the NumPy engine makes of them."""

from collections.abc import Mapping, Sequence
from itertools import cycle, islice
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from dinoseek.export.options import ExportOptions
from dinoseek.export.pictures import Picture
from dinoseek.images.geometry import GRID, PATCH
from dinoseek.images.preprocess import find_preset, to_pixels
from dinoseek.pooling import unit
from dinoseek.vit.config import ViTConfig
from dinoseek.vit.model import Tokens
from dinoseek.vit.ops import Array

Images = NDArray[np.uint8]  # (b, H, W, 3)
Outputs = Mapping[str, Array]  # cls, registers, patches, embedding

# (rows, columns, images): upright, wide, tall; the grid of the weights themselves comes besides.
_GRIDS = ((16, 16, 3), (10, 23, 2), (21, 13, 1))
_BATCHES = (3, 1)  # of a fixed size


class Runner(Protocol):
    """An exported file, loaded anew: images (b, H, W, 3) in, its outputs by name out."""

    @property
    def runtime(self) -> str:
        """What it was loaded by, with its version."""

    def __call__(self, images: Images) -> Outputs: ...


def trials_of(
    pictures: Sequence[Picture], options: ExportOptions, config: ViTConfig
) -> list[Images]:
    """Batches of several sizes, or several batches of the one size that a file takes."""
    patch, native = config.patch_size, config.grid
    if options.size is not None:
        shapes = [(*options.size, count) for count in _BATCHES]
    else:
        grids = (*_GRIDS, (native, native, 1))
        shapes = [(rows * patch, columns * patch, count) for rows, columns, count in grids]
    endless = cycle(pictures)
    return [
        batch([picture.image for picture in islice(endless, count)], height, width)
        for height, width, count in shapes
    ]


def batch(images: Sequence[Image.Image], height: int, width: int) -> Images:
    """RGB images cut to one size: (b, H, W, 3). Squares are cut as the preset official does."""
    if height == width and height % PATCH == 0 and height <= GRID * PATCH:
        preset = find_preset("official").at_size(height)
        return np.stack([preset.apply(image) for image in images])
    cut = [ImageOps.fit(image, (width, height), Image.Resampling.BICUBIC) for image in images]
    return np.stack([np.asarray(image) for image in cut])


def outputs_of(tokens: Tokens, *, unit_length: bool) -> Outputs:
    """Tokens under the names that exported files give them."""
    found = {"cls": tokens.cls, "patches": tokens.patches}
    if tokens.registers.size:
        found["registers"] = tokens.registers
    if unit_length:
        found["embedding"] = unit(tokens.cls)
    return found


def pixels_of(images: Images) -> Array:
    """Normalised pixels (b, 3, H, W) of images (b, H, W, 3)."""
    return to_pixels(list(images))
