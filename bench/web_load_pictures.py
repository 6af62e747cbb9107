"""The pictures that bench/web_load.py sends: drawn ones, and bombs."""

import io
import secrets
import struct
import zlib

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 640, 480
SCANS = 200


def photographs(count, size=(WIDTH, HEIGHT)):
    """JPEGs of soft shapes with some noise, of the bytes that photographs have."""
    return [_photograph(np.random.default_rng(seed), *size) for seed in range(count)]


def _photograph(rng, width, height):
    coarse = rng.integers(0, 256, (6, 8, 3), np.uint8)
    shapes = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    noise = rng.normal(0, 6, (height, width, 3))
    pixels = np.clip(np.asarray(shapes) + noise, 0, 255).astype(np.uint8)
    return _encoded(Image.fromarray(pixels), "JPEG", quality=85)


def distinct(jpeg):
    """The same pixels in a file that no one has sent before: a comment after the first marker."""
    return jpeg[:2] + b"\xff\xfe\x00\x12" + secrets.token_hex(8).encode() + jpeg[2:]


def longer(picture):
    """Another file with the same picture: what follows its end is not read."""
    return picture + secrets.token_bytes(8)


def bombs():
    """F1, F2 and F3 of the threats: one column of 60,000 pixels, 88 megapixels, 200 scans."""
    return [_blank_png(1, 60_000), _blank_png(9_400, 9_400), scan_bomb(5_760, SCANS)]


def _blank_png(width, height):
    """A black PNG, RGB of 8 bits."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    packer, row = zlib.compressobj(9), bytes(1 + 3 * width)
    pixels = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    chunks = ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in chunks)


def _chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def scan_bomb(side, scans):
    """A grey progressive JPEG of so many scans: its last one again and again."""
    data = _encoded(Image.new("L", (side, side), 127), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * (scans - data.count(b"\xff\xda")) + data[-2:]


def _encoded(image, form, **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()
