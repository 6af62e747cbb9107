"""VLAD and its vocabulary against loops."""

import numpy as np
import pytest

from dinoseek.errors import UsageError, WeightsError
from dinoseek.vlad import Vocabulary, fit_centres, load_vocabulary, nearest_centre, vlad
from dinoseek.weights.fitted import Fitted, save_fitted


def unit_rows(count, dim=6, seed=0):
    rows = np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def vocabulary(clusters=3, dim=6):
    lengths = np.linspace(0.2, 1.4, clusters, dtype=np.float32)[:, None]  # cosine, not product
    return Vocabulary(centres=lengths * unit_rows(clusters, dim, seed=9), block=1, weights="w")


def test_an_image_is_what_its_patches_differ_from_their_centres():
    values = 3 * np.random.default_rng(1).standard_normal((2, 20, 6)).astype(np.float32)
    words = vocabulary()

    found = vlad(values, words)

    for image, row in zip(values, found, strict=True):
        sums = [[0.0] * 6 for _ in range(3)]
        for value in image:
            value = [float(v) / np.linalg.norm(value) for v in value]
            cosines = [np.dot(value, c) / np.linalg.norm(c) for c in words.centres]
            nearest = cosines.index(max(cosines))
            for d in range(6):
                sums[nearest][d] += value[d] - float(words.centres[nearest][d])
        scaled = [v / max(np.linalg.norm(part), 1e-30) for part in sums for v in part]
        np.testing.assert_allclose(row, scaled / np.linalg.norm(scaled), atol=1e-5)
    assert found.shape == (2, 18)


def test_a_centre_without_patches_leaves_zeros():
    words = Vocabulary(centres=np.float32([[1, 0], [-1, 0]]), block=0, weights="")

    found = vlad(np.float32([[[2, 1], [3, -1]]]), words)

    assert (found[0, 2:] == 0).all()
    assert np.linalg.norm(found) == pytest.approx(1, abs=1e-6)


def test_centres_are_found_where_the_values_are():
    rng = np.random.default_rng(2)
    directions = np.eye(6, dtype=np.float32)[:4]
    values = np.repeat(directions, 50, axis=0) + 0.05 * rng.standard_normal((200, 6))
    values = (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)

    centres = fit_centres(values, 4)

    found = {int(row.argmax()) for row in centres}
    assert found == {0, 1, 2, 3}
    assigned = nearest_centre(values, centres)
    for place, centre in enumerate(centres):  # each is the mean of its own
        np.testing.assert_allclose(centre, values[assigned == place].mean(axis=0), atol=1e-5)


def test_the_same_values_give_the_same_centres_and_another_seed_others():
    values = unit_rows(300)

    np.testing.assert_array_equal(fit_centres(values, 8), fit_centres(values, 8))
    assert (fit_centres(values, 8) != fit_centres(values, 8, seed=1)).any()


def test_values_that_are_all_alike_are_no_error():
    values = np.repeat(unit_rows(1), 10, axis=0)

    assert np.isfinite(fit_centres(values, 3)).all()


@pytest.mark.parametrize("clusters", [0, 6])
def test_more_centres_than_values_are_refused(clusters):
    with pytest.raises(UsageError, match="only 5 patches"):
        fit_centres(unit_rows(5), clusters)


def test_a_file_gives_the_same_vocabulary_again(tmp_path):
    words = vocabulary()
    save_fitted(tmp_path / "v.safetensors", words.fitted)

    again = load_vocabulary(tmp_path / "v.safetensors", tmp_path)

    np.testing.assert_array_equal(again.centres, words.centres)
    assert (again.block, again.weights) == (1, "w")


@pytest.mark.parametrize("facts", [{}, {"block": "1", "weights": ""}, {"block": 1}])
def test_a_file_that_is_no_vocabulary_is_refused(tmp_path, facts):
    fitted = Fitted(kind="vlad", facts=facts, arrays={"centres": unit_rows(3)})
    save_fitted(tmp_path / "v.safetensors", fitted)

    with pytest.raises(WeightsError, match="what a vocabulary has"):
        load_vocabulary(tmp_path / "v.safetensors", tmp_path)
