"""Rays and solids, against a walk along each ray that only knows what is inside."""

import math

import numpy as np
import pytest

from dinoseek.products.lathe import Lathe
from dinoseek.products.solid import Box, Ellipsoid, blocks, bounds, cast, reach

STEP = 0.004
CAN = Lathe(((0.0, -0.7), (0.5, -0.7), (0.5, 0.6), (0.0, 0.6)))
SPINDLE = Lathe(((0.0, -0.8), (0.6, -0.1), (0.3, 0.4), (0.35, 0.9), (0.0, 0.9)))
TOP = Lathe(((0.0, -0.8), (0.7, 0.0), (0.0, 0.8)))  # with an edge that is seen as one
BOWL = Lathe(((0.0, -0.4), (0.3, -0.4), (0.9, 0.3), (0.8, 0.3), (0.25, -0.3), (0.0, -0.3)))
CORNERS = [(0.7 + 0.25 * math.cos(a), 0.25 * math.sin(a)) for a in np.linspace(0, 2 * np.pi, 13)]
RING = Lathe((*CORNERS[:-1], CORNERS[0]))
SOLIDS = {
    "ellipsoid": Ellipsoid((0.9, 0.5, 0.7)),
    "box": Box((0.7, 0.4, 0.5)),
    "can": CAN,
    "spindle": SPINDLE,
    "bowl": BOWL,
    "ring": RING,
}
each_solid = pytest.mark.parametrize("solid", SOLIDS.values(), ids=SOLIDS)

pytestmark = pytest.mark.usefixtures("strict_numpy")


def inside(solid, x, y, z) -> bool:
    match solid:
        case Ellipsoid((a, b, c)):
            return (x / a) ** 2 + (y / b) ** 2 + (z / c) ** 2 < 1
        case Box((a, b, c)):
            return abs(x) < a and abs(y) < b and abs(z) < c
        case Lathe(outline):
            return within(outline, math.hypot(x, y), z)


def within(outline, radius, height) -> bool:
    """Whether the outline, closed along the axis, goes around a point: by counting crossings."""
    odd = False
    for (r0, z0), (r1, z1) in zip(outline, [*outline[1:], outline[0]], strict=True):
        if (z0 > height) != (z1 > height):
            odd ^= radius < r0 + (height - z0) * (r1 - r0) / (z1 - z0)
    return odd


def walked(solid, eye, direction) -> float:
    """How far one goes until inside and outside change, in small steps and then in halves."""
    begins = inside(solid, *eye)
    for step in range(1, int(6 / STEP)):
        near, far = (step - 1) * STEP, step * STEP
        if inside(solid, *(eye + far * direction)) != begins:
            for _ in range(12):
                middle = (near + far) / 2
                changed = inside(solid, *(eye + middle * direction)) != begins
                near, far = (near, middle) if changed else (middle, far)
            return far
    return math.inf


def rays(eye, target=(0.0, 0.0, 0.0), side=7, width=0.32):
    """A grid of rays from `eye` towards a target: origin (3, 1) and directions (3, side * side)."""
    eye = np.array(eye, float)
    toward = np.array(target) - eye
    toward /= np.linalg.norm(toward)
    right = np.cross(toward, [0.12, 0.3, 1])
    right /= np.linalg.norm(right)
    up = np.cross(right, toward)
    grid = (np.arange(side) + 0.43) / side * 2 - 1
    x, y = (width * part.ravel() for part in np.meshgrid(grid, grid))
    direction = toward[:, None] + right[:, None] * x + up[:, None] * y
    direction /= np.linalg.norm(direction, axis=0)
    return eye[:, None].astype(np.float32), direction.astype(np.float32)


@each_solid
@pytest.mark.parametrize("eye", [(2.4, 1.0, 1.3), (-0.4, -2.6, -0.9)], ids=["above", "below"])
def test_rays_end_where_a_walk_along_them_enters(solid, eye):
    origin, direction = rays(eye)

    found = cast(solid, origin, direction).distance

    expected = [walked(solid, origin[:, 0].astype(float), ray.astype(float)) for ray in direction.T]
    assert 8 < np.isfinite(expected).sum() < len(expected)
    np.testing.assert_array_equal(np.isfinite(found), np.isfinite(expected))
    np.testing.assert_allclose(found, expected, atol=2e-4)


@each_solid
def test_rays_from_inside_end_where_they_leave(solid):
    start = {BOWL: (0.54, 0.0, -0.05), RING: (0.7, 0.0, 0.0)}.get(solid, (0.0, 0.1, 0.05))
    origin, direction = rays(start, target=(1.0, 0.4, 0.3), width=1.5)

    found = cast(solid, origin, direction)

    expected = [walked(solid, origin[:, 0].astype(float), ray.astype(float)) for ray in direction.T]
    np.testing.assert_allclose(found.distance, expected, atol=2e-4)
    if solid not in (SPINDLE, BOWL, RING):  # whose normals turn evenly, also past the ray
        assert ((found.normal * direction).sum(axis=0) > 0).all()


@pytest.mark.parametrize("solid", [*list(SOLIDS.values())[:3], TOP], ids=[*list(SOLIDS)[:3], "top"])
def test_normals_are_square_to_the_surface_and_look_out(solid):
    origin, direction = rays((2.4, 1.0, 1.3), side=24)
    side = np.cross(direction.T, [0.3, 0.2, 1]).T.astype(np.float32)
    other = np.cross(direction.T, side.T).T.astype(np.float32)
    step = np.float32(2e-3)

    shifts = (0 * side, step * side, step * other)
    hits = [cast(solid, origin + shift, direction) for shift in shifts]

    ends = [np.minimum(hit.distance, np.float32(9)) for hit in hits]
    here, there, yonder = (
        origin + shift + direction * end for shift, end in zip(shifts, ends, strict=True)
    )
    square = np.cross((there - here).T, (yonder - here).T).T
    square /= np.maximum(np.linalg.norm(square, axis=0), 1e-12)
    normal = hits[0].normal
    # Where the three rays meet one face; at an edge or at the rim they do not.
    same = [np.abs((hit.normal * normal).sum(axis=0)) > 0.99 for hit in hits[1:]]
    smooth = (np.max(ends, axis=0) < 9) & same[0] & same[1] & (np.ptp(ends, axis=0) < 0.02)
    assert smooth.sum() > 60
    np.testing.assert_allclose(np.linalg.norm(normal[:, smooth], axis=0), 1, atol=1e-5)
    assert ((normal * direction).sum(axis=0)[smooth] < 0).all()
    assert np.abs((normal * square).sum(axis=0))[smooth].min() > 0.995


def test_a_rounded_outline_has_the_normals_of_the_round_thing():
    angles = np.linspace(-np.pi / 2, np.pi / 2, 41)
    points = [(float(np.cos(angle)), float(np.sin(angle))) for angle in angles]
    globe = Lathe(((0.0, -1.0), *points[1:-1], (0.0, 1.0)))
    origin, direction = rays((3.0, 1.0, 0.8))

    hit = cast(globe, origin, direction)

    there = np.isfinite(hit.distance)
    points = origin + direction[:, there] * hit.distance[there]
    assert there.sum() > 30
    np.testing.assert_allclose(hit.normal[:, there], points, atol=4e-3)


@each_solid
def test_to_block_is_to_be_hit(solid):
    origin, direction = rays((2.4, 1.0, 1.3), side=20)

    np.testing.assert_array_equal(
        blocks(solid, origin, direction), np.isfinite(cast(solid, origin, direction).distance)
    )


@each_solid
def test_bounds_and_reach_hold_the_solid(solid):
    low, high = bounds(solid)
    for eye in ((2.4, 1.0, 1.3), (-1.4, -2.0, -0.9), (0.1, 0.2, 3), (0.1, -0.2, -3)):
        origin, direction = rays(eye, side=20)
        distance = cast(solid, origin, direction).distance
        there = np.isfinite(distance)
        points = (origin + direction[:, there] * distance[there]).T
        assert len(points)
        assert (points > low - 1e-4).all()
        assert (points < high + 1e-4).all()
        assert np.linalg.norm(points - (low + high) / 2, axis=1).max() < reach(solid) + 1e-4


def test_rays_along_the_axis_and_along_a_wall_are_no_trouble():
    origin = np.array([[0.0, 0.5, 0.2], [0.0, 0.0, 0.0], [3.0, 3.0, 3.0]], np.float32)
    direction = np.broadcast_to(np.array([[0.0], [0.0], [-1.0]], np.float32), (3, 3))

    found = cast(CAN, origin, direction).distance

    np.testing.assert_allclose(found[[0, 2]], 2.4, atol=1e-5)
    assert not np.isnan(found).any()
