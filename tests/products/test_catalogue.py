"""Products: the same each time, in the colours of their kin, with the same shares of each."""

import math

import numpy as np
import pytest

from dinoseek.products.catalogue import PALETTES, WORN, palettes, product
from dinoseek.products.lathe import Lathe
from dinoseek.products.scene import hull
from dinoseek.products.shape import SHAPES
from dinoseek.products.solid import bounds
from dinoseek.products.texture import Texture, color_at, field_at

pytestmark = pytest.mark.usefixtures("strict_numpy")


def test_a_number_stands_for_one_product():
    assert product(7) == product(7)
    assert product(7) != product(17)
    assert product(7) != product(7, seed=1)


def test_super_classes_take_turns_and_wear_one_of_their_palettes():
    assert list(WORN) == list(SHAPES)
    for kind, names in WORN.items():
        assert set(names) <= set(PALETTES)
        worn = [product(n) for n in range(200) if product(n).kind == kind]
        assert len(worn) == 20
        assert {each.texture.colors for each in worn} == set(palettes(kind))


def test_another_hue_changes_the_colours_and_nothing_else():
    one, other = product(3), product(3, hue=0.4)

    assert one.pieces == other.pieces
    assert one.texture.colors != other.texture.colors
    assert one.texture.threshold == other.texture.threshold


@pytest.mark.parametrize("number", range(0, 40))
def test_each_pattern_has_the_same_shares_of_its_colours(number):
    texture = product(number).texture
    points = np.random.default_rng(5).uniform(-1, 1, (3, 4000)).astype(np.float32)

    colors = color_at(texture, points, 0).T

    low, high, line = (np.abs(colors - color).max(axis=1) < 1e-3 for color in texture.colors)
    assert high.mean() == pytest.approx(0.42, abs=0.09)
    assert line.mean() == pytest.approx(0.14, abs=0.07)
    assert low.mean() == pytest.approx(0.44, abs=0.12)


@pytest.mark.parametrize(
    ("kind", "formula"),
    [
        ("stripes", lambda p: math.sin(p[0])),
        ("checks", lambda p: math.sin(p[0]) * math.sin(p[1])),
        ("rings", lambda p: math.sin(math.hypot(*p))),
        ("dots", lambda p: sum(map(math.cos, p)) / 2 - 0.4),
    ],
)
def test_a_field_is_what_its_formula_says(kind, formula):
    texture = Texture(kind=kind, colors=((0, 0, 0),) * 3, frequency=3, phase=(0.5, 1, 2))
    points = np.random.default_rng(1).uniform(-1, 1, (3, 20)).astype(np.float32)

    expected = [formula((3 * x + 0.5, 3 * y + 1, 3 * z + 2)) for x, y, z in points.T.tolist()]

    np.testing.assert_allclose(field_at(texture, points), expected, atol=1e-5)


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("seed", range(5))
def test_pieces_stand_on_the_ground_and_are_whole(kind, seed):
    pieces = SHAPES[kind](np.random.default_rng(seed))

    lowest = min(
        piece.at[2] + (np.array(piece.turn)[2] * bounds(piece.solid)).sum(axis=1).min()
        for piece in pieces
    )
    assert lowest == pytest.approx(0, abs=1e-6)
    for piece in pieces:
        if isinstance(piece.solid, Lathe):
            (r0, z0), *_, (r1, z1) = outline = piece.solid.outline
            assert (r0, z0) == (r1, z1) or r0 == r1 == 0
            assert min(radius for radius, _ in outline) >= 0
            around = zip(outline, [*outline[1:], outline[0]], strict=True)
            # Gauss's area: the outline has the solid on its left.
            assert sum(a[0] * b[1] - b[0] * a[1] for a, b in around) > 0


def test_the_hull_holds_everything():
    for number in range(10):
        shown = product(number)
        center, radius = hull(shown)
        for piece in shown.pieces:
            low, high = bounds(piece.solid)
            middle = np.array(piece.turn) @ ((low + high) / 2) + piece.at
            if isinstance(piece.solid, Lathe):
                for wide, height in piece.solid.outline:
                    on_axis = height - (low[2] + high[2]) / 2
                    for angle in np.linspace(0, 6, 9):
                        rim = np.array([wide * math.cos(angle), wide * math.sin(angle), on_axis])
                        point = middle + np.array(piece.turn) @ rim
                        assert np.linalg.norm(point - center[:, 0]) < radius + 1e-5
