"""The named ways from an RGB picture to the pixels that a model sees."""

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dinoseek.errors import UsageError
from dinoseek.images.geometry import (
    GRID,
    MAX_TOKENS,
    PATCH,
    Rounding,
    centre_box,
    check_aspect,
    patch_grid_size,
    short_side_size,
)

__all__ = ["MAX_TOKENS", "PRESETS", "Preset", "find_preset", "to_pixels"]

Array = NDArray[np.float32]
Bytes = NDArray[np.uint8]
Layout = Literal["resize-crop", "crop", "patches", "squash"]

# ImageNet's, which DINOv2 was trained with.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

_DEFAULT_SIZE = 224
_MAX_SIZE = GRID * PATCH
_NAME = re.compile(
    r"(?P<base>.+?)(@(?P<size>[0-9]{1,9}))?"
    r"(?P<faithful>-faithful)?(?P<fast>-fast)?"
)


@dataclass(frozen=True, kw_only=True)
class Preset:
    """One way to prepare pictures; vectors of two presets must not be compared.

    `layout` says what happens:
      resize-crop  the short side becomes `reach` times `size`, then the central square is cut out
      crop         the central `size` x `size` pixels are cut out, black around a smaller picture
      patches      the short side becomes `size`, both sides multiples of 14, the ratio is kept
      squash       it becomes `size` x `size`, whatever the ratio
    `rounding` is that of the crop's margin or of the multiples of 14. With `thumbnail` a larger
    picture is first shrunk into `size` x `size` by the Lanczos filter. `faithful` is for `decode`.
    With `fast` large JPEGs are read at a smaller scale, at least twice as large as is needed.
    """

    base: str
    layout: Layout
    size: int = _DEFAULT_SIZE
    reach: float = 256 / 224
    resample: Image.Resampling = Image.Resampling.BICUBIC
    rounding: Rounding = "floor"
    thumbnail: bool = False
    faithful: bool = False
    fast: bool = False

    def __post_init__(self) -> None:
        if not PATCH <= self.size <= _MAX_SIZE or self.size % PATCH:
            raise ValueError(f"size is {self.size}, expected a multiple of 14 up to {_MAX_SIZE}")

    @property
    def name(self) -> str:
        """What `find_preset` takes: "official", "short-side@448", "official@518-faithful"."""
        size = "" if self.size == _DEFAULT_SIZE else f"@{self.size}"
        return self.base + size + "-faithful" * self.faithful + "-fast" * self.fast

    @property
    def least_side(self) -> int | None:
        """For `decode`: how short the short side of a JPEG may get; None: read it in full."""
        if not self.fast:
            return None
        return 2 * (self._short_side if self.layout == "resize-crop" else self.size)

    @property
    def _short_side(self) -> int:
        return round(self.size * self.reach)

    def at_size(self, size: int) -> "Preset":
        """The same way to another resolution, `size` pixels, a multiple of 14 up to 518."""
        return dataclasses.replace(self, size=size)

    def with_faithful(self) -> "Preset":
        """The same way after Facebook's decoder; see `dinoseek.images.decode.decode`."""
        return dataclasses.replace(self, faithful=True)

    def with_fast(self) -> "Preset":
        """The same way from large JPEGs read at a smaller scale: quicker, and a little different.

        Vectors of photographs keep cosines of 0.999 and more to those of the slow way. UsageError
        preprocess.fast for a preset that needs every pixel.
        """
        if self.faithful or self.layout == "crop":
            reason = "it needs the pictures at their full size, so they cannot be read faster"
            raise UsageError("preprocess.fast", self.name, reason, fix="leave -fast out")
        return dataclasses.replace(self, fast=True)

    def apply(self, image: Image.Image, subject: object = "image") -> Bytes:
        """Turns an RGB `image` into bytes (H, W, 3), H and W multiples of 14.

        ImageError image.aspect, about `subject`, for a picture over 50 times as long as wide,
        unless it is squashed or only cropped.
        """
        if image.mode != "RGB":
            raise ValueError(
                f"the image has mode {image.mode}, expected RGB as `decode` returns it"
            )
        match self.layout:
            case "resize-crop":
                check_aspect(*image.size, subject)
                image = self._resized_and_cropped(image)
            case "crop":
                image = self._cropped(image)
            case "patches":
                check_aspect(*image.size, subject)
                size = patch_grid_size(*image.size, self.size, self.rounding)
                image = image.resize(size, self.resample)
            case "squash":
                image = self._squashed(image)
        return np.asarray(image)

    def _resized_and_cropped(self, image: Image.Image) -> Image.Image:
        size = short_side_size(*image.size, self._short_side)
        if not self.fast or min(image.size) < 2 * self._short_side:
            return self._cropped(image.resize(size, self.resample))
        # Only what stays is computed. Pillow keeps the edges of a box in float32 and may swap its
        # two passes, so values can be a few levels off: not where bits are promised, nor where
        # pictures are small enough for it to be more.
        box = centre_box(*size, self.size, self.rounding)
        edges = zip(box, image.size * 2, size * 2, strict=True)
        left, top, right, bottom = (min(at * full / part, full) for at, full, part in edges)
        return image.resize((self.size, self.size), self.resample, (left, top, right, bottom))

    def _cropped(self, image: Image.Image) -> Image.Image:
        return image.crop(centre_box(*image.size, self.size, self.rounding))

    def _squashed(self, image: Image.Image) -> Image.Image:
        if self.thumbnail:
            image = image.copy()  # thumbnail() works in place
            image.thumbnail((self.size, self.size), Image.Resampling.LANCZOS)
        return image.resize((self.size, self.size), self.resample)


_BILINEAR = Image.Resampling.BILINEAR

PRESETS: dict[str, Preset] = {
    preset.base: preset
    for preset in (
        # Facebook's evaluation transform, as torchvision does it on Pillow images.
        Preset(base="official", layout="resize-crop", rounding="round"),
        # The same through Hugging Face's processor: one margin in four is a pixel off.
        Preset(base="hf", layout="resize-crop"),
        # Nothing of the short side is lost: what the metric-learning benchmarks mostly use.
        Preset(base="cover", layout="resize-crop", rounding="round", reach=1),
        Preset(base="crop224", layout="crop"),
        Preset(base="short-side", layout="patches"),
        Preset(base="short-side-round", layout="patches", rounding="round"),
        Preset(base="short-side-bilinear", layout="patches", resample=_BILINEAR),
        Preset(base="squash", layout="squash", resample=_BILINEAR),
        Preset(base="thumbnail-squash", layout="squash", resample=_BILINEAR, thumbnail=True),
        # torchvision's Resize(256) with its default filter, then CenterCrop(224).
        Preset(
            base="resize256-bilinear", layout="resize-crop", rounding="round", resample=_BILINEAR
        ),
    )
}


def find_preset(name: str) -> Preset:
    """The preset called NAME, NAME@SIZE, and either with -faithful or -fast at its end.

    UsageError names those there are.
    """
    parts = _NAME.fullmatch(name)
    preset = PRESETS.get(parts["base"]) if parts else None
    if parts is None or preset is None:
        raise UsageError(
            "preprocess.unknown", name, "there is no such preprocessing", fix=_hint(name)
        )
    size = int(parts["size"] or _DEFAULT_SIZE)
    if not PATCH <= size <= _MAX_SIZE or size % PATCH:
        near = min(max(round(size / PATCH), 1), GRID) * PATCH
        reason = f"the size must be a multiple of {PATCH} up to {_MAX_SIZE}"
        raise UsageError("preprocess.size", name, reason, fix=f"the nearest is {near}")
    preset = preset.at_size(size)
    preset = preset.with_faithful() if parts["faithful"] else preset
    return preset.with_fast() if parts["fast"] else preset


def _hint(name: str) -> str:
    near = get_close_matches(name.split("@")[0], PRESETS, n=1)
    known = f"known are {', '.join(PRESETS)}"
    return f"did you mean {near[0]}? {known}" if near else known


def to_pixels(prepared: Sequence[Bytes]) -> Array:
    """Stacks bytes, each (H, W, 3) and all of one size, into normalised pixels (b, 3, H, W).

    Bit by bit what torchvision's ToTensor and Normalize give.
    """
    shapes = {image.shape for image in prepared}
    if len(shapes) != 1 or len(shape := shapes.pop()) != 3 or shape[2] != 3:
        raise ValueError("expected one or more images (H, W, 3), all of one size")
    height, width, _ = shape
    pixels = np.empty((len(prepared), 3, height, width), np.float32)
    for image, planes in zip(prepared, pixels, strict=True):
        for channel, levels in enumerate(_levels()):
            # "clip" because "raise" would need a second buffer; a byte is always in range
            np.take(levels, image[:, :, channel], out=planes[channel], mode="clip")
    return pixels


@cache
def _levels() -> Array:
    """What each of the 256 bytes becomes in each of the three channels: (3, 256)."""
    unit = np.arange(256, dtype=np.float32) / np.float32(255)
    mean, std = np.array(MEAN, np.float32)[:, None], np.array(STD, np.float32)[:, None]
    return (unit - mean) / std
