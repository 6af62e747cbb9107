"""Pictures of things: what is nearer hides what is behind, and light comes from where it is."""

from dataclasses import replace

import numpy as np
import pytest

from dinoseek.products.catalogue import Product
from dinoseek.products.ground import Ground, ground_seen
from dinoseek.products.picture import picture
from dinoseek.products.scene import Placed, meet, shadowed
from dinoseek.products.shape import Piece
from dinoseek.products.solid import Ellipsoid
from dinoseek.products.texture import Texture
from dinoseek.products.view import View, draw_view

pytestmark = pytest.mark.usefixtures("strict_numpy")

GREY = Texture(kind="plain", colors=((0.3, 0.3, 0.3),) * 3)
BALL = Product(
    kind="ball",
    pieces=(Piece(solid=Ellipsoid((1.0, 1.0, 1.0)), at=(0, 0, 1)),),
    texture=GREY,
    gloss=0.0,
)
PAPER = Ground(haze=(0.8, 0.8, 0.8))
LEFT, RIGHT = (-0.9, 0.7), (0.9, 0.7)


def taken(view: View, size=48, seed=0) -> np.ndarray:
    return picture([Placed(product=BALL)], PAPER, view, size, np.random.default_rng(seed)).astype(
        float
    )


def test_rays_meet_a_ball_that_is_moved_turned_and_small_where_arithmetic_says():
    thing = Placed(product=BALL, place=(2.0, -1.0), turn=1.0, size=0.5)  # center (2, -1, 0.5)
    rng = np.random.default_rng(0)
    target = np.array([[2.0], [-1.0], [0.5]]) + rng.uniform(-0.6, 0.6, (3, 200))
    origin = np.array([[5.0], [2.0], [3.0]])
    direction = target - origin
    direction /= np.linalg.norm(direction, axis=0)

    met = meet([thing], origin.astype(np.float32), direction.astype(np.float32))

    gap = np.array([2.0, -1.0, 0.5]) - origin[:, 0]
    ahead = gap @ direction
    square = 0.25 - (gap @ gap - ahead**2)
    there = square > 0
    assert 50 < there.sum() < 200
    np.testing.assert_array_equal(np.isfinite(met.distance), there)
    expected = (ahead - np.sqrt(np.maximum(square, 0)))[there]
    np.testing.assert_allclose(met.distance[there], expected, atol=1e-3)
    points = origin + direction[:, there] * expected
    normal = (points - np.array([[2.0], [-1.0], [0.5]])) / 0.5
    np.testing.assert_allclose(met.normal[:, there], normal, atol=1e-2)


def test_the_nearer_of_two_things_is_met_in_any_order():
    near, far = Placed(product=BALL, place=(2.0, 0.0)), Placed(product=BALL, place=(-2.0, 0.0))
    origin = np.array([[9.0], [0.0], [1.0]], np.float32)
    direction = np.array([[-1.0], [0.0], [0.0]], np.float32)

    for things, first in (((near, far), 0), ((far, near), 1)):
        met = meet(things, origin, direction)
        assert met.distance[0] == pytest.approx(6, abs=1e-4)
        assert met.thing[0] == first
        assert shadowed(things, origin, direction).all()
    assert not shadowed([near, far], origin, -direction).any()


def test_the_side_towards_the_light_is_bright_and_the_shadow_falls_on_the_other():
    left, right = (taken(View(light=light)).mean(axis=2) for light in (LEFT, RIGHT))

    for shown, other in ((left, right[:, ::-1]), (right, left[:, ::-1])):
        assert np.abs(shown - other).mean() < 6  # they mirror each other
    assert left[20:28, 12:20].mean() > left[20:28, 28:36].mean() + 10
    assert left[36:44, 40:].mean() < left[36:44, :8].mean() - 10


def test_a_thing_in_the_way_of_the_light_throws_its_shadow_on_another():
    view = View(light=(1.2, 0.15), scale=0.6)  # low, from the right
    beside, behind = (
        Placed(product=BALL, place=(1.1, 2.8)),
        Placed(product=BALL, place=(-1.1, -2.8)),
    )

    dark, free = (
        picture([Placed(product=BALL), other], PAPER, view, 48, np.random.default_rng(0))
        for other in (beside, behind)
    )

    assert dark[18:26, 27:35].mean() < free[18:26, 27:35].mean() - 20


def test_the_ground_is_darkest_where_the_ball_stands():
    points = np.array([[0.0, 0.6, 1.2, 2.0], [0.0] * 4, [0.0] * 4])
    eye = np.array([[0.0], [0.0], [9.0]])
    direction = points - eye
    direction /= np.linalg.norm(direction, axis=0)
    rays = eye.astype(np.float32), direction.astype(np.float32)

    seen = ground_seen(PAPER, [Placed(product=BALL)], *rays, View(light=(0.0, 1.5)), 0.01)[1]
    free = ground_seen(PAPER, [Placed(product=BALL, place=(90, 0))], *rays, View(), 0.01)[1]

    share = seen / free
    assert share[0] < 0.2
    assert (np.diff(share) > 0.02).all()
    assert share[-1] > 0.9


def test_the_camera_does_what_the_view_says():
    plain = taken(View())

    assert taken(View(exposure=1.4)).mean() > plain.mean() + 10
    red = taken(View(white=(1.3, 1.0, 1.0))) - plain
    assert red[..., 0].mean() > 5
    assert abs(red[..., 2].mean()) < 1e-9
    assert np.abs(taken(View(noise=0.05)) - plain).mean() > 3
    assert np.abs(taken(View(), seed=1) - plain).max() == 0  # no noise, no chance


def test_a_shift_moves_the_picture_and_a_larger_scale_fills_more_of_it():
    def ball(view: View) -> tuple[float, float, int]:
        empty = replace(view, light=(0.0, 1.5))
        dark = taken(empty).mean(axis=2) < 190
        rows, columns = np.nonzero(dark[:24])  # above its shadow
        return float(columns.mean()), float(rows.min()), len(rows)

    x, y, area = ball(View(scale=0.6))
    assert ball(View(scale=0.6, shift=(0.1, 0.0)))[0] == pytest.approx(x + 4.8, abs=0.6)
    assert ball(View(scale=0.6, shift=(0.0, 0.08)))[1] == pytest.approx(y + 3.84, abs=1.1)
    assert ball(View(scale=0.5))[2] < 0.8 * area


def test_edges_are_smooth():
    shown = taken(View(light=(0.0, 1.5)), size=64).mean(axis=2)[22]
    paper, ball = shown[1], shown[16:20].mean()

    between = (shown[:20] < paper - 8) & (shown[:20] > ball + 8)
    assert 1 <= between.sum() <= 6


def test_views_differ_and_keep_within_what_was_asked():
    rng = np.random.default_rng(0)
    views = [draw_view(rng, yaw=0.5) for _ in range(200)]

    assert max(abs(view.yaw) for view in views) <= 0.5
    assert len({view.light for view in views}) == 200
