"""The ground below the things, and the shadows that they throw on it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dinoseek.products.ray import Array
from dinoseek.products.scene import Placed, shadowed
from dinoseek.products.shade import lamp
from dinoseek.products.texture import Texture, color_at
from dinoseek.products.view import View, light_color

_SKY_SHARE = np.float32(0.4)  # of the light on the ground, the rest is the lamp's


@dataclass(frozen=True, kw_only=True)
class Ground:
    """A floor without end, that turns into the `haze` far away; even, without a texture."""

    haze: tuple[float, float, float]
    texture: Texture | None = None


def ground_seen(
    ground: Ground, things: Sequence[Placed], eye: Array, direction: Array, view: View, blur: float
) -> Array:
    """The light (3, n) that comes to the eye along n rays which meet no thing."""
    falls = np.minimum(direction[2], np.float32(-1e-3))
    points = eye + direction * (-eye[2] / falls)
    haze = np.array(ground.haze, np.float32)[:, None]
    away = np.hypot(points[0], points[1])
    near = np.where(direction[2] < np.float32(-1e-3), np.exp(-((away / 9) ** 2)), 0)
    color = haze
    if ground.texture is not None:
        color = haze + (color_at(ground.texture, points, blur) - haze) * near
    cells = int(np.clip(len(falls) ** 0.5 / 5, 24, 56))  # as fine as the picture needs
    light = _shadows(things, points, view, cells)
    pool = np.float32(0.86) + np.float32(0.14) * np.exp(-((away / 4) ** 2))  # the lamp's circle
    lamp_light = light_color(view) ** np.float32(0.5)
    return color * pool * (light[0] * (1 - _SKY_SHARE) * lamp_light + light[1] * _SKY_SHARE)


def _shadows(things: Sequence[Placed], points: Array, view: View, cells: int) -> Array:
    """How much of the lamp and of the sky (2, n) points of the ground see: 1 is all.

    Both are found on a grid, and change evenly between its points.
    """
    reach = max(float(np.hypot(*thing.ball[0][:2, 0])) + 2 * thing.ball[1] for thing in things)
    steps = np.linspace(-reach, reach, cells, dtype=np.float32)
    seen = _seen_from_grid(things, steps, view)  # (2, cells, cells)
    place = (points[:2] / np.float32(reach) + 1) * np.float32(0.5 * (cells - 1))
    inside = np.all((place > 0) & (place < cells - 1), axis=0)
    x, y = place[:, inside]
    left, below = x.astype(np.intp), y.astype(np.intp)
    x, y = x - left, y - below
    light = np.ones((2, points.shape[1]), np.float32)
    light[:, inside] = (
        (seen[:, below, left] * (1 - x) + seen[:, below, left + 1] * x) * (1 - y)
        + (seen[:, below + 1, left] * (1 - x) + seen[:, below + 1, left + 1] * x) * y
    )  # fmt: skip
    return light


def _seen_from_grid(things: Sequence[Placed], steps: Array, view: View) -> Array:
    """The parts of lamp and sky (2, n, n) that are seen from points of a grid."""
    x, y = (axis.ravel() for axis in np.meshgrid(steps, steps))
    points = np.stack([x, y, np.full_like(x, 2e-3)])
    parts = []
    for directions in (lamp(view, 12), _sky(16)):
        count = directions.shape[1]
        starts = np.tile(points, count)  # (3, count * n * n): the whole grid for each direction
        seen = ~shadowed(things, starts, np.repeat(directions, len(x), axis=1))
        parts.append(seen.reshape(count, len(steps), len(steps)).mean(axis=0, dtype=np.float32))
    return _soft(np.stack(parts))


def _soft(planes: Array) -> Array:
    """Planes (2, n, n) with the steps between places of lamp and sky smoothed away."""
    wide = np.pad(planes, ((0, 0), (1, 1), (1, 1)), constant_values=1)
    wide = wide[:, :-2] + 2 * wide[:, 1:-1] + wide[:, 2:]
    wide = wide[:, :, :-2] + 2 * wide[:, :, 1:-1] + wide[:, :, 2:]
    return wide * np.float32(1 / 16)


def _sky(count: int) -> Array:
    """Directions (3, count) to places of the sky, more of them overhead, as a floor sees it."""
    number = np.arange(count, dtype=np.float32) + np.float32(0.5)
    out = np.sqrt(number / count)
    angle = number * np.float32(np.pi * (3 - np.sqrt(5)))
    return np.stack([out * np.cos(angle), out * np.sin(angle), np.sqrt(1 - out**2)])
