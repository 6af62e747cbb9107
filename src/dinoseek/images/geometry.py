"""Sizes and boxes of the preprocessings: whole numbers in, whole numbers out."""

from math import isqrt
from typing import Literal

from dinoseek.errors import ImageError

PATCH = 14
GRID = 37  # DINOv2 was trained up to 37 x 37 patches
MAX_PATCHES = GRID * GRID
MAX_TOKENS = MAX_PATCHES + 1  # the patches and the class token
MAX_ASPECT = 50

Rounding = Literal["floor", "round"]
Size = tuple[int, int]
Box = tuple[int, int, int, int]


def short_side_size(width: int, height: int, short: int) -> Size:
    """The (width, height) with the short side `short`; the long one is cut to a whole number."""
    if width < height:
        return short, short * height // width
    return short * width // height, short


def patch_grid_size(width: int, height: int, short: int, rounding: Rounding) -> Size:
    """The (width, height) with the short side `short` and both sides multiples of 14.

    Where that is over 37 * 37 patches it is the largest short side that is not, and a long side
    that keeps the ratio: 100 x 3000 pixels become 6 x 180 patches. `check_aspect` comes before.
    """
    across, down = short_side_size(width, height, short)
    columns, rows = _patches(across, rounding), _patches(down, rounding)
    if columns * rows > MAX_PATCHES:
        narrow, wide = sorted((width, height))
        few = isqrt(MAX_PATCHES * narrow // wide)
        many = min(round(few * wide / narrow), MAX_PATCHES // few)
        columns, rows = (few, many) if width < height else (many, few)
    return columns * PATCH, rows * PATCH


def _patches(side: int, rounding: Rounding) -> int:
    return round(side / PATCH) if rounding == "round" else side // PATCH


def centre_box(width: int, height: int, size: int, rounding: Rounding) -> Box:
    """The (left, top, right, bottom) of the central `size` x `size` pixels.

    It reaches over the edge of a picture that is smaller. `rounding` is where half a pixel goes:
    torchvision rounds the margin to the even number ("round"), the others to the left ("floor").
    """
    left, top = _margin(width, size, rounding), _margin(height, size, rounding)
    return left, top, left + size, top + size


def _margin(length: int, size: int, rounding: Rounding) -> int:
    if rounding == "floor":
        return (length - size) // 2
    # torchvision pads a smaller picture with the smaller half first.
    return round((length - size) / 2) if length >= size else -((size - length) // 2)


def check_aspect(width: int, height: int, subject: object = "image") -> None:
    """Refuses a picture that is more than 50 times as long as wide.

    Brought to a usual short side it would have millions of pixels, or no short side left.
    """
    narrow, wide = sorted((width, height))
    if wide > MAX_ASPECT * narrow:
        raise ImageError(
            "image.aspect",
            subject,
            f"{width} x {height} pixels, one side is over {MAX_ASPECT} times the other",
            fix="cut it into pieces, or use the squash preprocessing",
        )
