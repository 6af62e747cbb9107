import colorsys

import numpy as np
import pytest

from dinoseek.images.color_histogram import DIM, color_histogram


@pytest.mark.parametrize("size", [(224, 224), (1, 1), (2, 5), (7, 300)])
def test_it_is_a_unit_vector_of_one_length_whatever_the_size(size):
    rng = np.random.default_rng(1)
    vector = color_histogram(rng.integers(0, 256, (*size, 3), dtype=np.uint8))
    assert vector.shape == (DIM,) == (672,)
    assert vector.dtype == np.float32
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (128, 128, 128), (200, 10, 30)])
def test_IMG_36_one_colour_has_a_finite_unit_vector(colour):
    vector = color_histogram(np.full((224, 224, 3), colour, np.uint8))
    assert np.isfinite(vector).all()
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


def test_each_bin_is_what_a_loop_over_the_pixels_counts():
    """The reference: one pixel at a time, with the standard library's HSV."""
    image = np.random.default_rng(2).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    shares = np.zeros((3, 2, 112))
    for y in range(9):
        for x in range(11):
            # The colour is taken at the centre of its cell of 16 x 16 x 16.
            levels = (image[y, x] // 16 + 0.5) / 16
            hue, saturation, value = colorsys.rgb_to_hsv(*levels)
            ring = int(abs(x - 5) / 5.5 * 2)
            for v in range(4):
                v_share = max(0, 1 - abs(value * 3 - v))
                for s in range(4):
                    s_share = max(0, 1 - abs(saturation * 3 - s))
                    for h in range(12):
                        away = abs(hue * 12 - h)
                        h_share = max(0, 1 - min(away, 12 - away))
                        colour = v if v == 0 or s == 0 else 4 + (h * 3 + s - 1) * 3 + v - 1
                        shares[y * 3 // 9, ring, colour] += v_share * s_share * h_share
    expected = np.sqrt(shares / 99).ravel()
    np.testing.assert_allclose(color_histogram(image), expected, atol=1e-5)


def test_a_mirrored_picture_has_the_same_vector(photo):
    np.testing.assert_array_equal(color_histogram(photo), color_histogram(photo[:, ::-1]))


def test_a_picture_that_is_a_little_brighter_or_smaller_stays_near(photo):
    vector = color_histogram(photo)
    assert vector @ color_histogram(np.minimum(photo, 249) + 6) > 0.97
    assert vector @ color_histogram(photo[::2, ::2]) > 0.99


def test_different_colours_are_far_apart():
    colours = [(230, 20, 20), (20, 230, 20), (20, 20, 230), (5, 5, 5), (250, 250, 250)]
    vectors = [color_histogram(np.full((30, 30, 3), colour, np.uint8)) for colour in colours]
    scores = np.array(vectors) @ np.array(vectors).T
    assert scores[~np.eye(5, dtype=bool)].max() < 0.5


def test_the_same_colours_in_other_places_are_further_apart_than_in_the_same(photo):
    upside_down = color_histogram(photo[::-1])
    assert color_histogram(photo) @ upside_down < color_histogram(photo) @ color_histogram(photo)
    assert color_histogram(photo) @ upside_down < 0.9


def test_two_runs_give_the_same_bits(photo):
    np.testing.assert_array_equal(color_histogram(photo), color_histogram(photo.copy()))
