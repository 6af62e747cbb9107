"""Matches of patches against loops and maps that are known."""

import math

import numpy as np
import pytest

from dinoseek.matching import MatchOptions, Patches, agreeing, centres, match, mutual_nearest


def unit_rows(count, dim=16, seed=0):
    rows = np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_mutual_nearest_are_those_that_choose_each_other():
    first, second = unit_rows(40), unit_rows(30, seed=1)
    table = [[float(a @ b) for b in second] for a in first]
    expected = []
    for i, row in enumerate(table):
        j = max(range(30), key=lambda j: row[j])
        if max(range(40), key=lambda k: table[k][j]) == i:
            expected.append((i, j))

    ones, others, cosines = mutual_nearest(first, second)

    assert list(zip(ones.tolist(), others.tolist(), strict=True)) == expected
    np.testing.assert_allclose(cosines, [table[i][j] for i, j in expected], atol=1e-6)
    assert 0 < len(expected) < 30


def test_centres_are_in_patches_x_before_y():
    assert centres(np.array([0, 4, 5, 11]), 5).tolist() == [
        [0.5, 0.5],
        [4.5, 0.5],
        [0.5, 1.5],
        [1.5, 2.5],
    ]


def placed(count, seed=0):
    return np.random.default_rng(seed).uniform(0, 16, (count, 2))


@pytest.mark.parametrize("geometry", ["similarity", "affine"])
@pytest.mark.parametrize("turn", [0.0, 0.6, -2.0])
def test_a_similarity_is_found_among_strangers(geometry, turn):
    source = placed(40)
    scale = 1.3
    spin = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    target = scale * source @ spin + [3, -2]
    target[:15] = placed(15, seed=5) + 40  # pairs that have nothing to do with it
    target[15:] += np.random.default_rng(2).uniform(-0.3, 0.3, (25, 2))

    found = agreeing(source, target, geometry, 1.5)

    assert found.tolist() == [False] * 15 + [True] * 25


def test_a_shear_is_affine_and_no_similarity():
    source = placed(40)
    target = source @ np.array([[1, 0], [1.5, 1]])

    assert agreeing(source, target, "affine", 0.5).all()
    assert agreeing(source, target, "similarity", 0.5).sum() < 30


def test_a_mirror_image_does_not_agree():
    source = placed(40)

    assert agreeing(source, source * [-1, 1], "affine", 0.5).sum() < 10


def test_pairs_that_a_map_always_fits_agree_on_nothing():
    assert not agreeing(placed(2), placed(2, seed=1), "similarity", 1.5).any()
    assert not agreeing(placed(3), placed(3, seed=1), "affine", 1.5).any()
    assert agreeing(np.empty((0, 2)), np.empty((0, 2)), "similarity", 1.5).shape == (0,)


def test_points_on_a_line_are_no_error():
    line = np.stack([np.arange(10.0), np.zeros(10)], axis=1)

    for geometry in ("similarity", "affine"):
        agreeing(line, line + 2, geometry, 0.5)


def test_the_same_pictures_give_the_same_matches():
    pictures = [Patches(unit_rows(64, seed=seed), 8, 8) for seed in (0, 1)]

    first, again = match(*pictures), match(*pictures)

    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_weak_matches_can_be_left_out():
    pictures = [Patches(unit_rows(64, seed=seed), 8, 8) for seed in (0, 1)]
    every = match(*pictures, MatchOptions(geometry="none"))

    strong = match(*pictures, MatchOptions(geometry="none", min_cosine=0.5))

    assert strong.cosines.tolist() == [each for each in every.cosines if each >= 0.5]
    assert 0 < len(strong.cosines) < len(every.cosines)
