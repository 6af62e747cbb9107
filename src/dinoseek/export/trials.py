"""The batches that an exported file is tried on, and what the NumPy engine makes of them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Protocol, TypeAlias

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
Watch: TypeAlias = Callable[[Sequence[Images], str], Iterable[Images]]  # draws a bar

# (rows, columns, images): upright, wide, tall; the grid of the weights themselves comes besides.
_GRIDS = ((16, 16, 3), (10, 23, 2), (21, 13, 1))
_BATCHES = (3, 1)  # of a fixed size
_USUAL = 16  # rows and columns of patches where pictures are searched for
_AT_ONCE = 8


class Runner(Protocol):
    """An exported file, loaded anew: images (b, H, W, 3) in, its outputs by name out."""

    @property
    def runtime(self) -> str:
        """What it was loaded by, with its version."""

    def __call__(self, images: Images) -> Outputs: ...


@dataclass(frozen=True, kw_only=True)
class Trials:
    """Batches whose tokens are compared, and those whose images are searched for, in order."""

    compared: Sequence[Images]
    searched: Sequence[Images] = ()


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What somebody makes of trials: the outputs of each batch, and class tokens (m, d)."""

    outputs: Sequence[Outputs]
    classes: Array


def seen(run: Runner, trials: Trials, watch: Watch, doing: str) -> Seen:
    """Runs trials."""
    batches = [*trials.compared, *trials.searched]
    outputs: list[Outputs] = []
    classes: list[Array] = [np.empty((0, 0), np.float32)]
    for position, images in enumerate(watch(batches, doing)):
        found = run(images)
        if position < len(trials.compared):
            outputs.append(found)
        else:
            classes.append(found["cls"])
    return Seen(outputs=outputs, classes=np.concatenate(classes[1:] or classes))


def trials_of(
    pictures: Sequence[Picture], options: ExportOptions, config: ViTConfig, *, search: bool
) -> Trials:
    """Batches of several sizes, or several of the one size that a file takes.

    With `search` all pictures besides, at that size or the usual one.
    """
    height, width = options.size or (_USUAL * config.patch_size,) * 2
    images = [picture.image for picture in pictures if search]
    parts = [images[start : start + _AT_ONCE] for start in range(0, len(images), _AT_ONCE)]
    return Trials(
        compared=_compared(pictures, options, config),
        searched=[batch(part, height, width) for part in parts],
    )


def calibration_pixels(
    pictures: Sequence[Picture], options: ExportOptions, config: ViTConfig
) -> Array:
    """Normalised pixels (b, 3, H, W) of pictures at the size of a file, or the usual one."""
    height, width = options.size or (_USUAL * config.patch_size,) * 2
    return pixels_of(batch([picture.image for picture in pictures], height, width))


def _compared(
    pictures: Sequence[Picture], options: ExportOptions, config: ViTConfig
) -> list[Images]:
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
