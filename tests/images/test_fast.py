"""Large JPEGs read at a smaller scale: which ones, how small, and how much that changes."""

import numpy as np
import pytest
from PIL import Image

from dinoseek.embedder import load_embedder
from dinoseek.errors import ImageError, UsageError
from dinoseek.images.decode import decode, decode_sized
from dinoseek.images.preprocess import PRESETS, find_preset

FAST = [name for name, preset in PRESETS.items() if preset.layout != "crop"]


def enlarged(photo, factor):
    height, width, _ = photo.shape
    return Image.fromarray(photo).resize((width * factor, height * factor))


@pytest.mark.parametrize("name", [*FAST, "official@518", "short-side@56"])
def test_a_fast_preset_is_named_so_and_found_by_its_name(name):
    fast = find_preset(name).with_fast()
    assert fast.name == f"{name}-fast"
    assert find_preset(fast.name) == fast != find_preset(name)
    assert find_preset(name).least_side is None


@pytest.mark.parametrize(
    "name", ["crop224-fast", "official-faithful-fast", "crop224@448-faithful-fast"]
)
def test_a_preset_that_needs_every_pixel_cannot_be_fast(name):
    with pytest.raises(UsageError) as caught:
        find_preset(name)
    assert caught.value.code == "preprocess.fast"
    assert "-fast" in caught.value.fix


def test_the_words_of_a_name_have_one_order():
    for name in ("official-fast-faithful", "official-fast@448", "official-fast-fast"):
        with pytest.raises(UsageError):
            find_preset(name)


@pytest.mark.parametrize("name", FAST)
@pytest.mark.parametrize("size", [(449, 448), (600, 3000), (2000, 1000), (5000, 4000), (30, 20)])
def test_at_least_twice_the_pixels_remain_that_the_preset_makes(name, size, encode):
    data = encode(Image.new("RGB", size, "red"), "JPEG")
    fast = find_preset(name).with_fast()
    image, known = decode_sized(data, least_side=fast.least_side)

    # twice what a preset of 224 pixels scales the short side to: 256, but for `cover`
    needed = 512 if fast.layout == "resize-crop" and fast.base != "cover" else 448
    scale = max(s for s in (1, 2, 4, 8) if s == 1 or min(size) // s >= needed)
    assert known == size
    assert image.size == tuple(-(-side // scale) for side in size)


@pytest.mark.parametrize("turn", range(1, 9))
def test_the_size_that_is_recorded_is_that_of_the_upright_original(turn, photo, encode, exif_block):
    data = encode(enlarged(photo, 4), "JPEG", exif=exif_block(turn), quality=95)
    image, size = decode_sized(data, least_side=120)
    upright = decode(data)
    assert size == upright.size == ((640, 480) if turn < 5 else (480, 640))
    assert image.size == (size[0] // 4, size[1] // 4)
    small = np.asarray(upright.reduce(4)).astype(int)
    assert np.abs(np.asarray(image) - small).mean() < 2
    assert decode_sized(data, least_side=120, faithful=True)[1] == (640, 480)


@pytest.mark.parametrize("name", [name for name in FAST if "short-side" not in name])
@pytest.mark.parametrize("size", [(1100, 700), (733, 1371), (517, 513), (400, 300), (90, 90)])
def test_a_fast_preset_cuts_as_the_slow_one_does(name, size):
    """To a fifth of a level on average, of noise; in photographs nothing differs."""
    noise = np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), np.uint8)
    slow = find_preset(name).apply(Image.fromarray(noise)).astype(int)
    fast = find_preset(name).with_fast().apply(Image.fromarray(noise)).astype(int)

    assert np.abs(slow - fast).max() <= 8
    assert np.abs(slow - fast).mean() < 0.3
    if min(size) < 448:
        np.testing.assert_array_equal(slow, fast)


@pytest.mark.parametrize("form", ["PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_other_formats_are_read_in_full(form, photo, encode):
    data = encode(photo, form)
    full, fast = decode(data), decode(data, least_side=1)
    np.testing.assert_array_equal(np.asarray(full), np.asarray(fast))


def test_a_large_jpeg_that_is_cut_is_refused_as_ever(photo, encode):
    data = encode(enlarged(photo, 4), "JPEG")
    with pytest.raises(ImageError) as caught:
        decode(data[: len(data) // 2], least_side=100)
    assert caught.value.code == "image.truncated"


def test_grey_and_cmyk_jpegs_keep_their_colours(photo, encode):
    large = enlarged(photo, 4)
    for mode in ("L", "CMYK"):
        data = encode(large.convert(mode), "JPEG", quality=95)
        small = np.asarray(decode(data).reduce(4)).astype(int)
        fast = np.asarray(decode(data, least_side=120)).astype(int)
        assert fast.shape == small.shape == (120, 160, 3)
        assert np.abs(fast - small).mean() < 2


def test_a_fast_embedder_is_another_space():
    full, fast = (load_embedder("color-histogram", fast_decode=flag) for flag in (False, True))
    assert fast.fingerprint.preprocess == "squash-fast"
    assert fast.fingerprint.id != full.fingerprint.id
    named = load_embedder("color-histogram", preprocess="squash-fast")
    assert named.fingerprint == fast.fingerprint
    twice = load_embedder("color-histogram", preprocess="squash-fast", fast_decode=True)
    assert twice.fingerprint == fast.fingerprint


@pytest.mark.weights
def test_vectors_of_photographs_hardly_change(shared):
    """Read at half the size: cosines of 0.999 and more, where those of two photographs are 0.87."""
    weights = shared / "weights/dav2-vits14-fp16.safetensors"
    photos = sorted((shared / "data/coco128/images").glob("*.jpg"))[:12]
    full = load_embedder(weights, preprocess="squash@112")
    fast = load_embedder(weights, preprocess="squash@112", fast_decode=True)

    one, other = full.embed(photos), fast.embed(photos)

    cosines = (one * other).sum(axis=1)
    assert cosines.min() > 0.999
    assert cosines.max() < 1 - 1e-6  # they were read another way
    assert fast.fingerprint.id != full.fingerprint.id
