"""Where rays meet an ellipsoid, a box or a turned solid, and which way the surface looks there."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dinoseek.products.lathe import Lathe, cast_lathe, lathe_distance
from dinoseek.products.ray import CLEAR, Array, Hit, dot, nonzero, points_at, roots, unit


@dataclass(frozen=True)
class Ellipsoid:
    """An ellipsoid around the origin, by its three radii."""

    radii: tuple[float, float, float]


@dataclass(frozen=True)
class Box:
    """A box around the origin, by half its three sides."""

    half: tuple[float, float, float]


Solid = Ellipsoid | Box | Lathe


def cast(solid: Solid, origin: Array, direction: Array) -> Hit:
    """Where rays from `origin` (3, n) or (3, 1) along `direction` (3, n), of length 1, arrive."""
    match solid:
        case Ellipsoid():
            return _cast_ellipsoid(solid, origin, direction)
        case Box():
            return _cast_box(solid, origin, direction)
        case Lathe():
            return cast_lathe(solid, origin, direction)


def blocks(solid: Solid, origin: Array, direction: Array) -> NDArray[np.bool_]:
    """Whether rays arrive at all (n,); this is quicker."""
    if isinstance(solid, Lathe):
        return np.isfinite(lathe_distance(solid, origin, direction)[0])
    return np.isfinite(cast(solid, origin, direction).distance)


def bounds(solid: Solid) -> Array:
    """The least and the greatest corner (2, 3) of a box that holds the solid."""
    match solid:
        case Ellipsoid(radii):
            return np.array([np.negative(radii), radii], np.float32)
        case Box(half):
            return np.array([np.negative(half), half], np.float32)
        case Lathe(outline):
            radii, heights = zip(*outline, strict=True)
            wide = max(radii)
            low, high = (-wide, -wide, min(heights)), (wide, wide, max(heights))
            return np.array([low, high], np.float32)


def reach(solid: Solid) -> float:
    """The radius of a ball around the middle of its `bounds` that holds the solid."""
    match solid:
        case Ellipsoid(radii):
            return max(radii)
        case Box(half):
            return float(np.linalg.norm(half))
        case Lathe(outline):
            radii, heights = zip(*outline, strict=True)
            return float(np.hypot(max(radii), (max(heights) - min(heights)) / 2))


def _cast_ellipsoid(solid: Ellipsoid, origin: Array, direction: Array) -> Hit:
    radii = np.array(solid.radii, np.float32)[:, None]
    start, along = origin / radii, direction / radii  # the same rays before a unit ball
    a, b, c = dot(along, along), dot(start, along), dot(start, start) - np.float32(1)
    near, far = roots(a, b, c)
    distance = np.where(near > CLEAR, near, np.where(far > CLEAR, far, np.float32(np.inf)))
    return Hit(distance, unit(points_at(origin, direction, distance) / radii**2))


def _cast_box(solid: Box, origin: Array, direction: Array) -> Hit:
    half = np.array(solid.half, np.float32)[:, None]
    inverse = 1 / nonzero(direction)
    first, second = (-half - origin) * inverse, (half - origin) * inverse
    enters, leaves = np.minimum(first, second), np.maximum(first, second)  # each pair of faces
    near, far = enters.max(axis=0), leaves.min(axis=0)
    inside = near <= CLEAR
    distance = np.where((near > far) | (far <= CLEAR), np.inf, np.where(inside, far, near))
    face = np.where(inside, leaves.argmin(axis=0), enters.argmax(axis=0))
    outward = np.where(inside, 1, -1) * np.sign(direction)
    normal = np.where(np.arange(3)[:, None] == face, outward, 0)
    return Hit(distance.astype(np.float32), normal.astype(np.float32))
