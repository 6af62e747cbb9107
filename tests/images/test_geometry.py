import math

import numpy as np
import pytest

from dinoseek.errors import ImageError
from dinoseek.images.geometry import (
    MAX_PATCHES,
    centre_box,
    check_aspect,
    patch_grid_size,
    short_side_size,
)

# 4,096 sizes: small ones in all pairs, photographs, and long ones.
SIZES = [(w, h) for w in range(1, 49) for h in range(1, 49)]
RNG = np.random.default_rng(7)
SIZES += [tuple(pair) for pair in RNG.integers(100, 6000, (1292, 2)).tolist()]
SIZES += [(short, short * ratio) for short in range(10, 35) for ratio in range(1, 21)]


def test_there_are_4096_sizes():
    assert len(SIZES) == 4096


def test_the_short_side_is_what_torchvision_and_hugging_face_compute():
    """Both write int(size * long / short), in floating point."""
    for width, height in SIZES:
        for short in (224, 256, 592):
            narrow, wide = min(width, height), max(width, height)
            long = int(short * wide / narrow)
            expected = (short, long) if width <= height else (long, short)
            assert short_side_size(width, height, short) == expected


def test_the_box_is_torchvisions_centre_crop():
    """Padded by hand on one side at a time, then int(round(margin / 2)), as torchvision does it."""
    for width, height in SIZES:
        pad_left = (224 - width) // 2 if width < 224 else 0
        pad_top = (224 - height) // 2 if height < 224 else 0
        padded_width, padded_height = max(width, 224), max(height, 224)
        left = int(round((padded_width - 224) / 2.0)) - pad_left  # noqa: RUF046
        top = int(round((padded_height - 224) / 2.0)) - pad_top  # noqa: RUF046
        expected = (left, top, left + 224, top + 224)
        assert centre_box(width, height, 224, "round") == expected


def test_the_other_box_rounds_down():
    for width, height in SIZES:
        left, top = math.floor((width - 224) / 2), math.floor((height - 224) / 2)
        assert centre_box(width, height, 224, "floor") == (left, top, left + 224, top + 224)


def test_a_16_to_9_picture_is_where_the_two_roundings_differ():
    assert short_side_size(1920, 1080, 256) == (455, 256)
    assert centre_box(455, 256, 224, "round")[0] == 116
    assert centre_box(455, 256, 224, "floor")[0] == 115


@pytest.mark.parametrize("rounding", ["floor", "round"])
def test_patch_grids_are_those_of_the_course_where_they_fit(rounding):
    """Short side 224, long side cut to a whole number, both to multiples of 14, at least 14."""
    for width, height in SIZES:
        if width < height:
            across, down = 224, int(height * 224 / width)
        else:
            across, down = int(width * 224 / height), 224
        if rounding == "round":
            columns, rows = int(round(across / 14)), int(round(down / 14))  # noqa: RUF046
        else:
            columns, rows = across // 14, down // 14
        size = patch_grid_size(width, height, 224, rounding)
        if columns * rows <= 1369:
            assert size == (columns * 14, rows * 14)
        else:
            assert size != (columns * 14, rows * 14)


@pytest.mark.parametrize(
    ("size", "rounding", "expected"),
    [
        ((498, 415), "floor", (266, 224)),
        ((421, 499), "floor", (224, 252)),
        ((421, 499), "round", (224, 266)),
        ((1, 1), "floor", (224, 224)),
    ],
)
def test_patch_grids_of_known_pictures(size, rounding, expected):
    assert patch_grid_size(*size, 224, rounding) == expected


@pytest.mark.parametrize("short", [14, 224, 518])
def test_IMG_10_no_grid_has_more_patches_than_the_model_was_trained_with(short):
    for width, height in SIZES:
        if max(width, height) > 50 * min(width, height):
            continue
        for rounding in ("floor", "round"):
            across, down = patch_grid_size(width, height, short, rounding)
            assert across % 14 == down % 14 == 0
            assert 1 <= (across // 14) * (down // 14) <= MAX_PATCHES


def test_IMG_11_a_long_screenshot_is_shrunk_and_keeps_its_ratio():
    assert patch_grid_size(100, 3000, 224, "floor") == (6 * 14, 180 * 14)
    for ratio in np.linspace(5.5, 50, 200):
        width = round(1000 * ratio)
        across, down = patch_grid_size(width, 1000, 224, "floor")
        patches = (across // 14) * (down // 14)
        assert abs(across / down / ratio - 1) < 0.02
        # At worst the short side is a patch below what would have fitted.
        rows = down // 14
        assert (rows + 1) ** 2 * ratio > MAX_PATCHES
        assert patches > MAX_PATCHES * (rows / (rows + 1)) ** 2 * 0.97


@pytest.mark.parametrize("size", [(1, 51), (60_000, 1), (2, 200), (10, 10_000)])
def test_IMG_10_a_picture_longer_than_50_times_its_width_is_refused(size):
    with pytest.raises(ImageError, match="over 50 times") as error:
        check_aspect(*size)
    assert error.value.code == "image.aspect"


def test_IMG_10_exactly_50_times_is_accepted():
    check_aspect(1, 50)
    check_aspect(50, 1)
