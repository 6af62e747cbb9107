import struct

import numpy as np
import pytest

from dinoseek.images.decode import decode
from dinoseek.images.exif import orientation

# How the stored picture (H, W, 3) lies when the upright one is `p`: what the standard says about
# where the stored first row and column are.
STORED = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.swapaxes(0, 1),
    6: lambda p: p.swapaxes(0, 1)[::-1],
    7: lambda p: p[::-1, ::-1].swapaxes(0, 1),
    8: lambda p: p[::-1].swapaxes(0, 1),
}


@pytest.mark.parametrize("format", ["PNG", "WEBP", "JPEG"])
@pytest.mark.parametrize("number", range(1, 9))
def test_IMG_26_all_orientations_show_the_same_picture(number, format, photo, encode, exif_block):
    stored = np.ascontiguousarray(STORED[number](photo))
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100, "subsampling": 0}}
    data = encode(stored, format, exif=exif_block(number), **options.get(format, {}))
    shown = np.asarray(decode(data)).astype(int)
    assert np.abs(shown - photo).max() <= (4 if format == "JPEG" else 0)
    np.testing.assert_array_equal(
        np.asarray(decode(data, faithful=True)),
        np.asarray(decode(encode(stored, format, **options.get(format, {})))),
    )


@pytest.mark.parametrize("number", range(1, 9))
def test_IMG_26_tiff_is_turned_once(number, photo, encode):
    stored = np.ascontiguousarray(STORED[number](photo))
    data = encode(stored, "TIFF", tiffinfo={0x0112: number})
    np.testing.assert_array_equal(np.asarray(decode(data)), photo)


def broken_blocks(exif_block):
    sound = exif_block(6)
    yield from (exif_block(number) for number in (0, 9, 99, 65535))
    yield exif_block(6, kind=4)
    yield from (sound[:end] for end in range(6, len(sound) - 5))
    yield sound[:10] + struct.pack(">I", 2**32 - 1) + sound[14:]
    yield sound[:10] + struct.pack(">I", 0) + sound[14:]
    yield sound[:14] + b"\xff\xff" + sound[28:]
    yield sound[:28] + struct.pack(">I", 8)  # the next directory is this one
    yield b"Exif\0\0" + bytes(60_000)
    yield b"Exif\0\0" + bytes(range(256)) * 200


def test_IMG_27_a_broken_exif_block_counts_as_upright(photo, encode, exif_block):
    upright = np.asarray(decode(encode(photo, "JPEG")))
    blocks = list(broken_blocks(exif_block))
    for number, block in enumerate(blocks):
        turned = orientation(block) != 1
        assert not turned or block[:26] == exif_block(6)[:26], number
        if not turned:
            data = encode(photo, "JPEG", exif=block)
            np.testing.assert_array_equal(np.asarray(decode(data)), upright)


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_orientation_is_found_in_both_byte_orders_and_without_the_prefix(order):
    mark = b"II*\0" if order == "<" else b"MM\0*"
    other = struct.pack(order + "HHII", 0x010F, 2, 4, 0)
    entry = struct.pack(order + "HHIHH", 0x0112, 3, 1, 8, 0)
    block = mark + struct.pack(order + "IH", 8, 2) + other + entry + bytes(4)
    assert orientation(block) == orientation(b"Exif\0\0" + block) == 8


@pytest.mark.parametrize(("kind", "count"), [(4, 1), (1, 1), (3, 2)])
def test_IMG_27_an_orientation_of_another_type_or_count_is_none(kind, count):
    entry = struct.pack("<HHIHH", 0x0112, kind, count, 8, 0)
    assert orientation(b"II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(4)) == 1
