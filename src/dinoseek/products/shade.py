"""How light falls on things and on the ground: a soft lamp, the sky, and what reflects of both."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dinoseek.products.ray import Array, dot, points_at, unit
from dinoseek.products.scene import Ids, Meeting, Placed, shadowed
from dinoseek.products.shape import Piece
from dinoseek.products.texture import color_at
from dinoseek.products.view import View, light_color, light_of

_LAMP = 0.2  # the half side of the lamp, to its distance
_KEY, _SKY = np.float32(0.85), np.float32(0.5)
_LIFT = np.float32(1e-2)  # shadows are looked for a little above a surface


@dataclass(frozen=True, kw_only=True)
class Film:
    """Which of `side` x `side` samples n rays belong to, and how wide one is at the things."""

    side: int
    rows: Ids
    columns: Ids
    blur: float


@dataclass(frozen=True)
class Finish:
    """Colours of a piece that has no pattern, how much it shines, and how sharply."""

    color: tuple[float, float, float]
    gloss: float


_FINISHES = {
    "metal": Finish((0.42, 0.42, 0.43), 1.6),
    "dark": Finish((0.035, 0.015, 0.008), 0.5),
}
_ROLES = {"ground": 0, "figure": 1, "accent": 2}


def shade(
    things: Sequence[Placed], met: Meeting, eye: Array, direction: Array, view: View, film: Film
) -> Array:
    """The light (3, n) that comes to the eye from what n rays met; all of them met something."""
    points = points_at(eye, direction, met.distance)
    blur = film.blur
    color, gloss = surface(things, met, points, blur)
    key = _key(things, points, met.normal, view, film)
    up = met.normal[2]
    # The sky is hidden from what lies low and looks sideways: the contact with the ground.
    low = np.exp(points[2] * np.float32(-5)) * (1 - np.maximum(up, 0))
    sky = _SKY * (np.float32(0.72) + np.float32(0.28) * up) * (1 - np.float32(0.5) * low)
    diffuse = color * (key * light_color(view) + sky)
    return diffuse + gloss * _mirrored(met.normal, direction, key, view)


def surface(
    things: Sequence[Placed], met: Meeting, points: Array, blur: float
) -> tuple[Array, Array]:
    """Colour (3, n) and gloss (n,) of the points where rays met things."""
    color, gloss = np.empty_like(points), np.empty_like(points[0])
    for number, thing in enumerate(things):
        for part, piece in enumerate(thing.product.pieces):
            here = np.flatnonzero((met.thing == number) & (met.piece == part))
            own = thing.inside(points[:, here])
            color[:, here], gloss[here] = _finish(thing, piece, own, blur / thing.size)
    return color, gloss


def _finish(thing: Placed, piece: Piece, points: Array, blur: float) -> tuple[Array, float]:
    if piece.finish == "pattern":
        return color_at(thing.product.texture, points, blur), thing.product.gloss
    if piece.finish in _ROLES:
        plain = thing.product.texture.colors[_ROLES[piece.finish]]
        finish = Finish(plain, thing.product.gloss)
    else:
        finish = _FINISHES[piece.finish]
    return np.array(finish.color, np.float32)[:, None], finish.gloss


def _key(things: Sequence[Placed], points: Array, normal: Array, view: View, film: Film) -> Array:
    """What of the lamp's light arrives (n,): by its angle, and where nothing is in the way.

    Of 3 x 3 neighbours each looks for another place of the lamp; their mean is a soft shadow.
    """
    slant = dot(normal, light_of(view)[:, None])
    arrives = np.clip((slant + np.float32(0.12)) / np.float32(1.12), 0, 1)  # a wide lamp
    lit = np.flatnonzero(slant > 0)
    rows, columns = film.rows[lit], film.columns[lit]
    places = lamp(view, 9)[:, rows % 3 * 3 + columns % 3]
    starts = points[:, lit] + normal[:, lit] * _LIFT
    seen = np.zeros((2, film.side + 2, film.side + 2), np.float32)  # how many see it, and how many
    seen[:, rows + 1, columns + 1] = ~shadowed(things, starts, places), np.ones(len(lit))
    seen = seen[:, :-2] + seen[:, 1:-1] + seen[:, 2:]
    seen = seen[:, :, :-2] + seen[:, :, 1:-1] + seen[:, :, 2:]
    lamps, asked = seen[:, rows, columns]
    arrives[lit] *= lamps / asked
    return _KEY * arrives


def lamp(view: View, count: int) -> Array:
    """Directions (3, count) to places of the lamp, which is a square."""
    light, (right, up) = light_of(view), lamp_sides(view)
    number = np.arange(count, dtype=np.float32)
    # Places that fill a square evenly: the plastic sequence of M. Roberts.
    steps = np.array([[0.7548777], [0.5698403]], np.float32)
    x, y = (steps * number + np.float32(0.5)) % 1 * 2 - 1
    aside: Array = np.float32(_LAMP) * (right[:, None] * x + up[:, None] * y)
    return unit(light[:, None] + aside)


def lamp_sides(view: View) -> tuple[Array, Array]:
    """The directions (3,) of the lamp's sides."""
    light = light_of(view)
    right = np.cross(np.array([0, 0, 1], np.float32), light)
    right /= np.linalg.norm(right)
    return right, np.cross(light, right)


def _mirrored(normal: Array, direction: Array, key: Array, view: View) -> Array:
    """What a glossy surface mirrors (3, n): the lamp, with soft edges, and a brighter sky."""
    facing = -dot(normal, direction)
    seen = direction + 2 * facing * normal
    light, (right, up) = light_of(view)[:, None], lamp_sides(view)
    ahead = np.maximum(dot(seen, light), np.float32(0.05))
    x, y = dot(seen, right[:, None]) / ahead, dot(seen, up[:, None]) / ahead
    box = _edge(np.abs(x)) * _edge(np.abs(y)) * (ahead > np.float32(0.05)) * np.minimum(4 * key, 1)
    fresnel = np.float32(0.05) + np.float32(0.6) * (1 - np.clip(facing, 0, 1)) ** 4
    sky = np.clip(seen[2] * np.float32(0.7) + np.float32(0.3), 0, 1) * np.float32(0.5)
    return (np.float32(0.4) * box * light_color(view) + sky) * fresnel + box * np.float32(0.12)


def _edge(x: Array) -> Array:
    """1 on the lamp, 0 beside it."""
    t = np.clip((x - np.float32(_LAMP)) / np.float32(0.16), 0, 1)
    return 1 - t * t * (3 - 2 * t)
