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


def test_unit_leaves_a_zero_vector_finite():
    found = unit(np.float32([[0, 0], [3, 4]]))

    np.testing.assert_allclose(found, [[0, 0], [0.6, 0.8]], rtol=1e-6)


def test_an_unknown_pooling_names_the_known():
    with pytest.raises(UsageError, match=r"max: no such pooling; use one of cls, mean, gem, cls"):
        find_pooling("max")
