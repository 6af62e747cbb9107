import struct

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image, ImageFile

from dinoseek.images import jpeg
from dinoseek.images.decode import Limits, decode


def pixels(data, **options):
    return np.asarray(decode(data, **options)).astype(int)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
@pytest.mark.parametrize("progressive", [False, True])
def test_IMG_03_truncated_jpeg_is_refused(share, progressive, photo, encode, refused):
    data = encode(photo, "JPEG", progressive=progressive)
    assert refused(data[: int(len(data) * share)]) == "image.truncated"
    assert refused(data[:-2]) == "image.truncated"
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


def test_IMG_05_a_header_alone_is_truncated(photo, encode, refused):
    assert refused(encode(photo, "JPEG")[:200]) == "image.truncated"


def test_IMG_07_a_byte_flipped_among_jpeg_pixels_is_accepted(photo, encode, refused):
    data = encode(photo, "JPEG", quality=95)
    at = len(data) * 3 // 4
    assert refused(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]) == ""


def with_scans(photo, encode, count):
    """A progressive JPEG file of `count` scans: its last one many times over."""
    data = encode(photo, "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * (count - data.count(b"\xff\xda")) + b"\xff\xd9"


@pytest.mark.parametrize(
    ("count", "code"),
    [(65, ""), (256, ""), (257, "image.too_many_scans"), (20_000, "image.too_many_scans")],
)
def test_IMG_18_scans_are_counted_before_decoding(
    count, code, photo, encode, refused, costs_at_most
):
    with costs_at_most(0.5):
        assert refused(with_scans(photo, encode, count)) == code
    assert refused(with_scans(photo, encode, 65), limits=Limits(max_scans=64)) != ""


@given(st.binary(max_size=40), st.sampled_from([b"\xff\xda", b"ab", b"aa", b"\0\0"]))
@example(b"\xff\xda\xff\xda\0\xff\xda", b"\xff\xda")
def test_pairs_of_bytes_are_counted_wherever_they_begin(data, pair):
    starts = [at for at in range(len(data)) if data[at : at + 2] == pair]
    assert jpeg._count(data, pair) == len(starts)


def test_IMG_18_a_large_picture_may_have_fewer_scans(photo, encode, refused):
    data = with_scans(photo, encode, 20)
    pixels = photo.shape[0] * photo.shape[1]
    assert refused(data, limits=Limits(max_scanned_pixels=20 * pixels)) == ""
    fewer = Limits(max_scanned_pixels=20 * pixels - 1)
    assert refused(data, limits=fewer) == "image.too_many_scans"


def test_IMG_18_what_looks_like_scans_outside_the_picture_is_not_counted(photo, encode, refused):
    data = encode(photo, "JPEG")
    fake = b"\xff\xda" * 300
    comment = b"\xff\xfe" + struct.pack(">H", 2 + len(fake)) + fake
    tail = bytes(70_000) + b"\xff\xda\0\2" * 300
    assert refused(data[:2] + comment + data[2:] + tail) == ""


def test_IMG_19_fill_bytes_and_floods_of_segments_end_soon(photo, encode, refused, costs_at_most):
    data = encode(photo, "JPEG")
    assert refused(data[:2] + b"\xff" * 65_536 + data[2:]) == ""
    large = b"\xff\xe5\xff\xff" + bytes(65_533)
    assert refused(data[:2] + large * 150 + data[2:]) == ""
    with costs_at_most(1):
        assert refused(data[:2] + b"\xff\xe5\0\2" * 1_000_000 + data[2:]) == "image.corrupt"


@pytest.mark.parametrize(
    ("frame", "change"),
    [
        ("12-bit", lambda head: head[:4] + b"\x0c" + head[5:]),
        ("lossless", lambda head: b"\xff\xc3" + head[2:]),
        ("hierarchical", lambda head: b"\xff\xc5" + head[2:]),
        ("2 components", lambda head: b"\xff\xc0\0\x0e" + head[4:9] + b"\2" + head[10:16]),
    ],
)
def test_IMG_20_a_jpeg_process_without_a_decoder_is_unsupported(
    frame, change, photo, encode, refused
):
    data = encode(photo, "JPEG")
    at = data.index(b"\xff\xc0")
    changed = data[:at] + change(data[at : at + 19]) + data[at + 19 :]
    assert refused(changed) == "image.unsupported", frame


def test_IMG_20_grey_and_cmyk_jpeg_have_their_colours(photo, encode):
    grey = photo[:, :, 0]
    decoded = pixels(encode(grey, "JPEG", quality=100))
    assert np.abs(decoded - grey[:, :, None]).max() <= 2
    ink = 255 - photo.astype(int)
    black = ink.min(axis=2, keepdims=True) // 2
    cmyk = np.concatenate([ink - black, black], axis=2).astype(np.uint8)
    data = encode(Image.fromarray(cmyk, "CMYK"), "JPEG", quality=100, subsampling=0)
    assert b"Adobe" in data  # it holds the inverted values, as Photoshop writes them
    expected = (255 - (ink - black)) * (255 - black) / 255
    assert np.abs(pixels(data) - expected).max() <= 4  # 2 of JPEG itself
