"""Poolings against loops."""

import numpy as np
import pytest

from dinoseek.errors import UsageError
from dinoseek.pooling import find_pooling, unit
from dinoseek.vit.model import Tokens

RNG = np.random.default_rng(0)
TOKENS = Tokens(
    *(RNG.standard_normal(shape, dtype=np.float32) for shape in ((2, 4), (2, 1, 4), (2, 9, 4)))
)


def test_cls_ignores_everything_else():
    np.testing.assert_array_equal(find_pooling("cls")(TOKENS), TOKENS.cls)


def test_mean_is_over_the_patches_without_cls_and_registers():
    expected = [[np.mean([t[c] for t in image]) for c in range(4)] for image in TOKENS.patches]

    np.testing.assert_allclose(find_pooling("mean")(TOKENS), expected, rtol=1e-5)


def test_gem_keeps_the_sign_of_the_cubic_mean():
    cubes = [[np.mean([float(t[c]) ** 3 for t in i]) for c in range(4)] for i in TOKENS.patches]
    expected = [[np.sign(m) * abs(m) ** (1 / 3) for m in image] for image in cubes]

    found = find_pooling("gem")(TOKENS)

    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert (found < 0).any()


def test_cls_and_mean_weigh_the_same():
    both = find_pooling("cls+mean")(TOKENS)

    np.testing.assert_allclose(np.linalg.norm(both[:, :4], axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(both[:, 4:], axis=1), 1, rtol=1e-6)


def test_any_poolings_can_be_joined_and_weigh_the_same():
    joined = find_pooling("gem+cls+mean")(TOKENS)

    for place, name in enumerate(("gem", "cls", "mean")):
        part = find_pooling(name)(TOKENS)
        expected = [row / sum(float(v) ** 2 for v in row) ** 0.5 for row in part]
        np.testing.assert_allclose(joined[:, 4 * place : 4 * place + 4], expected, rtol=1e-5)


def test_the_same_pooling_twice_is_refused():
    with pytest.raises(UsageError, match=r"cls\+mean\+cls: the same pooling twice"):
        find_pooling("cls+mean+cls")


def test_vlad_without_a_vocabulary_says_how_to_get_one():
    with pytest.raises(UsageError, match="dinoseek fit vlad") as found:
        find_pooling("cls+vlad")
    assert found.value.code == "pooling.vocabulary"


def test_unit_leaves_a_zero_vector_finite():
    found = unit(np.float32([[0, 0], [3, 4]]))

    np.testing.assert_allclose(found, [[0, 0], [0.6, 0.8]], rtol=1e-6)


def test_an_unknown_pooling_names_the_known():
    with pytest.raises(UsageError, match=r"max: no such pooling; use one of cls, mean, gem, vlad"):
        find_pooling("max")
