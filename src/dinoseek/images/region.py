"""A part of a picture, in pixels or in per cent of its sides."""

import math
import re
from dataclasses import dataclass

from PIL import Image

from dinoseek.errors import UsageError

_NUMBERS = re.compile(r"\s*([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*(%?)\s*")
_LEFT_OUT = 1e-9  # 33.3 % and 66.7 % are a whole


@dataclass(frozen=True)
class Region:
    """What lies `width` to the right of `left` and `height` below `top`.

    In pixels of the upright picture, or with `percent` in per cent of its sides. UsageError
    search.region for one that is empty, or that no picture has.
    """

    left: float
    top: float
    width: float
    height: float
    percent: bool = False

    def __post_init__(self) -> None:
        numbers = (self.left, self.top, self.width, self.height)
        if not all(math.isfinite(number) and number >= 0 for number in numbers):
            raise self._error("no number of a region is below 0")
        if not self.percent and any(number != int(number) for number in numbers):
            raise self._error("pixels are counted in whole numbers")
        if not self.width or not self.height:
            raise self._error("it is empty")
        ends = (self.left + self.width, self.top + self.height)
        if self.percent and max(ends) > 100 + _LEFT_OUT:
            raise self._error("it reaches beyond 100 per cent")

    def __str__(self) -> str:
        sign = "%" if self.percent else ""
        numbers = (self.left, self.top, self.width, self.height)
        return ",".join(f"{number:.12g}{sign}" for number in numbers)

    @classmethod
    def parse(cls, text: str) -> "Region":
        """The region that "10,20,300,200" names in pixels, or "10%,10%,50%,50%" in per cent."""
        found = [_NUMBERS.fullmatch(part) for part in text.split(",")]
        numbers = [(float(each[1]), each[2]) for each in found if each]
        signs = {sign for _, sign in numbers}
        if len(found) != 4 or len(numbers) != 4 or len(signs) != 1:
            reason = "a region is four numbers, x,y,width,height, all in pixels or all in per cent"
            fix = "as in 10,20,300,200 or 10%,10%,50%,50%"
            raise UsageError("search.region", text, reason, fix=fix)
        left, top, width, height = (number for number, _ in numbers)
        return cls(left, top, width, height, percent=signs == {"%"})

    def of(self, image: Image.Image, name: str = "the picture") -> Image.Image:
        """The part of `image`, called `name`. UsageError search.region if it reaches outside."""
        width, height = image.size
        left, top, right, bottom = box = self.box(width, height)
        wrong = ""
        if right > width or bottom > height:
            wrong = "it reaches outside"
        elif left == right or top == bottom:
            wrong = "it is less than a pixel of"
        if wrong:
            raise self._error(f"{wrong} {name}, which is {width} x {height} pixels")
        return image.crop(box)

    def box(self, width: int, height: int) -> tuple[int, int, int, int]:
        """The (left, top, right, bottom) in pixels of a picture of this size."""
        across, down = (width / 100, height / 100) if self.percent else (1, 1)
        left, right = round(self.left * across), round((self.left + self.width) * across)
        top, bottom = round(self.top * down), round((self.top + self.height) * down)
        return left, top, right, bottom

    def _error(self, reason: str) -> UsageError:
        return UsageError("search.region", f"region {self}", reason)
