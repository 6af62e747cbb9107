"""Patterns that go through a solid like the rings through wood, in three colours."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from dinoseek.products.ray import Array

Kind = Literal[
    "stripes", "waves", "zigzag", "checks", "rings", "dots", "marble", "spots", "twist", "plain"
]
Color = tuple[float, float, float]  # linear light, 0 to 1
Color3 = tuple[Color, Color, Color]


@dataclass(frozen=True, kw_only=True)
class Texture:
    """A field of numbers in space, and colours for where it is low, high, and at an outline.

    `frame` turns points of the solid; `frequency` is in radians a unit of length. Where the field
    is over `threshold` it shows the second colour. Where it is `band` below that, give or take
    `width`, it shows the third.
    """

    kind: Kind
    colors: Color3
    frame: tuple[Color, Color, Color] = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
    frequency: float = 8.0
    phase: Color = (0.0, 0.0, 0.0)
    warp: float = 1.0
    threshold: float = 0.0
    band: float = 0.5
    width: float = 0.0


def color_at(texture: Texture, points: Array, blur: float) -> Array:
    """Colours (3, n) at `points` (3, n); edges are softened over the length `blur`, a pixel's."""
    low, high, line = np.array(texture.colors, np.float32)[:, :, None]
    if texture.kind == "plain":
        return np.broadcast_to(low, points.shape)
    field = field_at(texture, points)
    soft = np.float32(max(blur * texture.frequency, 1e-3))
    above = field - np.float32(texture.threshold)
    color = low + (high - low) * _step(above / soft)
    beside = np.abs(above + np.float32(texture.band)) - np.float32(texture.width)
    return color + (line - color) * _step(-beside / soft)


def _step(x: Array) -> Array:
    """From 0 to 1 between -1 and 1, without a kink."""
    t = np.clip(x * np.float32(0.5) + np.float32(0.5), 0, 1)
    return t * t * (3 - 2 * t)


def field_at(texture: Texture, points: Array) -> Array:
    """The field's values (n,), about -1 to 1."""
    turned = np.array(texture.frame, np.float32) @ points
    phase = np.array(texture.phase, np.float32)[:, None]
    scaled = turned * np.float32(texture.frequency) + phase
    return _FIELDS[texture.kind](scaled, np.float32(texture.warp))


def _stripes(p: Array, _: np.float32) -> Array:
    return np.sin(p[0])


def _waves(p: Array, warp: np.float32) -> Array:
    return np.sin(p[0] + (1 + warp) * np.sin(p[1] * np.float32(0.7)))


def _zigzag(p: Array, warp: np.float32) -> Array:
    saw = np.abs(p[1] * np.float32(0.35) % 2 - 1)
    return np.sin(p[0] + (2 + 2 * warp) * saw)


def _checks(p: Array, _: np.float32) -> Array:
    return np.sin(p[0]) * np.sin(p[1])


def _rings(p: Array, warp: np.float32) -> Array:
    return np.sin(np.sqrt(p[0] ** 2 + p[1] ** 2 + (warp * p[2]) ** 2))


def _dots(p: Array, _: np.float32) -> Array:
    return (np.cos(p[0]) + np.cos(p[1]) + np.cos(p[2])) / 2 - np.float32(0.4)


def _marble(p: Array, warp: np.float32) -> Array:
    x, y, z = p
    swirl = np.sin(y + np.float32(1.7) * np.sin(z * np.float32(0.6)))
    swirl = swirl + np.float32(0.5) * np.sin(2 * z + np.float32(1.3) * np.sin(y) + x)
    return np.sin(x * np.float32(0.7) + (1 + warp) * swirl)


def _spots(p: Array, warp: np.float32) -> Array:
    x, y, z = p * np.float32(0.8)
    sums = np.sin(x + 2 * np.sin(y * np.float32(0.6))) + np.sin(y + 2 * np.sin(z * np.float32(0.6)))
    return (sums + np.sin(z + 2 * warp * np.sin(x * np.float32(0.6)))) / 2


def _twist(p: Array, warp: np.float32) -> Array:
    around = np.arctan2(p[1], p[0])
    return np.sin(np.round(3 + 3 * warp) * around + p[2] * np.float32(0.7))


_FIELDS: dict[str, Callable[[Array, np.float32], Array]] = {
    "stripes": _stripes,
    "waves": _waves,
    "zigzag": _zigzag,
    "checks": _checks,
    "rings": _rings,
    "dots": _dots,
    "marble": _marble,
    "spots": _spots,
    "twist": _twist,
}
