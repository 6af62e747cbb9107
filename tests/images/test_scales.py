"""Scales: which there may be, and the sizes that pictures get."""

import numpy as np
import pytest
from PIL import Image

from dinoseek.errors import UsageError
from dinoseek.images.preprocess import find_preset
from dinoseek.images.scales import at_scale, checked_scales, name_of, parse_scales, preset_for


def test_scales_are_sorted_and_named_alike_however_they_are_given():
    assert parse_scales("1, 0.5,0.707106781") == (0.5, 0.707107, 1.0)
    assert name_of(parse_scales("1,0.5")) == name_of(checked_scales([0.5, 1.0, 1])) == "0.5,1"
    assert name_of((1.0,)) == ""


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "scales.number"),
        ("1,x", "scales.number"),
        ("1,2,3,4,5,6,7,8,9", "scales.number"),
        ("0", "scales.range"),
        ("-1", "scales.range"),
        ("nan", "scales.range"),
        ("inf", "scales.range"),
    ],
)
def test_scales_without_sense_are_refused(text, code):
    with pytest.raises(UsageError) as found:
        parse_scales(text)
    assert found.value.code == code


@pytest.mark.parametrize(
    ("name", "scales", "size"),
    [("official", "1,0.5", 224), ("official", "1,1.414", 322), ("squash", "0.5", 112)],
)
def test_pictures_are_prepared_for_the_largest_scale(name, scales, size):
    assert preset_for(find_preset(name), parse_scales(scales)).size == size


@pytest.mark.parametrize(
    ("name", "scales"), [("official", "3"), ("squash@14", "0.3"), ("crop224", "1,1.5")]
)
def test_a_scale_that_cannot_be_had_is_refused(name, scales):
    with pytest.raises(UsageError) as found:
        preset_for(find_preset(name), parse_scales(scales))
    assert found.value.code == "scales.size"


def test_smaller_scales_are_shrunk_to_multiples_of_14():
    prepared = np.random.default_rng(0).integers(0, 256, (70, 140, 3), dtype=np.uint8)

    small = at_scale(prepared, 0.707)

    assert small.shape == (56, 98, 3)  # 3.535 patches are 4, 7.07 are 7
    expected = Image.fromarray(prepared).resize((98, 56), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(small, np.asarray(expected))
    assert at_scale(prepared, 1) is prepared
    assert at_scale(prepared, 0.01).shape == (14, 14, 3)
