"""The perceptual hash against a naive one, against changes of real photographs, and its limits."""

import math
from io import BytesIO
from itertools import combinations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from dinoseek.images.decode import decode, load_image
from dinoseek.images.perceptual_hash import FLAT, LENGTH, distance, distances, is_flat, look


def naive_look(image):
    """Zauner's formulas, a sum at a time."""
    small = image.resize((64, 64), Image.Resampling.LANCZOS, reducing_gap=2.0).convert("L")
    grey = np.asarray(small, float).tolist()
    cosines = [[math.cos(math.pi * f * (2 * x + 1) / 128) for x in range(64)] for f in range(17)]
    rows = [
        [sum(value * cosines[f][x] for x, value in enumerate(row)) for f in range(1, 17)]
        for row in grey
    ]
    values = [
        sum(row[f] * cosines[g][y] for y, row in enumerate(rows))
        for g in range(1, 17)
        for f in range(16)
    ]
    middle = sum(sorted(values)[127:129]) / 2
    bits = "".join("1" if value > middle else "0" for value in values)
    return int(bits, 2).to_bytes(32, "big")


def naive_distance(first, second):
    return (int.from_bytes(first, "big") ^ int.from_bytes(second, "big")).bit_count()


def smooth(seed, size=(160, 120)):
    noise = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)


@pytest.mark.parametrize("seed", range(3))
def test_the_hash_is_that_of_the_formulas(seed):
    image = smooth(seed)
    # float32 may put a frequency at the median on its other side
    assert distance(look(image), naive_look(image)) <= 2
    assert len(look(image)) == LENGTH


def test_half_of_the_bits_are_set():
    assert {sum(byte.bit_count() for byte in look(smooth(seed))) for seed in range(9)} == {128}


def test_distances_count_differing_bits():
    hashes = np.random.default_rng(0).integers(0, 256, (20, LENGTH), dtype=np.uint8)
    rows = [row.tobytes() for row in hashes]
    expected = [[naive_distance(a, b) for b in rows] for a in rows]
    assert [distances(row, hashes).tolist() for row in rows] == expected
    assert [[distance(a, b) for b in rows] for a in rows] == expected
    assert distance(FLAT, b"\xff" * LENGTH) == 256  # a count that no byte holds
    assert distances(FLAT, hashes[:0]).shape == (0,)


def drawing(draw):
    image = Image.new("RGB", (400, 300), "white")
    draw(ImageDraw.Draw(image))
    return image


Y, X = np.mgrid[:300, :400]


def grey(values):
    grey = values.astype(np.uint8)
    return Image.fromarray(np.stack([grey] * 3, axis=-1))


@pytest.mark.parametrize(
    "image",
    [
        grey(0 * X),
        grey(0 * X + 255),
        grey(128 + (7 * X + 3 * Y) % 2),
        grey(X * 255 // 399),
        grey((X + Y) * 255 // 698),
        grey(Y // 20 % 2 * 255),
        grey((Y > 150) * 255),
        Image.new("RGB", (1, 1), "red"),
    ],
    ids=["black", "white", "noise", "gradient", "diagonal", "stripes", "horizon", "pixel"],
)
def test_IMG_36_a_picture_without_structure_has_the_hash_that_says_nothing(image):
    assert look(image) == FLAT
    assert is_flat(image)
    file = BytesIO()
    image.save(file, "JPEG", quality=75)
    assert is_flat(decode(file.getvalue()))


@pytest.mark.parametrize(
    "image",
    [
        drawing(lambda draw: draw.ellipse((190, 90, 210, 110), fill="black")),
        drawing(lambda draw: draw.text((50, 50), "hello world", fill="black")),
        smooth(0),
        smooth(0, (100, 3000)),
    ],
    ids=["dot", "words", "smooth", "narrow"],
)
def test_a_picture_with_little_structure_still_has_a_hash(image):
    assert not is_flat(image)
    half = image.resize((max(1, image.width // 2), image.height // 2))
    assert distance(look(image), look(half)) <= 8


def encoded(image, form, **options):
    file = BytesIO()
    image.save(file, form, **options)
    return decode(file.getvalue())


def scaled(image, factor):
    return image.resize([round(side * factor) for side in image.size])


def cut(image, share):
    x, y = (round(side * share / 2) for side in image.size)
    return image.crop((x, y, image.width - x, image.height - y))


# The largest number of bits that may change; what was found among 128 photographs is in the
# docstring of perceptual_hash.
CHANGES = {
    "JPEG 30": (8, lambda image: encoded(image, "JPEG", quality=30)),
    "JPEG 95": (8, lambda image: encoded(image, "JPEG", quality=95)),
    "WebP 50": (8, lambda image: encoded(image, "WEBP", quality=50)),
    "grey": (8, lambda image: image.convert("L").convert("RGB")),
    "a tenth": (8, lambda image: scaled(image, 0.1)),
    "a quarter": (8, lambda image: scaled(image, 0.25)),
    "twice": (8, lambda image: scaled(image, 2)),
    "small and JPEG 30": (14, lambda image: encoded(scaled(image, 0.25), "JPEG", quality=30)),
    "darker": (24, lambda image: ImageEnhance.Brightness(image).enhance(0.7)),
    "brighter": (24, lambda image: ImageEnhance.Brightness(image).enhance(1.3)),
    "cut by 2 %": (34, lambda image: cut(image, 0.02)),
    "border of 1 %": (40, lambda image: ImageOps.expand(image, min(image.size) // 100, "black")),
}


@pytest.fixture
def photographs(shared):
    return [load_image(path) for path in sorted((shared / "data/coco128/images").glob("*.jpg"))]


@pytest.mark.weights
@pytest.mark.parametrize("name", CHANGES)
def test_copies_of_photographs_are_near(name, photographs):
    most, change = CHANGES[name]
    found = [distance(look(image), look(change(image))) for image in photographs[:32]]
    assert max(found) <= most


@pytest.mark.weights
def test_other_and_mirrored_photographs_are_far(photographs):
    hashes = [look(image) for image in photographs]
    assert min(distance(a, b) for a, b in combinations(hashes, 2)) >= 90
    mirrored = [look(ImageOps.mirror(image)) for image in photographs]
    assert min(map(distance, hashes, mirrored)) >= 90
