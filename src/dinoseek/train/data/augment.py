"""How pictures are varied while a model learns: cut, mirrored, lit otherwise, partly covered.

Colours keep their hue, which tells products apart. Each picture has a generator of its own, so that
what becomes of it does not depend on how many workers there are.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dinoseek.errors import UsageError
from dinoseek.images.preprocess import MEAN

Bytes = NDArray[np.uint8]  # (size, size, 3)

_TRIES = 10
_GREY = np.array([0.299, 0.587, 0.114])  # what a colour is in grey (ITU-R BT.601)
_COVER = np.array([255 * mean for mean in MEAN], np.float32).round().astype(np.uint8)


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How far a picture may be varied; its result is `size` x `size` pixels.

    A part of `area` (least and most) of it, with a ratio of width to height between `ratio` and its
    inverse, is scaled to the size; it is mirrored with probability `flip`, brightness and contrast
    change by up to these shares, and with probability `erasing` a rectangle of `erased` (least and
    most) of it is covered. Raises UsageError train.augment for numbers that make no sense.
    """

    size: int = 224
    area: tuple[float, float] = (0.2, 1.0)
    ratio: float = 3 / 4
    flip: float = 0.5
    brightness: float = 0.2
    contrast: float = 0.2
    erasing: float = 0.1
    erased: tuple[float, float] = (0.02, 0.2)

    def __post_init__(self) -> None:
        shares = (self.flip, self.brightness, self.contrast, self.erasing)
        sound = {
            "size": self.size >= 1,
            "area": 0 < self.area[0] <= self.area[1] <= 1,
            "ratio": 0 < self.ratio <= 1,
            "flip, brightness, contrast and erasing": all(0 <= share <= 1 for share in shares),
            "erased": 0 < self.erased[0] <= self.erased[1] < 1,
        }
        for name, is_sound in sound.items():
            if not is_sound:
                fix = "docs/training.md says what makes sense"
                raise UsageError("train.augment", name, "is out of range", fix=fix)

    def apply(self, image: Image.Image, rng: np.random.Generator) -> Bytes:
        """Varies an RGB image: (size, size, 3)."""
        box = part_of(image.width, image.height, self.area, self.ratio, rng)
        cut = image.resize((self.size, self.size), Image.Resampling.BICUBIC, box=box)
        if rng.random() < self.flip:
            cut = cut.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        varied = np.array(cut.point(self._levels(cut, rng)))
        if rng.random() < self.erasing:
            left, top, right, bottom = part_of(self.size, self.size, self.erased, 0.3, rng)
            varied[top:bottom, left:right] = _COVER
        return varied

    def _levels(self, image: Image.Image, rng: np.random.Generator) -> list[int]:
        """What each byte of red, green and blue becomes (768,), in another light."""
        brighter = rng.uniform(1 - self.brightness, 1 + self.brightness)
        lit = (brighter * np.arange(256)).clip(0, 255)
        more = rng.uniform(1 - self.contrast, 1 + self.contrast)
        counts = np.reshape(image.histogram(), (3, 256))  # a picture has few levels, many pixels
        grey = _GREY @ (counts @ lit) / (image.width * image.height)  # (3, 256) -> (3,) -> ()
        levels = (more * lit + (1 - more) * grey).clip(0, 255).round()
        return levels.astype(int).tolist() * 3


def generator(seed: int, epoch: int, row: int) -> np.random.Generator:
    """The generator of one picture in one epoch."""
    return np.random.default_rng([seed, epoch, row])


def part_of(
    width: int,
    height: int,
    area: tuple[float, float],
    ratio: float,
    rng: np.random.Generator,
) -> tuple[int, int, int, int]:
    """A box (left, top, right, bottom) somewhere inside, as torchvision's RandomResizedCrop.

    Where none fits in ten tries it is the middle, as much as the ratio allows.
    """
    reach = abs(math.log(ratio))
    for _ in range(_TRIES):
        wanted = width * height * rng.uniform(*area)
        shape = math.exp(rng.uniform(-reach, reach))
        across, down = round(math.sqrt(wanted * shape)), round(math.sqrt(wanted / shape))
        if 0 < across <= width and 0 < down <= height:
            left = int(rng.integers(width - across + 1))
            top = int(rng.integers(height - down + 1))
            return left, top, left + across, top + down
    across, down = min(width, round(height / ratio)), min(height, round(width / ratio))
    left, top = (width - across) // 2, (height - down) // 2
    return left, top, left + across, top + down
