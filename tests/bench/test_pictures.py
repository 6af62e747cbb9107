"""Drawn photographs: what a decoder has to do with them."""

import io

import numpy as np
import pytest
from PIL import Image

from dinoseek.bench.pictures import photograph


@pytest.mark.parametrize(("width", "height"), [(1600, 1200), (900, 1200), (9, 7)])
def test_a_picture_has_its_size_and_is_a_photographs_jpeg(width, height) -> None:
    image = Image.open(io.BytesIO(photograph(1, width, height)))

    assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (width, height))


def test_pictures_are_repeatable_and_differ_by_their_seed() -> None:
    assert photograph(1, 64, 48) == photograph(1, 64, 48)
    assert photograph(1, 64, 48) != photograph(2, 64, 48)


def test_a_picture_has_the_bytes_and_the_contrast_of_a_photograph() -> None:
    data = photograph(3, 1600, 1200)
    levels = np.asarray(Image.open(io.BytesIO(data)).convert("L"), np.float32)

    assert 0.15 < len(data) / (1600 * 1200) < 0.45
    assert 25 < levels.std() < 80
    assert 40 < levels.mean() < 215
