"""Local re-ranking: a shifted crop of the same scene beats a stranger with the same cosine."""

import numpy as np
import pytest

from dinoseek.matching import Patches
from dinoseek.rerank.local import local_score, local_scores
from dinoseek.rerank.options import Local


def scene(seed, rows=12, cols=12, dim=32):
    vectors = np.random.default_rng(seed).standard_normal((rows, cols, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=2, keepdims=True)


def patches(grid):
    rows, cols, dim = grid.shape
    return Patches(grid.reshape(-1, dim), rows, cols)


def test_a_picture_and_itself_score_one():
    assert local_score(patches(scene(0)), patches(scene(0)), Local()) == pytest.approx(1, abs=1e-5)


def test_a_window_that_moved_scores_its_share_and_a_stranger_little():
    whole = scene(0, 16, 16)
    left, right = patches(whole[:8, :10]), patches(whole[2:, 4:])

    moved = local_score(left, right, Local())

    assert moved == pytest.approx(6 * 6 / 80, abs=0.02)  # 6 x 6 patches are in both
    assert local_score(left, patches(scene(1)), Local()) < 0.1


def test_shuffled_patches_match_but_do_not_agree():
    grid = scene(0)
    order = np.random.default_rng(1).permutation(144)
    shuffled = patches(grid.reshape(-1, 32)[order].reshape(grid.shape))

    assert local_score(patches(grid), shuffled, Local(geometry="none")) == pytest.approx(
        1, abs=1e-5
    )
    assert local_score(patches(grid), shuffled, Local()) < 0.15


def test_the_score_is_a_mixture_and_a_hit_without_picture_has_its_share_of_cosine():
    same = patches(scene(0))
    cosines = np.float32([0.5, 0.9])

    found = local_scores(same, [same, None], cosines, Local(weight=0.25))

    np.testing.assert_allclose(found, [0.75 * 0.5 + 0.25, 0.75 * 0.9], atol=1e-5)
