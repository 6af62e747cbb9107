"""Pictures that are varied: within limits, and the same each time."""

import numpy as np
import pytest
from PIL import Image

from dinoseek.errors import UsageError
from dinoseek.train.data.augment import Augmentation, generator, part_of

STILL = {"area": (1.0, 1.0), "ratio": 1.0, "flip": 0, "brightness": 0, "contrast": 0, "erasing": 0}


def noise(width=60, height=40, low=0, high=256):
    pixels = np.random.default_rng(0).integers(low, high, (height, width, 3), np.uint8)
    return Image.fromarray(pixels)


def rng(number=0):
    return np.random.default_rng(number)


def test_without_any_variation_it_is_scaled_only():
    image = noise(50, 50)

    found = Augmentation(size=28, **STILL).apply(image, rng())

    np.testing.assert_array_equal(found, np.asarray(image.resize((28, 28), Image.BICUBIC)))


def test_a_mirrored_picture_is_mirrored():
    image = noise(50, 50)

    found = Augmentation(size=50, **STILL | {"flip": 1}).apply(image, rng())

    np.testing.assert_array_equal(found, np.asarray(image)[:, ::-1])


def test_brightness_is_a_factor_within_limits():
    image = Image.new("RGB", (20, 20), (100, 50, 200))

    found = [
        Augmentation(size=20, **STILL | {"brightness": 0.2}).apply(image, rng(number))[0, 0]
        for number in range(200)
    ]

    factors = np.array(found) / [100, 50, 200]
    assert np.ptp(factors, axis=1).max() < 0.02  # the hue stays
    assert 0.79 < factors[:, 2].min() < 0.85
    assert 1.15 < factors[:, 2].max() < 1.21


def test_contrast_moves_colours_away_from_the_grey_of_the_picture():
    pixels = np.full((20, 20, 3), 80, np.uint8)
    pixels[:, 10:] = 160

    for number in range(20):
        augmentation = Augmentation(size=20, **STILL | {"contrast": 0.5})
        found = augmentation.apply(Image.fromarray(pixels), rng(number)).astype(int)
        dark, light = found[0, 0, 0], found[0, -1, 0]
        assert abs(dark + light - 240) <= 1  # around the mean, 120
        assert 39 <= light - dark <= 121


def test_light_is_what_a_loop_over_pixels_gives():
    image, change = noise(30, 30), {"brightness": 0.4, "contrast": 0.4}

    for number in range(20):
        found = Augmentation(size=30, **STILL | change).apply(image, rng(number))

        drawn = rng(number)
        part_of(30, 30, (1.0, 1.0), 1.0, drawn)
        drawn.random()  # whether it is mirrored
        brighter, more = drawn.uniform(0.6, 1.4), drawn.uniform(0.6, 1.4)
        lit = (np.asarray(image) * brighter).clip(0, 255)
        grey = (lit @ [0.299, 0.587, 0.114]).mean()
        expected = (more * lit + (1 - more) * grey).clip(0, 255)
        assert abs(found - expected).max() <= 0.5 + 1e-9


def test_a_rectangle_is_covered_by_the_mean_of_imagenet():
    image = Image.new("RGB", (40, 40), (255, 255, 255))
    shares = []
    for number in range(100):
        found = Augmentation(size=40, **STILL | {"erasing": 1}).apply(image, rng(number))
        covered = (found == [124, 116, 104]).all(axis=2)
        rows, columns = np.flatnonzero(covered.any(axis=1)), np.flatnonzero(covered.any(axis=0))
        assert covered[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        assert (found[~covered] == 255).all()
        shares.append(covered.mean())

    assert 0.01 < min(shares) < 0.05
    assert 0.15 < max(shares) < 0.22


def test_things_happen_as_often_as_they_should():
    image = Image.fromarray(
        np.tile(np.arange(0, 250, 5, dtype=np.uint8), (50, 1))[..., None].repeat(3, 2)
    )
    augmentation = Augmentation(size=50, **STILL | {"flip": 0.5, "erasing": 0.25})

    found = [augmentation.apply(image, rng(number)) for number in range(400)]

    mirrored = sum(int(each[0, 0, 0]) + int(each[-1, 0, 0]) > 300 for each in found)
    covered = sum((each == [124, 116, 104]).all(axis=2).any() for each in found)
    assert 160 < mirrored < 240
    assert 70 < covered < 130


@pytest.mark.parametrize(("width", "height"), [(60, 40), (400, 30), (7, 7), (1, 9)])
def test_parts_lie_inside_and_have_the_area_and_ratio_that_are_allowed(width, height):
    for number in range(300):
        left, top, right, bottom = part_of(width, height, (0.2, 1.0), 3 / 4, rng(number))

        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
        if min(width, height) >= 30:
            across, down = right - left, bottom - top
            assert 0.7 <= across / down <= 1.45
            if height / width > 0.5:
                assert 0.18 <= across * down / (width * height) <= 1


def test_parts_come_from_everywhere():
    boxes = np.array([part_of(100, 100, (0.2, 0.5), 1.0, rng(number)) for number in range(300)])

    assert boxes[:, 0].min() < 5
    assert boxes[:, 1].min() < 5
    assert boxes[:, 2].max() > 95
    assert boxes[:, 3].max() > 95


def test_what_becomes_of_a_picture_depends_on_seed_epoch_and_row_alone():
    image, augmentation = noise(), Augmentation(size=28)

    first = augmentation.apply(image, generator(1, 2, 3))

    np.testing.assert_array_equal(first, augmentation.apply(image, generator(1, 2, 3)))
    for other in [(0, 2, 3), (1, 3, 3), (1, 2, 4)]:
        assert (first != augmentation.apply(image, generator(*other))).any()


@pytest.mark.parametrize(
    "numbers",
    [
        {"size": 0},
        {"area": (0, 1)},
        {"area": (0.5, 0.2)},
        {"ratio": 1.5},
        {"flip": 2},
        {"erased": (0.1, 1)},
    ],
)
def test_numbers_that_make_no_sense_are_refused(numbers):
    with pytest.raises(UsageError, match="is out of range") as caught:
        Augmentation(**numbers)

    assert caught.value.code == "train.augment"
    assert next(iter(numbers)) in caught.value.subject
