"""Principal components against NumPy's singular values and against their own definition."""

import numpy as np
import pytest

from dinoseek.errors import UsageError, WeightsError
from dinoseek.pca import Pca, fit_pca, load_pca, project
from dinoseek.weights.fitted import Fitted, save_fitted


def stretched(count, dim, seed=0):
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((count, dim)) * np.linspace(3, 0.5, dim) + 1
    return (rows @ np.linalg.qr(rng.standard_normal((dim, dim)))[0]).astype(np.float32)


@pytest.mark.parametrize(("count", "dim"), [(200, 8), (6, 20)])
def test_components_are_those_of_the_singular_values(count, dim):
    vectors = stretched(count, dim)
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    _, values, rows = np.linalg.svd(centred, full_matrices=False)

    pca = fit_pca(vectors, 4)

    np.testing.assert_allclose(pca.variances, values[:4] ** 2 / (count - 1), rtol=1e-4)
    np.testing.assert_allclose(np.abs(pca.components @ rows[:4].T), np.eye(4), atol=1e-4)
    assert (
        np.take_along_axis(pca.components, np.abs(pca.components).argmax(1)[:, None], 1) > 0
    ).all()


def test_projecting_keeps_as_much_of_the_distances_as_can_be_kept():
    vectors = stretched(50, 8)

    whole = project(vectors, fit_pca(vectors, 8))

    for i in range(0, 50, 7):
        expected = np.linalg.norm(vectors - vectors[i], axis=1)
        np.testing.assert_allclose(np.linalg.norm(whole - whole[i], axis=1), expected, atol=1e-4)
    np.testing.assert_allclose(whole.mean(axis=0), 0, atol=1e-4)


def test_whitening_makes_all_components_weigh_the_same():
    vectors = stretched(300, 8)

    white = project(vectors, fit_pca(vectors, 5, whiten=True))

    np.testing.assert_allclose(np.cov(white.T), np.eye(5), atol=1e-3)
    assert white.dtype == np.float32


@pytest.mark.parametrize(("count", "dim", "wanted"), [(10, 4, 5), (3, 8, 3), (10, 4, 0), (1, 4, 1)])
def test_more_components_than_there_are_is_refused(count, dim, wanted):
    with pytest.raises(UsageError, match="components") as found:
        fit_pca(stretched(count, dim), wanted)
    assert found.value.code == "fit.dim"


def test_a_file_gives_the_same_pca_again(tmp_path):
    pca = fit_pca(stretched(50, 8), 3, whiten=True, space="abc")
    save_fitted(tmp_path / "p.safetensors", pca.fitted)

    again = load_pca(tmp_path / "p.safetensors", tmp_path)

    assert (again.whiten, again.space) == (True, "abc")
    assert again.fitted.digest == pca.fitted.digest
    np.testing.assert_array_equal(again.components, pca.components)


@pytest.mark.parametrize("wrong", ["shape", "missing", "variance", "facts"])
def test_a_file_that_is_no_pca_is_refused(tmp_path, wrong):
    arrays = dict(fit_pca(stretched(50, 8), 3).fitted.arrays)
    facts = {"whiten": False, "space": ""}
    match wrong:
        case "shape":
            arrays["mean"] = np.zeros(7, np.float32)
        case "missing":
            del arrays["variances"]
        case "variance":
            arrays["variances"] = np.zeros(3, np.float32)
        case "facts":
            facts["whiten"] = "yes"
    save_fitted(tmp_path / "p.safetensors", Fitted(kind="pca", facts=facts, arrays=arrays))

    with pytest.raises(WeightsError, match="fit it again"):
        load_pca(tmp_path / "p.safetensors", tmp_path)


def test_whitened_and_not_are_different_things():
    vectors = stretched(50, 8)
    plain, white = (fit_pca(vectors, 3, whiten=whiten) for whiten in (False, True))

    assert isinstance(plain, Pca)
    assert plain.fitted.digest != white.fitted.digest
