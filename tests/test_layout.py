"""Vectors as points of a plane."""

import importlib.util
import sys

import numpy as np
import pytest

from dinoseek.errors import UsageError
from dinoseek.layout import laid_out


def unit_rows(count, dim=10, seed=0):
    rows = np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_points_are_the_first_two_principal_coordinates():
    vectors = unit_rows(60) * np.linspace(3, 1, 10, dtype=np.float32)
    centred = vectors.astype(np.float64) - vectors.mean(axis=0)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)

    points = laid_out(vectors)

    expected = left[:, :2] * values[:2]
    for axis in (0, 1):
        sign = np.sign(points[:, axis] @ expected[:, axis])
        np.testing.assert_allclose(points[:, axis], sign * expected[:, axis], atol=1e-4)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_images_have_places_too(count):
    points = laid_out(unit_rows(count))

    assert points.shape == (count, 2)
    assert len({tuple(point) for point in points.tolist()}) == count


def test_images_that_are_all_alike_lie_in_one_place():
    assert (laid_out(np.repeat(unit_rows(1), 5, axis=0)) == 0).all()


def test_an_unknown_way_names_the_known():
    with pytest.raises(UsageError, match="pca and umap"):
        laid_out(unit_rows(3), "tsne")


def test_without_the_extra_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)

    with pytest.raises(UsageError, match=r"pip install dinoseek\[map\]") as found:
        laid_out(unit_rows(20), "umap")
    assert found.value.code == "extra.missing"


@pytest.mark.skipif(not importlib.util.find_spec("umap"), reason="needs umap-learn")
@pytest.mark.filterwarnings("ignore")  # of numba and scikit-learn
def test_umap_keeps_neighbours_together_and_is_the_same_every_time():
    vectors = np.concatenate(
        [unit_rows(1, seed=seed) + 0.1 * unit_rows(20, seed=9) for seed in (1, 2)]
    )
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)

    points = laid_out(vectors, "umap")

    middles = [points[:20].mean(axis=0), points[20:].mean(axis=0)]
    within = max(
        np.linalg.norm(points[20 * i : 20 * i + 20] - middles[i], axis=1).mean() for i in (0, 1)
    )
    assert np.linalg.norm(middles[0] - middles[1]) > 2 * within
    np.testing.assert_array_equal(points, laid_out(vectors, "umap"))
