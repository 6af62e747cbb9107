"""Where rays meet a turned solid: its outline, a few straight lines, makes cones and discs."""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dinoseek.products.ray import CLEAR, Array, Hit, nonzero, points_at, roots

Point = tuple[float, float]  # radius, height
Lines = NDArray[np.intp]

_SEAM = np.float32(1e-5)  # lines overlap by this, so that no ray slips through between them
_FLAT = 0.9  # outlines that are flatter where they meet the axis have no tip there
_CREASE = 0.64  # outlines that turn by less than 50 degrees are seen as rounded


@dataclass(frozen=True)
class Lathe:
    """A solid turned around the z axis, by the outline (radius, height) of its half.

    The outline runs with the solid on its left: out along the bottom, up, and back to the axis.
    It may go inside, as in a bowl, and one that ends where it began is a ring.
    """

    outline: tuple[tuple[float, float], ...]


class _Ray(NamedTuple):
    """What all cones ask of a ray: its height, and a, b, c of its square distance to the axis."""

    height: Array
    rise: Array
    a: Array
    b: Array
    c: Array


def cast_lathe(solid: Lathe, origin: Array, direction: Array) -> Hit:
    """As `cast` of solid.py, for a turned solid."""
    distance, line = lathe_distance(solid, origin, direction)
    return Hit(distance, _normals(solid, points_at(origin, direction, distance), line))


def lathe_distance(solid: Lathe, origin: Array, direction: Array) -> tuple[Array, Lines]:
    """How far (n,) rays go, and which line of the outline (n,) they meet."""
    (x, y, height), (along, across, rise) = origin, direction
    ray = _Ray(height, rise, along**2 + across**2, x * along + y * across, x * x + y * y)
    distance = np.full(direction.shape[1], np.inf, np.float32)
    line = np.zeros(len(distance), np.intp)
    for number, (start, end) in enumerate(zip(solid.outline, solid.outline[1:], strict=False)):
        found = _disc(ray, start, end) if start[1] == end[1] else _cone(ray, start, end)
        line[found < distance] = number
        distance = np.minimum(distance, found)
    return distance, line


def _disc(ray: _Ray, start: Point, end: Point) -> Array:
    """Distances (n,) to a disc, or to a ring, between two radii at one height."""
    inner, outer = sorted((start[0], end[0]))
    distance = (np.float32(start[1]) - ray.height) / nonzero(ray.rise)
    square = ray.c + distance * (2 * ray.b + distance * ray.a)
    there = (distance > CLEAR) & (square >= inner**2 - _SEAM) & (square <= outer**2 + _SEAM)
    return np.where(there, distance, np.float32(np.inf))


def _cone(ray: _Ray, start: Point, end: Point) -> Array:
    """Distances (n,) to the part of a cone, or of a cylinder, between two heights.

    Its points have x^2 + y^2 = radius(z)^2, where the radius grows evenly from `start` to `end`.
    """
    growth = np.float32((end[0] - start[0]) / (end[1] - start[1]))
    low, high = sorted((np.float32(start[1]), np.float32(end[1])))
    low, high = low - _SEAM, high + _SEAM
    radius = np.float32(start[0]) + growth * (ray.height - np.float32(start[1]))
    widening = growth * ray.rise
    near, far = roots(ray.a - widening**2, ray.b - radius * widening, ray.c - radius**2)
    distance = np.full(len(ray.rise), np.inf, np.float32)
    for each in (far, near):
        level = ray.height + each * ray.rise
        np.copyto(distance, each, where=(each > CLEAR) & (level >= low) & (level <= high))
    return distance


def _normals(solid: Lathe, points: Array, line: Lines) -> Array:
    """Normals (3, n) at points on lines of the outline; where it is rounded, they turn evenly."""
    outline, ends = np.array(solid.outline, np.float32), _normals_at_ends(solid)
    start, way = outline[line].T, (outline[1:] - outline[:-1])[line].T  # (2, n)
    radius = np.hypot(points[0], points[1])
    done = (radius - start[0]) * way[0] + (points[2] - start[1]) * way[1]
    part = np.clip(done / nonzero(way[0] ** 2 + way[1] ** 2), 0, 1)
    outward, up = (1 - part) * ends[line, 0].T + part * ends[line, 1].T
    length = np.hypot(outward, up)
    outward = outward / (length * np.maximum(radius, np.float32(1e-6)))
    return np.stack([outward * points[0], outward * points[1], up / length])


@lru_cache(maxsize=512)
def _normals_at_ends(solid: Lathe) -> Array:
    """The normal (outward, up) at the start and the end of each of n lines: (n, 2, 2)."""
    outline = np.array(solid.outline, np.float32)
    way = outline[1:] - outline[:-1]
    normal = np.stack([way[:, 1], -way[:, 0]], 1)
    normal /= np.hypot(*normal.T)[:, None]
    ends = np.repeat(normal[:, None], 2, axis=1)
    ring = len(outline) if np.allclose(outline[0], outline[-1]) else len(outline) - 1
    for here in range(1, ring):
        after = here % len(way)
        if normal[here - 1] @ normal[after] > _CREASE:
            mean = normal[here - 1] + normal[after]
            ends[here - 1, 1] = ends[after, 0] = mean / np.hypot(*mean)
    for place, side in ((0, 0), (-1, 1)):
        if outline[place, 0] == 0 and abs(normal[place, 1]) > _FLAT:
            ends[place, side] = 0, np.sign(normal[place, 1])
    return ends
