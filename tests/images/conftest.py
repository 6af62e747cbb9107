"""Pictures made by hand: encoded by Pillow, or put together byte by byte."""

import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from dinoseek.errors import ImageError
from dinoseek.images.decode import decode


@pytest.fixture
def photo():
    """A smooth RGB picture (120, 160, 3) without a symmetry, so each turn of it differs."""
    y, x = np.mgrid[:120, :160]
    planes = [x * 255 // 159, y * 255 // 119, 128 + 100 * np.sin(x / 40) * np.cos(y / 30 + 1)]
    return np.stack(planes, axis=-1).astype(np.uint8)


@pytest.fixture
def encode():
    """Returns encode(array or Pillow image, format, **options) -> bytes."""

    def encode(image, format, **options):
        image = image if isinstance(image, Image.Image) else Image.fromarray(image)
        file = BytesIO()
        image.save(file, format, **options)
        return file.getvalue()

    return encode


@pytest.fixture
def png_chunk():
    """Returns png_chunk(name, body) -> bytes with length and checksum."""

    def png_chunk(name, body=b""):
        checksum = zlib.crc32(name + body)
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", checksum)

    return png_chunk


@pytest.fixture
def make_png(png_chunk):
    """Returns make_png(width, height, depth, colour_type, rows, *chunks) -> bytes.

    `rows` are the unpacked bytes, each row after its filter byte; `chunks` go before them.
    """

    def make_png(width, height, depth, colour_type, rows, *chunks):
        header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
        parts = [b"\x89PNG\r\n\x1a\n", png_chunk(b"IHDR", header), *chunks]
        return b"".join([*parts, png_chunk(b"IDAT", zlib.compress(rows)), png_chunk(b"IEND")])

    return make_png


@pytest.fixture
def make_tiff():
    """Returns make_tiff(rows, bits, ...) -> bytes: one strip, one sample (H, W) per pixel."""

    def make_tiff(rows, bits, *, kind=1, photometric=1, order="<", compression=1):
        strip, (height, width) = rows.tobytes(), rows.shape
        if bits == 12:  # two samples in three bytes
            pairs = rows.reshape(-1, 2).astype(int).tolist()
            strip = b"".join(((a << 12) | b).to_bytes(3, "big") for a, b in pairs)
        if compression == 8:
            strip = zlib.compress(strip)
        tags = {256: width, 257: height, 258: bits, 259: compression, 262: photometric}
        tags |= {273: 150, 277: 1, 278: height, 279: len(strip), 339: kind}
        head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(tags))
        entries = [struct.pack(order + "HHII", tag, 4, 1, value) for tag, value in tags.items()]
        return (head + b"".join(entries) + bytes(4)).ljust(150, b"\0") + strip

    return make_tiff


@pytest.fixture
def exif_block():
    """Returns exif_block(orientation, kind=SHORT) -> bytes of an EXIF block, big endian."""

    def exif_block(orientation, kind=3):
        packed = struct.pack(">HH", orientation, 0) if kind == 3 else struct.pack(">I", orientation)
        entry = struct.pack(">HHI", 0x0112, kind, 1) + packed
        return b"Exif\0\0MM\0*" + struct.pack(">IH", 8, 1) + entry + bytes(4)

    return exif_block


@pytest.fixture
def refused():
    """Returns refused(data, **options) -> the code with which `data` is refused, or ""."""

    def refused(data, **options):
        try:
            decode(data, **options)
        except ImageError as error:
            return error.code
        return ""

    return refused
