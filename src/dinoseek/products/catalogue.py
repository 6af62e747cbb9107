"""Which product a number stands for: its shape, its pattern, and colours shared with its kin."""

from dataclasses import dataclass, replace
from typing import get_args

import numpy as np

from dinoseek.products.shape import SHAPES, Piece, Rng
from dinoseek.products.texture import Color3, Kind, Texture, field_at

# Ground, figure and line, as on the web.
PALETTES = {
    "blue": "f5f0e6 2b5d9b 12284c",
    "green": "e9efe4 2f6b4f c9a227",
    "ochre": "f6e7c8 c98a2b 6d3b1f",
    "plum": "eee6ea 7c4a84 34304a",
    "red": "f2ead9 b8402f 23305e",
    "teal": "f7f5f0 27707a e0633d",
}
# All classes of a super-class have one of these, so that colour does not say which class it is.
WORN = {
    "ball": ("red", "blue"),
    "bottle": ("green", "ochre"),
    "bowl": ("blue", "teal"),
    "box": ("ochre", "teal"),
    "can": ("green", "red"),
    "donut": ("ochre", "plum"),
    "jar": ("green", "teal"),
    "lamp": ("plum", "blue"),
    "mug": ("teal", "red"),
    "vase": ("blue", "plum"),
}
_FIGURE, _LINE = 0.42, 0.14  # the shares of the second and the third colour
_PATTERNS = tuple(kind for kind in get_args(Kind) if kind != "plain")


@dataclass(frozen=True, kw_only=True)
class Product:
    """One class: pieces of one shape, their pattern, and how much they shine, 0 to 1."""

    kind: str
    pieces: tuple[Piece, ...]
    texture: Texture
    gloss: float


def product(number: int, *, seed: int = 0, hue: float = 0.0) -> Product:
    """The product of a class, counted from 0; super-classes take turns.

    `hue` turns all colours round the wheel, 1.0 once; the same number keeps its shape and pattern.
    """
    kind = list(SHAPES)[number % len(SHAPES)]
    rng = np.random.default_rng([seed, number])
    pieces = tuple(SHAPES[kind](rng))
    colors = palettes(kind, hue)[int(rng.integers(2))]
    return Product(
        kind=kind, pieces=pieces, texture=_pattern(rng, colors), gloss=float(rng.uniform(0.2, 1))
    )


def palettes(kind: str, hue: float = 0.0) -> list[Color3]:
    """The colours that products of a super-class may have."""
    return [
        tuple(_turned(_linear(color), hue) for color in PALETTES[name].split())  # type: ignore[misc]
        for name in WORN[kind]
    ]


def _pattern(rng: Rng, colors: Color3) -> Texture:
    frame, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    kind = _PATTERNS[int(rng.integers(len(_PATTERNS)))]
    if kind == "twist":  # it turns about the solid's own axis
        frame = np.eye(3)
    x, y, z = frame.tolist()
    texture = Texture(
        kind=kind,
        colors=colors,
        frame=(tuple(x), tuple(y), tuple(z)),
        frequency=float(rng.uniform(5, 13)),
        phase=tuple(rng.uniform(0, 2 * np.pi, 3).tolist()),
        warp=float(rng.uniform(0, 1)),
    )
    return _with_shares(texture, line_at=float(rng.uniform(0.1, 0.45)))


def _with_shares(texture: Texture, line_at: float) -> Texture:
    """The pattern with the same share of each colour as all others, so that shares tell nothing."""
    points = np.random.default_rng(0).uniform(-1, 1, (3, 2000)).astype(np.float32)
    field = field_at(texture, points)
    threshold, line = np.quantile(field, [1 - _FIGURE, line_at])
    width = np.quantile(np.abs(field - line), _LINE)
    return replace(
        texture, threshold=float(threshold), band=float(threshold - line), width=float(width)
    )


def _linear(color: str) -> tuple[float, float, float]:
    """A colour of the web as light."""
    red, green, blue = ((value / 255) ** 2.2 for value in bytes.fromhex(color))
    return red, green, blue


def _turned(color: tuple[float, float, float], hue: float) -> tuple[float, float, float]:
    """The colour with another hue, turned about the grey axis."""
    if not hue:
        return color
    angle = 2 * np.pi * hue
    along, across = (1 - np.cos(angle)) / 3, np.sin(angle) / np.sqrt(3)
    wheel = (
        along + np.cos(angle) * np.eye(3) + across * np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])
    )
    red, green, blue = np.clip(wheel @ color, 0.003, 1).tolist()
    return red, green, blue
