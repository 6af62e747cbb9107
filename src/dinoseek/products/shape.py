"""The super-classes: what a bottle, a mug or a lamp is made of, a little different each time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from dinoseek.products.lathe import Lathe
from dinoseek.products.solid import Box, Ellipsoid, Solid

Rng = np.random.Generator
Vector = tuple[float, float, float]
Point = tuple[float, float]  # radius, height
Finish = Literal["pattern", "ground", "figure", "accent", "metal", "dark", "paper"]

_UPRIGHT = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
_ON_EDGE = ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, -1.0, 0.0))  # its axis lies along y


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A solid at a place of the product, turned, and whether it has the pattern or one colour."""

    solid: Solid
    at: Vector = (0.0, 0.0, 0.0)
    turn: tuple[Vector, Vector, Vector] = _UPRIGHT
    finish: Finish = "pattern"


def ball(rng: Rng) -> list[Piece]:
    wide, high = rng.uniform(0.75, 0.95), rng.uniform(0.6, 0.95)
    return [Piece(solid=Ellipsoid((wide, wide * rng.uniform(0.85, 1), high)), at=(0, 0, high))]


def bottle(rng: Rng) -> list[Piece]:
    wide, high, neck = rng.uniform(0.42, 0.6), rng.uniform(1.0, 1.4), rng.uniform(0.14, 0.2)
    top = high + rng.uniform(0.55, 0.8)
    shoulder = _curve((wide, high), (wide, high + 0.3), (neck, high + 0.22), (neck, top - 0.2))
    outline = [(0.0, 0.0), (wide - 0.05, 0.0), (wide, 0.06), *shoulder, (neck, top), (0.0, top)]
    cap = _can(neck + 0.04, rng.uniform(0.16, 0.26), 0.03)
    return [_turned(outline), Piece(solid=Lathe(cap), at=(0, 0, top), finish="accent")]


def bowl(rng: Rng) -> list[Piece]:
    foot, wide, high = rng.uniform(0.3, 0.45), rng.uniform(0.9, 1.1), rng.uniform(0.6, 0.85)
    outside = _curve((foot, 0.08), (wide * 0.8, 0.1), (wide, high * 0.5), (wide, high))
    inside = [(radius - 0.06, height + 0.05) for radius, height in reversed(outside[:-1])]
    rim = [(wide - 0.02, high + 0.02), (wide - 0.06, high)]
    outline = [(0.0, 0.0), (foot, 0.0), *outside, *rim, *inside, (0.0, inside[-1][1])]
    return [_turned(outline)]


def box(rng: Rng) -> list[Piece]:
    half = rng.uniform(0.45, 0.85), rng.uniform(0.3, 0.6), rng.uniform(0.4, 0.9)
    return [Piece(solid=Box(half), at=(0, 0, half[2]))]


def can(rng: Rng) -> list[Piece]:
    wide, high = rng.uniform(0.5, 0.7), rng.uniform(1.2, 1.7)
    side = [(0.0, 0.0), (wide - 0.1, 0.0), (wide, 0.12), (wide, high - 0.16), (wide - 0.1, high)]
    rim = [(wide - 0.1, high), (wide - 0.1, high + 0.05), (wide - 0.14, high + 0.05)]
    lid = [(0.0, high), *rim, (wide - 0.16, high + 0.01), (0.0, high + 0.01)]
    return [_turned([*side, (0.0, high)]), _turned(lid, "metal")]


def donut(rng: Rng) -> list[Piece]:
    thick, flat = rng.uniform(0.26, 0.38), rng.uniform(0.8, 1.0)
    wide = rng.uniform(0.6, 0.75)
    ring = [(wide + thick * x, flat * thick * (1 + y)) for x, y in _circle(20)]
    return [_turned(ring)]


def jar(rng: Rng) -> list[Piece]:
    wide, high, mouth = rng.uniform(0.65, 0.8), rng.uniform(0.9, 1.25), rng.uniform(0.42, 0.55)
    side = _curve((mouth, 0.0), (wide * 1.15, 0.12), (wide * 1.15, high - 0.1), (mouth, high))
    lid = _curve((mouth + 0.06, 0.0), (mouth + 0.06, 0.16), (mouth * 0.5, 0.2), (0.09, 0.2))
    right = [*_circle(12)[10:12], *_circle(12)[:3]]  # from near the bottom to near the top
    knob = [(0.1 * x, 0.28 + 0.1 * y) for x, y in right]
    return [
        _turned([(0.0, 0.0), *side, (0.0, high)]),
        Piece(solid=Lathe(((0.0, 0.0), *lid, (0.0, 0.2))), at=(0, 0, high), finish="figure"),
        Piece(solid=Lathe(((0.0, 0.18), *knob, (0.0, 0.38))), at=(0, 0, high), finish="figure"),
    ]


def lamp(rng: Rng) -> list[Piece]:
    foot, high = rng.uniform(0.3, 0.42), rng.uniform(0.7, 0.95)
    wide, narrow, shade = rng.uniform(0.62, 0.8), rng.uniform(0.3, 0.45), rng.uniform(0.6, 0.8)
    base = [(0.0, 0.0), (foot, 0.0), (foot, 0.05), (foot * 0.8, 0.1), (0.06, 0.14), (0.06, high)]
    cone = [(wide - 0.03, 0.0), (wide, 0.0), (narrow, shade), (narrow - 0.03, shade)]
    return [
        _turned([*base, (0.0, high)], "metal"),
        Piece(solid=Lathe((*cone, cone[0])), at=(0, 0, high - 0.15)),
    ]


def mug(rng: Rng) -> list[Piece]:
    wide, high, foot = rng.uniform(0.5, 0.62), rng.uniform(0.95, 1.2), rng.uniform(0.85, 1.0)
    side = [(0.0, 0.0), (foot * wide - 0.05, 0.0), (foot * wide, 0.06), (wide, high - 0.02)]
    rim = [(wide - 0.02, high), (wide - 0.05, high), (wide - 0.07, high - 0.02)]
    outline = [*side, *rim, (wide - 0.07, 0.1), (0.0, 0.1)]
    loop, thick = high * rng.uniform(0.27, 0.33), rng.uniform(0.065, 0.085)
    ring = tuple((loop + thick * x, thick * y) for x, y in _circle(12))
    coffee = ((0.0, 0.1), (wide - 0.08, 0.1), (wide - 0.08, 0.93 * high), (0.0, 0.93 * high))
    return [
        _turned(outline),
        Piece(solid=Lathe(ring), at=(wide, 0, high / 2), turn=_ON_EDGE, finish="figure"),
        Piece(solid=Lathe(coffee), finish="dark"),
    ]


def vase(rng: Rng) -> list[Piece]:
    foot, belly, neck = rng.uniform(0.25, 0.36), rng.uniform(0.85, 1.15), rng.uniform(0.12, 0.2)
    high, mouth = rng.uniform(1.5, 1.9), rng.uniform(0.26, 0.4)
    middle = high * rng.uniform(0.5, 0.62)
    body = _curve(
        (foot, 0.0), (belly, middle * 0.5), (belly * 0.7, middle * 1.2), (neck, 0.8 * high)
    )
    flare = _curve((neck, 0.8 * high), (neck, 0.9 * high), (mouth * 0.8, high), (mouth, high))[1:]
    lip = [(mouth - 0.04, high + 0.01), (neck - 0.05, 0.85 * high), (0.0, 0.8 * high)]
    return [_turned([(0.0, 0.0), *body, *flare, *lip])]


def _turned(outline: Sequence[Point], finish: Finish = "pattern") -> Piece:
    return Piece(solid=Lathe(tuple(outline)), finish=finish)


def _can(wide: float, high: float, edge: float) -> tuple[Point, ...]:
    """A cylinder with its upper edge taken off."""
    return ((0.0, 0.0), (wide, 0.0), (wide, high - edge), (wide - edge, high), (0.0, high))


def _circle(count: int) -> list[Point]:
    """Points of the circle of radius 1, from its right end upwards and around to it."""
    angles = np.linspace(0, 2 * np.pi, count + 1)
    points = [(float(np.cos(angle)), float(np.sin(angle))) for angle in angles]
    return [*points[:-1], points[0]]


def _curve(a: Point, b: Point, c: Point, d: Point, count: int = 8) -> list[Point]:
    """Points of Bezier's curve from `a` to `d`, drawn towards `b` and `c`."""
    t = np.linspace(0, 1, count + 1)[:, None]
    weights = np.hstack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3])
    points = weights @ np.array([a, b, c, d])
    return [a, *((float(x), float(y)) for x, y in points[1:-1]), d]


SHAPES: dict[str, Callable[[Rng], list[Piece]]] = {
    "ball": ball,
    "bottle": bottle,
    "bowl": bowl,
    "box": box,
    "can": can,
    "donut": donut,
    "jar": jar,
    "lamp": lamp,
    "mug": mug,
    "vase": vase,
}
