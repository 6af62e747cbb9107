import logging
import struct
import subprocess
import sys
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from dinoseek.errors import ImageError
from dinoseek.images.decode import decode

LOSSLESS = {"PNG": {}, "WEBP": {"lossless": True}, "BMP": {}, "TIFF": {}}
CUTTABLE = LOSSLESS | {"JPEG": {}, "GIF": {}}


def pixels(data, **options):
    return np.asarray(decode(data, **options)).astype(int)


def test_IMG_01_nothing_is_refused(refused):
    assert refused(b"") == "image.empty"


@pytest.mark.parametrize(
    "data",
    [b"x", bytes([3, 1, 4, 1, 5, 9, 2, 6]), b"just text", b"<!doctype html><title>404</title>"],
)
def test_IMG_02_what_is_no_picture_is_unrecognised(data, refused):
    assert refused(data) == "image.unrecognised"


@pytest.mark.parametrize("format", CUTTABLE)
def test_IMG_04_a_cut_file_is_truncated_or_has_all_its_pixels(format, photo, encode, refused):
    data = encode(photo, format, **CUTTABLE[format])
    whole = pixels(data)
    for end in np.linspace(32, len(data) - 1, 20).astype(int):
        if refused(data[:end]) != "image.truncated":
            np.testing.assert_array_equal(pixels(data[:end]), whole)
            assert end > len(data) - 32


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_IMG_04_a_compressed_file_cut_anywhere_is_truncated(format, photo, encode, refused):
    options = {"compression": "tiff_lzw"} if format == "TIFF" else {}
    data = encode(photo, format, **options)
    for end in np.linspace(32, len(data) - 64, 20).astype(int):
        assert refused(data[:end]) == "image.truncated"


def test_IMG_04_a_compressed_tiff_whose_strip_is_cut_is_truncated(make_tiff, refused):
    rows = np.random.default_rng(0).integers(0, 256, (50, 50), dtype=np.uint8)
    data = make_tiff(rows, 8, compression=8)
    assert refused(data) == ""
    assert refused(data[:-300]) == "image.truncated"


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"),
        (b"\0\0\0\x1cftypavif\0\0\0\0", "AVIF"),
        (b"\xff\x0a\xfa\x1f", "JPEG XL"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"8BPS\0\1", "PSD"),
        (b"SIMPLE  =                    T", "FITS"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "EPS"),
        (b"%PDF-1.7", "PDF"),
        (b"\0\0\1\0\1\0\x10\x10", "ICO"),
        (b"<?xml version='1.0'?>\n<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"DDS |\0\0\0", "DDS"),
        (b"icns\0\0\1\0", "ICNS"),
    ],
)
def test_IMG_30_a_format_that_is_not_read_is_named_and_no_parser_entered(data, name, monkeypatch):
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("Pillow chose a parser"))
    with pytest.raises(ImageError, match=f"{name} is not among the formats") as error:
        decode(data, subject="photo.jpg")
    assert error.value.code == "image.format_not_allowed"


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF"])
def test_IMG_34_IMG_35_what_follows_the_picture_is_ignored(format, photo, encode):
    data = encode(photo, format)
    other = encode(photo[::-1].copy(), format)
    for tail in (other, bytes(10**6), b"PK\3\4 <html><script>alert(1)</script>"):
        np.testing.assert_array_equal(pixels(data + tail), pixels(data))


def test_IMG_37_webp_has_its_colours_and_limits(photo, encode, refused):
    np.testing.assert_array_equal(pixels(encode(photo, "WEBP", lossless=True)), photo)
    alpha = np.dstack([photo, np.full(photo.shape[:2], 51, np.uint8)])
    over_white = 255 + (photo.astype(int) - 255) * 51 / 255
    data = encode(Image.fromarray(alpha), "WEBP", lossless=True)
    assert np.abs(pixels(data) - over_white).max() <= 2
    large = 7999  # each side less one: more than our limit, less than Pillow's
    canvas = large.to_bytes(3, "little") * 2
    bits = (large | large << 14).to_bytes(4, "little")
    for head in (
        b"VP8X\x0a\0\0\0\x10\0\0\0" + canvas,
        b"VP8L\x10\0\0\0\x2f" + bits,
        b"VP8 \x20\0\0\0\x10\0\0\x9d\x01\x2a" + struct.pack("<HH", large, large),
    ):
        body = b"WEBP" + head + bytes(40)
        file = b"RIFF" + struct.pack("<I", len(body)) + body
        assert refused(file) == "image.too_many_pixels"


def bmp(width, height, bits, rows, *, compression=0, masks=b"", colours=b"", size_field=None):
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, 0, 0, 0, 0, 0)
    offset = 14 + len(head) + len(masks) + len(colours)
    size = offset + len(rows) if size_field is None else size_field
    return b"BM" + struct.pack("<IHHI", size, 0, 0, offset) + head + masks + colours + rows


def test_IMG_38_bmp_top_down_masked_and_with_a_wrong_size_field():
    blue, red = b"\xff\0\0", b"\0\0\xff"
    up = bmp(1, 2, 24, blue + b"\0" + red + b"\0")
    assert pixels(up).reshape(2, 3).tolist() == [[255, 0, 0], [0, 0, 255]]
    down = bmp(1, -2, 24, blue + b"\0" + red + b"\0", size_field=7)
    assert pixels(down).reshape(2, 3).tolist() == [[0, 0, 255], [255, 0, 0]]
    masks = struct.pack("<III", 0xFF000000, 0xFF0000, 0xFF00)
    masked = bmp(1, 1, 32, b"\x07\x01\x02\x03", compression=3, masks=masks)
    assert pixels(masked).ravel().tolist() == [3, 2, 1]


@pytest.mark.parametrize("alphas", [(0, 0), (0, 255), (51, 0)])
def test_IMG_38_a_32_bit_bmp_is_opaque_if_its_fourth_bytes_are_all_zero(alphas):
    rows = b"".join(bytes([7, 8, 9, alpha]) for alpha in alphas)
    head = struct.pack("<IiiHHIIiiII", 56, 2, 1, 1, 32, 3, 0, 0, 0, 0, 0)
    head += struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    data = b"BM" + struct.pack("<IHHI", 14 + 56 + 8, 0, 0, 14 + 56) + head + rows
    shares = np.array(alphas if any(alphas) else (255, 255))[:, None] / 255
    expected = np.array([9, 8, 7]) * shares + 255 * (1 - shares)
    assert np.abs(pixels(data)[0] - expected).max() <= 2


def test_IMG_38_a_run_length_bomb_ends_soon(refused, costs_at_most):
    colours = bytes(range(256)) * 4
    with costs_at_most(2):
        jumps = bmp(7000, 7000, 8, b"\0\2\0\xff" * 1000, compression=1, colours=colours)
        assert refused(jumps) in ("", "image.truncated", "image.corrupt")
        runs = bmp(7000, 7000, 8, b"\1\1" * 400_000, compression=1, colours=colours)
        assert refused(runs) == "image.truncated"
    assert refused(runs + bytes(10**6)) == "image.unsupported"


def test_IMG_41_no_memory_is_a_refusal(photo, encode, refused, monkeypatch):
    def no_memory(*_):
        raise MemoryError

    data = encode(photo, "JPEG")
    monkeypatch.setattr(Image.core, "new", no_memory)
    assert refused(data) == "image.decode_oom"


def test_IMG_43_broken_tiff_writes_nothing_to_stderr(photo, encode, refused, capfd):
    data = bytearray(encode(photo, "TIFF", compression="tiff_lzw"))
    rng = np.random.default_rng(0)
    codes = set()
    logging.lastResort.setLevel(logging.WARNING)
    for _ in range(200):
        broken = data.copy()
        for at in rng.integers(8, len(data), 5):
            broken[at] = rng.integers(256)
        codes.add(refused(bytes(broken)))
    assert "image.corrupt" in codes
    assert capfd.readouterr().err == ""


def test_IMG_43_broken_tiff_is_quiet_in_a_plain_program(photo, encode):
    """Without pytest, which takes warnings and log lines for itself."""
    data = encode(photo, "TIFF")
    samples = struct.pack("<HHIHH", 277, 3, 1, 3, 0)
    assert samples in data
    program = (
        "import sys; from dinoseek.images.decode import decode; decode(sys.stdin.buffer.read())"
    )
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", program],
        input=data.replace(samples, struct.pack("<HHIHH", 277, 3, 1, 7, 0)),
        capture_output=True,
        check=False,
    )
    assert b"More samples per pixel" not in done.stderr
    assert b"a kind of TIFF that Pillow does not read" in done.stderr


def test_IMG_43_tiff_tags_that_pillow_warns_of_are_no_obstacle(photo, encode):
    data = encode(photo, "TIFF")
    one, two = (struct.pack("<HHI", 259, 3, count) for count in (1, 2))
    assert one in data  # the tag of the compression, which must have one value
    with pytest.warns(UserWarning, match="too many entries"):
        Image.open(BytesIO(data.replace(one, two))).load()
    np.testing.assert_array_equal(pixels(data.replace(one, two)), photo)
