"""Thousands of damaged files: each is decoded or refused with a code, soon, and nothing else."""

import numpy as np
import pytest
from PIL import Image

from dinoseek.errors import ImageError
from dinoseek.images.decode import decode

CODES = {
    "image.corrupt",
    "image.empty",
    "image.format_not_allowed",
    "image.too_many_pixels",
    "image.too_many_scans",
    "image.truncated",
    "image.unrecognised",
    "image.unsupported",
}
FILES = {
    "JPEG": ("JPEG", {}),
    "progressive JPEG": ("JPEG", {"progressive": True}),
    "PNG": ("PNG", {}),
    "lossy WebP": ("WEBP", {}),
    "lossless WebP": ("WEBP", {"lossless": True}),
    "GIF": ("GIF", {}),
    "BMP": ("BMP", {}),
    "raw TIFF": ("TIFF", {}),
    "LZW TIFF": ("TIFF", {"compression": "tiff_lzw"}),
    "JPEG TIFF": ("TIFF", {"compression": "jpeg"}),
}
ROUNDS = 400


def damaged(data, rng):
    """`data` with bytes changed, mostly the first ones, a piece cut out, doubled or zeroed."""
    data = bytearray(data)
    for _ in range(rng.integers(1, 6)):
        at = int(rng.integers(len(data) if rng.random() < 0.4 else min(len(data), 120)))
        length = int(rng.integers(1, 9))
        match rng.integers(6):
            case 0 | 1:
                data[at] = rng.integers(256)
            case 2:
                data[at] ^= 1 << rng.integers(8)
            case 3:
                data[at : at + length] = b"\xff" * length if rng.random() < 0.5 else bytes(length)
            case 4:
                del data[at : at + length]
            case 5:
                data[at:at] = data[at : at + length]
    return bytes(data[: int(rng.integers(len(data)))] if rng.random() < 0.1 else data)


@pytest.mark.parametrize("name", FILES)
def test_IMG_fuzz_damaged_files_are_decoded_or_refused_with_a_code(
    name, photo, encode, capfd, costs_at_most
):
    format, options = FILES[name]
    small = Image.fromarray(photo).resize((40, 30))
    rng = np.random.default_rng(len(name))
    profile = {} if format in ("GIF", "BMP") else {"icc_profile": bytes(range(256)) * 2}
    exif = {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"}
    extra = profile | (exif if format in ("JPEG", "PNG", "WEBP") else {})
    whole = encode(small, format, **options, **extra)
    errors = []
    for _ in range(ROUNDS):
        data = damaged(whole, rng)
        with costs_at_most(1):
            try:
                image = decode(data, faithful=bool(rng.integers(2)))
                assert image.mode == "RGB"
            except ImageError as error:
                errors.append(error)
    codes = {error.code for error in errors}
    assert codes <= CODES
    assert len(codes) >= 2
    assert not any("\n" in str(error) for error in errors)
    assert capfd.readouterr().err == ""
