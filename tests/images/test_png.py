import zlib

import numpy as np
import pytest

from dinoseek.images.decode import decode


def pixels(data, **options):
    return np.asarray(decode(data, **options)).astype(int)


def test_IMG_06_a_byte_flipped_among_png_pixels_is_corrupt(photo, encode, refused):
    data = encode(photo, "PNG")
    for at in np.linspace(60, len(data) - 30, 20).astype(int):
        assert refused(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :]) == "image.corrupt"


def test_IMG_08_png_checksums_count_for_what_the_pixels_need(make_png, png_chunk, refused):
    rows = b"\0\x40"
    sound = make_png(1, 1, 8, 0, rows)
    assert refused(sound[:29] + b"\0\0\0\0" + sound[33:]) == "image.corrupt"  # of the header
    text = png_chunk(b"tEXt", b"a\0b")[:-1] + b"?"
    for bad in (
        text,
        png_chunk(b"eXIf", b"MM")[:-1] + b"?",
        png_chunk(b"tRNS", b"\0\0")[:-1] + b"?",
    ):
        assert pixels(make_png(1, 1, 8, 0, rows, bad)).ravel().tolist() == [64, 64, 64]


@pytest.mark.parametrize("name", [b"zTXt", b"iTXt", b"iCCP"])
def test_IMG_16_a_chunk_that_unpacks_to_200_MB_is_refused(
    name, make_png, png_chunk, refused, costs_at_most
):
    head = b"a\0\1\0\0\0" if name == b"iTXt" else b"a\0\0"
    chunk = png_chunk(name, head + zlib.compress(bytes(200_000_000)))
    with costs_at_most(0.5):
        assert refused(make_png(1, 1, 8, 0, b"\0\0", chunk)) == "image.corrupt"


def test_IMG_17_a_flood_of_chunks_is_refused(make_png, png_chunk, refused, costs_at_most):
    flood = [png_chunk(b"tEXt", b"a\0")] * 100_000
    with costs_at_most(1):
        assert refused(make_png(1, 1, 8, 0, b"\0\0", *flood)) == "image.corrupt"
