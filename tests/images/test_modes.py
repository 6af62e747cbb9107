import struct

import numpy as np
import pytest
from PIL import Image

from dinoseek.errors import ImageError
from dinoseek.images.decode import decode, load_image
from dinoseek.images.modes import flatten


def pixels(data):
    return np.asarray(decode(data)).astype(int)


def samples16(*values):
    return b"\0" + struct.pack(f">{len(values)}H", *values)


def over_white(colour, alpha):
    """The reference: `colour` (..., 3) with `alpha` (...) from 0 to 255, laid over white."""
    share = np.asarray(alpha, float)[..., None] / 255
    return np.asarray(colour) * share + 255 * (1 - share)


def test_IMG_21_16_bit_png_is_scaled_not_clipped(make_png):
    assert pixels(make_png(2, 1, 16, 0, samples16(40000, 200)))[0, :, 0].tolist() == [156, 0]
    colour = (40000, 200, 65535)
    assert pixels(make_png(1, 1, 16, 2, samples16(*colour))).ravel().tolist() == [156, 0, 255]
    opaque = make_png(1, 1, 16, 6, samples16(*colour, 65535))
    assert pixels(opaque).ravel().tolist() == [156, 0, 255]
    grey_with_alpha = make_png(1, 1, 16, 4, samples16(40000, 32768))
    expected = over_white([156] * 3, 128)
    assert np.abs(pixels(grey_with_alpha) - expected).max() <= 2


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_IMG_22_few_bits_of_grey_reach_from_black_to_white(depth, make_png):
    top = 2**depth - 1
    rows = b"".join(bytes([0, value << (8 - depth)]) for value in range(top + 1))
    decoded = pixels(make_png(1, top + 1, depth, 0, rows))[:, 0, 0]
    np.testing.assert_allclose(decoded, np.arange(top + 1) * 255 / top, atol=1)


@pytest.mark.parametrize(
    ("depth", "colour_type", "rows", "key"),
    [
        (1, 0, b"\0\x40", 0),
        (2, 0, b"\0\x10", 0),
        (2, 0, b"\0\x40", 1),
        (4, 0, b"\0\x5a", 5),
        (8, 0, b"\0\x07\x63", 7),
        (16, 0, samples16(40000, 40001), 40000),
    ],
)
def test_IMG_22_the_one_transparent_grey_becomes_white(
    depth, colour_type, rows, key, make_png, png_chunk
):
    transparent = png_chunk(b"tRNS", struct.pack(">H", key))
    plain = pixels(make_png(2, 1, depth, colour_type, rows))
    keyed = pixels(make_png(2, 1, depth, colour_type, rows, transparent))
    assert keyed[0, 0].tolist() == [255, 255, 255]
    assert plain[0, 0].tolist() != [255, 255, 255]
    np.testing.assert_array_equal(keyed[0, 1], plain[0, 1])


def test_IMG_22_the_one_transparent_colour_becomes_white(make_png, png_chunk):
    for depth, values in ((8, (1, 2, 3)), (16, (40000, 200, 65535))):
        size = "H" if depth == 16 else "B"
        row = b"\0" + struct.pack(f">6{size}", *values, 9, 9, 9)
        key = png_chunk(b"tRNS", struct.pack(">3H", *values))
        assert pixels(make_png(2, 1, depth, 2, row, key))[0, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_IMG_22_a_palette_with_transparency_lies_over_white(depth, make_png, png_chunk):
    colours, alphas = [(255, 0, 0), (0, 60, 90)], [128, 0]
    palette = png_chunk(b"PLTE", bytes(np.ravel(colours).tolist()))
    rows = b"".join(bytes([0, value << (8 - depth)]) for value in (0, 1))
    keyed = make_png(1, 2, depth, 3, rows, palette, png_chunk(b"tRNS", bytes(alphas)))
    assert np.abs(pixels(keyed)[:, 0] - over_white(colours, alphas)).max() <= 2
    np.testing.assert_array_equal(pixels(make_png(1, 2, depth, 3, rows, palette))[:, 0], colours)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "La", "RGBa", "PA"])
def test_IMG_22_transparency_shows_white_and_hidden_colours_never_leak(mode, photo):
    alpha = np.broadcast_to(np.linspace(0, 255, 160).astype(np.uint8), (120, 160))
    rgba = Image.fromarray(np.dstack([photo, alpha]))
    if mode == "PA":
        colours = rgba.convert("RGB").quantize(64)
        image = Image.merge("PA", (Image.fromarray(np.asarray(colours)), Image.fromarray(alpha)))
        image.putpalette(colours.getpalette())
        shown = np.asarray(colours.convert("RGB"))
    else:
        straight = {"LA": "LA", "La": "LA"}.get(mode, "RGBA")
        image = rgba.convert(straight)
        shown = np.asarray(image.convert("RGB"))
        image = image.convert(mode)
    decoded = np.asarray(load_image(image)).astype(int)
    assert np.abs(decoded - over_white(shown, alpha)).max() <= 2
    assert (decoded[:, 0] == 255).all()


def test_IMG_22_a_transparent_gif_lies_over_white(photo, encode):
    image = Image.fromarray(photo).convert("P", palette=Image.Palette.ADAPTIVE)
    hidden = np.asarray(image) == 7
    decoded = pixels(encode(image, "GIF", transparency=7))
    assert hidden.any()
    assert (decoded[hidden] == 255).all()
    np.testing.assert_array_equal(decoded[~hidden], np.asarray(image.convert("RGB"))[~hidden])


GREYS = np.arange(0, 65536, 257, dtype=np.uint16).reshape(16, 16)


@pytest.mark.parametrize("order", ["<", ">"])
def test_IMG_21_16_bit_tiff_is_scaled(order, make_tiff):
    data = make_tiff(GREYS.astype(order + "u2"), 16, order=order)
    np.testing.assert_array_equal(pixels(data)[:, :, 0], np.arange(256).reshape(16, 16))


def test_IMG_21_12_bit_tiff_reaches_white(make_tiff):
    data = make_tiff(GREYS >> 4, 12)
    np.testing.assert_array_equal(pixels(data)[:, :, 0], np.arange(256).reshape(16, 16))


def test_IMG_21_16_bit_tiff_may_count_from_white(make_tiff):
    data = make_tiff(GREYS, 16, photometric=0)
    np.testing.assert_array_equal(pixels(data)[:, :, 0], 255 - np.arange(256).reshape(16, 16))


@pytest.mark.parametrize("white", [1, 255, 65535])
def test_IMG_23_float_tiff_is_scaled_by_the_white_that_holds_it(white, make_tiff):
    values = np.linspace(0, white, 256, dtype=np.float32).reshape(16, 16)
    data = make_tiff(values, 32, kind=3)
    np.testing.assert_array_equal(pixels(data)[:, :, 0], np.arange(256).reshape(16, 16))


def test_IMG_23_32_bit_integers_count_as_16_bit_values(make_tiff):
    data = make_tiff(GREYS.astype(np.int32), 32, kind=2)
    np.testing.assert_array_equal(pixels(data)[:, :, 0], np.arange(256).reshape(16, 16))


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (np.float32([[0, -1]]), 3),
        (np.float32([[0, np.nan]]), 3),
        (np.float32([[0, np.inf]]), 3),
        (np.float32([[0, 70000]]), 3),
        (np.int32([[0, -1]]), 2),
        (np.int32([[0, 65536]]), 2),
    ],
)
def test_IMG_23_numbers_without_an_agreed_colour_are_unsupported(values, kind, refused, make_tiff):
    assert refused(make_tiff(values, 32, kind=kind)) == "image.unsupported"


def test_IMG_23_tiled_big_and_many_banded_tiff(photo, encode, refused):
    np.testing.assert_array_equal(pixels(encode(photo, "TIFF", big_tiff=True)), photo)
    for compression in ("tiff_lzw", "tiff_deflate", "packbits"):
        np.testing.assert_array_equal(pixels(encode(photo, "TIFF", compression=compression)), photo)
    bands = encode(photo, "TIFF")
    five = bands.replace(
        struct.pack("<HHIHH", 277, 3, 1, 3, 0), struct.pack("<HHIHH", 277, 3, 1, 5, 0)
    )
    assert five != bands
    assert refused(five) == "image.unsupported"


def test_IMG_23_broken_lzw_is_refused_or_repaired(photo, encode, refused):
    data = bytearray(encode(photo, "TIFF", compression="tiff_lzw"))
    data[8:40] = b"\xff" * 32
    assert refused(bytes(data)) in ("image.corrupt", "image.unsupported", "image.truncated")


@pytest.mark.parametrize("mode", ["YCbCr", "LAB", "HSV"])
def test_other_colour_spaces_come_back_as_rgb(mode, photo):
    """Pillow turns a picture there; the way back is compared with the picture itself."""
    calm = (photo.astype(int) // 2 + 60).astype(np.uint8)  # within the reach of all spaces
    there = Image.fromarray(calm).convert(mode)
    flat = flatten(there, "image")
    assert flat.mode == "RGB"
    difference = np.abs(np.asarray(flat).astype(int) - calm)
    assert difference.mean() < 2  # of rounding to 8 bits there and back
    assert difference.max() <= 12


def test_a_refusal_says_what_the_numbers_were(make_tiff):
    with pytest.raises(ImageError, match="run from -1 to 0"):
        decode(make_tiff(np.int32([[0, -1]]), 32, kind=2))
