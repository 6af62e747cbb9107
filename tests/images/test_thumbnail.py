"""Thumbnails: how large they are, what they show, and what they do not tell."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from dinoseek.images.decode import decode
from dinoseek.images.thumbnail import thumbnail_jpeg


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((640, 480), (256, 192)),
        ((480, 640), (192, 256)),
        ((256, 256), (256, 256)),
        ((100, 50), (100, 50)),
        ((1, 1), (1, 1)),
        ((1, 20_000), (1, 256)),
        ((20_000, 3), (256, 1)),
    ],
)
def test_the_long_side_is_256_at_most_and_the_ratio_stays(size, expected):
    small = decode(thumbnail_jpeg(Image.new("RGB", size, "red")))
    assert (small.format, small.size) == ("JPEG", expected)


def test_another_side_may_be_asked_for():
    small = decode(thumbnail_jpeg(Image.new("RGB", (300, 200)), side=60))
    assert small.size == (60, 40)


def test_it_shows_the_picture(photo):
    image = Image.fromarray(photo).resize((1280, 960), Image.Resampling.BICUBIC)
    small = np.asarray(decode(thumbnail_jpeg(image))).astype(int)
    expected = np.asarray(image.reduce(5).resize((256, 192))).astype(int)
    assert np.abs(small - expected).mean() < 3


def test_IMG_28_it_has_nothing_but_the_pixels(photo, exif_block):
    image = Image.fromarray(photo)
    image.info = {
        "comment": b"<script>",
        "exif": exif_block(6),
        "icc_profile": b"profile",
        "dpi": (300, 300),
        "xmp": b"place",
    }
    data = thumbnail_jpeg(image)
    for secret in (b"script", b"Exif", b"profile", b"place"):
        assert secret not in data
    assert set(Image.open(BytesIO(data)).info) <= {"jfif", "jfif_version", "jfif_unit"} | {
        "jfif_density"
    }
    assert image.info["comment"] == b"<script>"  # what is given stays as it is


def test_what_does_not_compress_gets_a_lower_quality():
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (256, 256, 3), dtype=np.uint8))
    file = BytesIO()
    noise.save(file, "JPEG", quality=80)
    assert len(thumbnail_jpeg(noise)) < 0.75 * len(file.getvalue())


def test_a_large_one_may_have_as_many_bytes_for_each_pixel_as_a_small_one(photo):
    small = Image.fromarray(photo).resize((1280, 960), Image.Resampling.BICUBIC)
    grain = np.random.default_rng(0).normal(0, 6, (960, 1280, 3))
    image = Image.fromarray(np.clip(np.asarray(small) + grain, 0, 255).astype(np.uint8))
    data = thumbnail_jpeg(image, side=1280)
    assert len(data) > 24_000
    file = BytesIO()
    image.save(file, "JPEG", quality=80)
    assert Image.open(BytesIO(data)).quantization == Image.open(file).quantization
