"""Regions of a picture: what their words mean, and that they cut exactly those pixels."""

import numpy as np
import pytest
from PIL import Image

from dinoseek.errors import UsageError
from dinoseek.images.region import Region


@pytest.fixture
def picture() -> Image.Image:
    """50 x 40 pixels, each of a colour of its own."""
    rows, columns = np.mgrid[:40, :50]
    return Image.fromarray(np.stack([rows, columns, rows], axis=2).astype(np.uint8))


def test_pixels_are_cut_by_left_top_width_and_height(picture):
    part = Region.parse("10,20,30,5").of(picture)

    assert np.array_equal(np.asarray(part), np.asarray(picture)[20:25, 10:40])


@pytest.mark.parametrize(
    ("words", "rows", "columns"),
    [
        ("0%,0%,100%,100%", (0, 40), (0, 50)),
        ("10%,50%,20%,25%", (20, 30), (5, 15)),
        ("33.3%,0%,66.7%,100%", (0, 40), (17, 50)),
        (" 10% , 10% ,50%,50%", (4, 24), (5, 30)),
    ],
)
def test_per_cent_are_of_the_sides(picture, words, rows, columns):
    part = Region.parse(words).of(picture)

    assert np.array_equal(np.asarray(part), np.asarray(picture)[slice(*rows), slice(*columns)])


@pytest.mark.parametrize("words", ["10,20,300,200", "10%,2.5%,50%,50%"])
def test_a_region_reads_as_it_was_written(words):
    assert str(Region.parse(words)) == words
    assert Region.parse(str(Region.parse(words))) == Region.parse(words)


@pytest.mark.parametrize(
    "words",
    [
        "",
        "1,2,3",
        "1,2,3,4,5",
        "1,2,3,x",
        "-1,0,5,5",
        "1%,2,3%,4",
        "nan,0,1,1",
        "1e3,0,1,1",
        "٣,0,1,1",
    ],
)
def test_words_that_are_no_region_are_told_what_one_looks_like(words):
    with pytest.raises(UsageError, match="10,20,300,200") as caught:
        Region.parse(words)
    assert caught.value.code == "search.region"


@pytest.mark.parametrize(
    "words",
    ["0,0,0,5", "0,0,5,0", "0%,0%,0%,5%", "60%,0%,41%,5%", "0%,0%,5%,101%", "0.5,0,2,2"],
)
def test_a_region_that_no_picture_has_is_refused_before_one_is_opened(words):
    with pytest.raises(UsageError) as caught:
        Region.parse(words)
    assert caught.value.code == "search.region"


@pytest.mark.parametrize(
    "numbers", [(-1, 0, 2, 2), (0, float("nan"), 2, 2), (0, 0, 2, float("inf"))]
)
def test_numbers_that_are_no_lengths_are_refused(numbers):
    with pytest.raises(UsageError):
        Region(*numbers)


@pytest.mark.parametrize("words", ["50,0,1,1", "0,40,1,1", "21,0,30,1", "0,1,1,40"])
def test_a_region_that_reaches_outside_names_the_size(picture, words):
    with pytest.raises(UsageError, match="50 x 40") as caught:
        Region.parse(words).of(picture)
    assert caught.value.code == "search.region"


def test_the_last_pixel_is_inside(picture):
    assert Region(49, 39, 1, 1).of(picture).getpixel((0, 0)) == (39, 49, 39)


def test_less_than_a_pixel_is_refused(picture):
    with pytest.raises(UsageError, match="less than a pixel"):
        Region.parse("10%,10%,0.1%,50%").of(picture)
