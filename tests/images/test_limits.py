import struct
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from dinoseek.errors import ImageError
from dinoseek.images.decode import DEFAULT_LIMITS, Limits, decode, load_image


def test_IMG_12_a_huge_size_in_a_tiny_file_is_refused_at_once(make_png, refused, costs_at_most):
    data = make_png(100_000, 100_000, 8, 2, b"\0")
    with costs_at_most(0.1):
        assert refused(data) == "image.too_many_pixels"


@pytest.mark.parametrize(
    ("width", "height", "code"),
    [
        (2**31 - 1, 1, "image.too_many_pixels"),
        (1, 30_001, "image.too_many_pixels"),
        (0, 0, "image.unrecognised"),
        (0, 5, "image.unrecognised"),
    ],
)
def test_IMG_13_a_declared_size_that_cannot_be_is_refused(width, height, code, make_png, refused):
    assert refused(make_png(width, height, 8, 0, b"\0")) == code


@pytest.mark.parametrize("format", ["JPEG", "GIF", "BMP", "WEBP", "TIFF"])
def test_IMG_13_every_format_is_measured_before_it_is_decoded(format, encode, photo, monkeypatch):
    data = encode(photo, format)
    monkeypatch.setattr(Image.core, "new", lambda *_: pytest.fail("pixels were allocated"))
    monkeypatch.setattr(Image.core, "fill", lambda *_: pytest.fail("pixels were allocated"))
    with pytest.raises(ImageError) as error:
        decode(data, limits=Limits(max_pixels=120 * 160 - 1))
    assert error.value.code == "image.too_many_pixels"


def test_IMG_14_a_zip_bomb_is_refused_at_once(make_png, refused, costs_at_most):
    data = make_png(9400, 9400, 8, 0, bytes(9401 * 9400))
    with costs_at_most(0.1):
        assert refused(data) == "image.too_many_pixels"


def test_IMG_15_exactly_the_limit_is_accepted_and_one_more_is_not(make_png, refused):
    limits = Limits(max_pixels=20)
    assert refused(make_png(4, 5, 8, 0, bytes(25)), limits=limits) == ""
    assert refused(make_png(21, 1, 8, 0, bytes(22)), limits=limits) == "image.too_many_pixels"
    data = make_png(4, 5, 8, 0, bytes(25))
    assert refused(data, limits=Limits(max_bytes=len(data))) == ""
    assert refused(data, limits=Limits(max_bytes=len(data) - 1)) == "image.too_large_bytes"
    assert refused(data, limits=Limits(max_side=5)) == ""
    assert refused(data, limits=Limits(max_side=4)) == "image.too_many_pixels"


def test_a_refusal_says_which_flag_lets_the_picture_in(make_png):
    data = make_png(8001, 8000, 8, 0, b"\0")
    with pytest.raises(ImageError, match="--max-megapixels 65 lets it in"):
        decode(data)
    raised = replace(DEFAULT_LIMITS, max_pixels=65_000_000)
    with pytest.raises(ImageError, match="ends before its pixels"):
        decode(data, limits=raised)
    with pytest.raises(ImageError, match="--max-megabytes 1 lets it in"):
        decode(data, limits=Limits(max_bytes=10))


def test_more_pixels_than_pillow_warns_of_are_decoded_quietly_when_the_limit_allows(make_png):
    data = make_png(9500, 9500, 1, 0, bytes(9500 * (1 + 1188)))  # 1188 bytes of 8 pixels a row
    assert decode(data, limits=Limits(max_pixels=100_000_000)).size == (9500, 9500)


def test_a_format_that_is_not_in_the_limits_is_refused_by_its_name(encode, photo):
    web = replace(DEFAULT_LIMITS, formats=("JPEG", "PNG", "WEBP"))
    with pytest.raises(ImageError, match="TIFF is not among the formats read here") as error:
        decode(encode(photo, "TIFF"), limits=web)
    assert error.value.code == "image.format_not_allowed"


@pytest.mark.parametrize("wrong", [{"max_pixels": 0}, {"max_side": -1}, {"formats": ("EPS",)}])
def test_limits_that_make_no_sense_are_a_mistake(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Limits(**wrong)


def test_limits_hold_for_pictures_that_come_as_objects():
    with pytest.raises(ImageError) as error:
        load_image(np.zeros((30, 30), np.uint8), limits=Limits(max_pixels=899))
    assert error.value.code == "image.too_many_pixels"


def test_IMG_25_a_gif_whose_picture_is_larger_than_its_screen_is_measured_by_the_picture(refused):
    # A frame of 13000 x 13000 that Pillow would fill while it opens the file.
    control = b"\x21\xf9\x04\x08\0\0\0\0"
    picture = b"\x2c" + struct.pack("<HHHHB", 0, 0, 13000, 13000, 0) + b"\x08\x02\0\0\0"
    data = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0, 0, 0) + control + picture + b"\x3b"
    assert refused(data) == "image.too_many_pixels"
