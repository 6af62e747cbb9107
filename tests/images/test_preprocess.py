import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from dinoseek.errors import ImageError, UsageError
from dinoseek.images.preprocess import PRESETS, Preset, find_preset, to_pixels

SIZES = [
    (640, 480),
    (1920, 1080),
    (480, 640),
    (427, 640),
    (500, 333),
    (224, 224),
    (10, 13),
    (100, 3000),
]


def noise(width, height):
    rng = np.random.default_rng(width * 10_000 + height)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def torchvision_resize(image, short, resample):
    width, height = image.size
    long = int(short * max(width, height) / min(width, height))
    new_width, new_height = (short, long) if width <= height else (long, short)
    return np.asarray(image.resize((new_width, new_height), resample))


def torchvision_crop(array, size):
    height, width, _ = array.shape
    across, down = max(size - width, 0), max(size - height, 0)
    pads = [(down // 2, (down + 1) // 2), (across // 2, (across + 1) // 2), (0, 0)]
    array = np.pad(array, pads)
    height, width, _ = array.shape
    top = int(round((height - size) / 2.0))  # noqa: RUF046
    left = int(round((width - size) / 2.0))  # noqa: RUF046
    return array[top : top + size, left : left + size]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("name", "resample"),
    [("official", Image.Resampling.BICUBIC), ("resize256-bilinear", Image.Resampling.BILINEAR)],
)
def test_official_is_bit_equal_to_torchvisions_transform(name, resample, size):
    image = noise(*size)
    expected = torchvision_crop(torchvision_resize(image, 256, resample), 224)
    np.testing.assert_array_equal(PRESETS[name].apply(image), expected)


@pytest.mark.parametrize("size", SIZES)
def test_cover_cuts_only_what_is_longer_than_the_square(size):
    image = noise(*size)
    expected = torchvision_crop(torchvision_resize(image, 224, Image.Resampling.BICUBIC), 224)
    np.testing.assert_array_equal(PRESETS["cover"].apply(image), expected)


def test_official_at_518_is_the_same_transform_of_other_sizes():
    image = noise(700, 500)
    expected = torchvision_crop(torchvision_resize(image, 592, Image.Resampling.BICUBIC), 518)
    np.testing.assert_array_equal(find_preset("official@518").apply(image), expected)


@pytest.mark.torch
@pytest.mark.parametrize("size", [(640, 480), (1920, 1080), (1080, 1920), (500, 333), (300, 299)])
def test_hf_is_what_the_transformers_processor_gives(size):
    pytest.importorskip("transformers")
    from transformers.models.bit.image_processing_pil_bit import BitImageProcessorPil

    processor = BitImageProcessorPil(
        size={"shortest_edge": 256},
        crop_size={"height": 224, "width": 224},
        resample=3,
        image_mean=[0.485, 0.456, 0.406],
        image_std=[0.229, 0.224, 0.225],
    )
    image = noise(*size)
    expected = processor(image, return_tensors="np")["pixel_values"]
    np.testing.assert_allclose(to_pixels([PRESETS["hf"].apply(image)]), expected, atol=1e-6)


def test_crop224_is_the_centre_without_resizing(photo):
    for width, height in [(498, 415), (421, 499), (224, 225)]:
        image = noise(width, height)
        top, left = (height - 224) // 2, (width - 224) // 2
        expected = np.asarray(image)[top : top + 224, left : left + 224]
        np.testing.assert_array_equal(PRESETS["crop224"].apply(image), expected)


def test_crop224_puts_black_around_a_smaller_picture():
    image = Image.new("RGB", (101, 300), "white")
    cropped = PRESETS["crop224"].apply(image)
    assert cropped.shape == (224, 224, 3)
    white = (cropped == 255).all(axis=(0, 2))
    assert np.flatnonzero(white).tolist() == list(range(62, 163))  # (101 - 224) // 2 is -62
    assert (cropped[:, ~white] == 0).all()


@pytest.mark.parametrize(
    ("name", "size", "resample"),
    [
        ("short-side", (252, 224), Image.Resampling.BICUBIC),
        ("short-side-bilinear", (252, 224), Image.Resampling.BILINEAR),
        ("short-side-round", (266, 224), Image.Resampling.BICUBIC),
        ("squash", (224, 224), Image.Resampling.BILINEAR),
        ("short-side@448", (518, 448), Image.Resampling.BICUBIC),
        ("squash@336", (336, 336), Image.Resampling.BILINEAR),
    ],
)
def test_the_other_presets_resize_in_one_step(name, size, resample):
    image = noise(499, 421)
    expected = np.asarray(image.resize(size, resample))
    np.testing.assert_array_equal(find_preset(name).apply(image), expected)


@pytest.mark.parametrize(("size", "shrunk"), [((640, 480), (224, 168)), ((90, 60), (90, 60))])
def test_thumbnail_squash_shrinks_then_squashes(size, shrunk):
    image = noise(*size)
    thumbnail = image.copy()
    thumbnail.thumbnail((224, 224), Image.Resampling.LANCZOS)
    assert thumbnail.size == shrunk
    expected = np.asarray(thumbnail.resize((224, 224), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(PRESETS["thumbnail-squash"].apply(image), expected)
    assert image.size == size  # the caller's picture is left alone


def test_IMG_11_a_long_screenshot_gets_at_most_1370_tokens():
    for name in ("short-side", "short-side-round", "short-side@518"):
        height, width, _ = find_preset(name).apply(noise(100, 3000)).shape
        assert 1 + (height // 14) * (width // 14) <= 1370
        assert height / width == 30


@pytest.mark.parametrize("size", [(1, 20_000), (20_000, 1), (2, 200), (10, 10_000), (20_000, 65)])
def test_IMG_10_panoramas_end_soon(size, costs_at_most):
    image = noise(*size)
    for name, preset in PRESETS.items():
        with costs_at_most(1):
            if preset.layout in ("crop", "squash"):
                assert preset.apply(image).shape == (224, 224, 3), name
            else:
                with pytest.raises(ImageError, match="over 50 times") as error:
                    preset.apply(image)
                assert error.value.code == "image.aspect"


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak memory from /proc")
def test_IMG_10_panoramas_need_less_than_200_MB():
    program = """
import resource
from PIL import Image
from dinoseek.errors import ImageError
from dinoseek.images.preprocess import PRESETS
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = peak()
for size in [(1, 30000), (30000, 1), (2, 200), (10, 10000), (65, 30000), (600, 30000), (100, 3000)]:
    for preset in PRESETS.values():
        try:
            preset.apply(Image.new("RGB", size))
        except ImageError:
            pass
print((peak() - before) // 1024)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 200


@pytest.mark.parametrize("name", PRESETS)
def test_each_preset_gives_sides_of_multiples_of_14_without_touching_the_picture(name):
    for size in [(640, 480), (7, 9), (333, 500), (1, 1)]:
        image = noise(*size)
        before = image.tobytes()
        prepared = PRESETS[name].apply(image)
        assert prepared.dtype == np.uint8
        assert prepared.shape[0] % 14 == prepared.shape[1] % 14 == 0
        assert prepared.shape[2] == 3
        assert image.tobytes() == before


def test_a_picture_of_another_mode_is_a_mistake():
    with pytest.raises(ValueError, match="mode L"):
        PRESETS["official"].apply(Image.new("L", (300, 300)))


@pytest.mark.parametrize(
    "name",
    [
        *PRESETS,
        "official@518",
        "short-side@448",
        "squash@336",
        "official-faithful",
        "crop224@56-faithful",
        "short-side-round@14",
    ],
)
def test_a_preset_is_found_by_the_name_it_gives(name):
    preset = find_preset(name)
    assert preset.name == name
    assert preset.faithful == name.endswith("-faithful")
    assert preset == find_preset(preset.name)


def test_the_default_size_goes_without_saying():
    assert find_preset("official@224") == PRESETS["official"]
    assert PRESETS["official"].with_faithful().name == "official-faithful"
    assert PRESETS["hf"].at_size(448).with_faithful().name == "hf@448-faithful"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("offical", "did you mean official"),
        ("shortside@448", "did you mean short-side"),
        ("", "known are official, hf, cover"),
        ("official@", "known are"),
        ("official@224@224", "known are"),
        ("official@225", "the nearest is 224"),
        ("official@532", "the nearest is 518"),
        ("official@0", "the nearest is 14"),
        ("official@999999999", "the nearest is 518"),
    ],
)
def test_a_name_that_is_none_says_what_there_is(name, words):
    with pytest.raises(UsageError, match=words):
        find_preset(name)


def test_presets_are_values():
    with pytest.raises(dataclasses.FrozenInstanceError):
        PRESETS["official"].size = 448
    with pytest.raises(ValueError, match="multiple of 14"):
        Preset(base="mine", layout="crop", size=100)
    assert len({preset.name for preset in PRESETS.values()}) == len(PRESETS) == 10


def test_pixels_are_those_of_totensor_and_normalize_in_float32():
    """The reference: byte by byte, each step rounded to float32."""
    image = np.arange(256 * 3, dtype=np.int64).reshape(16, 16, 3).astype(np.uint8)
    pixels = to_pixels([image])
    assert pixels.dtype == np.float32
    assert pixels.shape == (1, 3, 16, 16)
    for channel, (mean, std) in enumerate([(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)]):
        for byte, pixel in zip(image[..., channel].flat, pixels[0, channel].flat, strict=True):
            unit = np.float32(byte) / np.float32(255)
            assert pixel == (unit - np.float32(mean)) / np.float32(std)


@pytest.mark.torch
def test_pixels_are_bit_equal_to_torchs():
    torch = pytest.importorskip("torch")
    images = [
        np.asarray(noise(28, 42)),
        np.asarray(noise(28, 42).transpose(Image.Transpose.ROTATE_180)),
    ]
    bytes_ = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
    tensor = bytes_.to(torch.float32).div(255)
    mean = torch.tensor([0.485, 0.456, 0.406]).view(-1, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(-1, 1, 1)
    np.testing.assert_array_equal(to_pixels(images), tensor.sub_(mean).div_(std).numpy())


@pytest.mark.parametrize(
    "images",
    [
        [],
        [np.zeros((14, 14, 3), np.uint8), np.zeros((14, 28, 3), np.uint8)],
        [np.zeros((14, 14), np.uint8)],
        [np.zeros((3, 14, 14), np.uint8)],
    ],
)
def test_images_of_different_sizes_or_shapes_are_a_mistake(images):
    with pytest.raises(ValueError, match="all of one size"):
        to_pixels(images)
