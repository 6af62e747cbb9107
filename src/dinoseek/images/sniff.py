"""Which format a file is in and which size it declares, from its first bytes alone."""

import re
import struct

# The formats that are read, by their first bytes. BMP's two letters are too few: its header's
# length counts as well.
_READ = {
    "JPEG": re.compile(rb"\xff\xd8\xff"),
    "PNG": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "WEBP": re.compile(rb"RIFF....WEBP", re.DOTALL),
    "GIF": re.compile(rb"GIF8[79]a"),
    "BMP": re.compile(rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0", re.DOTALL),
    "TIFF": re.compile(rb"II[*+]\0|MM\0[*+]"),
}

# Formats that are named, so that a person knows what to convert, and never parsed.
_NAMED = {
    "AVIF": re.compile(rb"....ftypavi[fs]", re.DOTALL),
    "HEIC": re.compile(rb"....ftyp(hei[cxms]|hev[cxms]|mif1|msf1)", re.DOTALL),
    "JPEG XL": re.compile(rb"\xff\x0a|\0\0\0\x0cJXL "),
    "JPEG 2000": re.compile(rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51"),
    "PSD": re.compile(rb"8BPS"),
    "FITS": re.compile(rb"SIMPLE  ="),
    "EPS": re.compile(rb"%!PS|\xc5\xd0\xd3\xc6"),
    "PDF": re.compile(rb"%PDF-"),
    "ICO": re.compile(rb"\0\0[\x01\x02]\0[^\0]\0"),
    "SVG": re.compile(rb"(\xef\xbb\xbf)?\s*(<\?xml.{,800})?(<!.{,800})?<svg[\s>]", re.DOTALL),
    "DDS": re.compile(rb"DDS \x7c"),
    "ICNS": re.compile(rb"icns"),
    "QOI": re.compile(rb"qoif"),
    "PNM": re.compile(rb"P[1-7]\s"),
    "XCF": re.compile(rb"gimp xcf"),
    "MP4": re.compile(rb"....ftyp", re.DOTALL),
}

_MAGIC = _READ | _NAMED

# A GIF may carry this many blocks of comments and the like before its first picture: 5 MB.
_MAX_GIF_BLOCKS = 20_000


def sniff(data: bytes) -> str | None:
    """The format of `data` ("JPEG"; also of formats that are not read, "HEIC"), None if unknown."""
    head = data[:4096]
    return next((name for name, magic in _MAGIC.items() if magic.match(head)), None)


def declared_size(data: bytes, kind: str) -> tuple[int, int] | None:
    """The (width, height) that a PNG, WebP, GIF or BMP file of format `kind` declares, else None.

    Pillow allocates the canvas of WebP and GIF while it opens them, so their size must be known
    before. struct.error and IndexError mean that `data` ends too early.
    """
    match kind:
        case "PNG":
            return struct.unpack_from(">II", data, 16)
        case "WEBP":
            return _webp_size(data)
        case "GIF":
            return _gif_size(data)
        case "BMP":
            return _bmp_size(data)
    return None


def _webp_size(data: bytes) -> tuple[int, int] | None:
    match data[12:16]:
        case b"VP8X":
            return 1 + _little(data[24:27]), 1 + _little(data[27:30])
        case b"VP8L":
            bits = _little(data[21:25])
            return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        case b"VP8 ":
            width, height = struct.unpack_from("<HH", data, 26)
            return width & 0x3FFF, height & 0x3FFF
    return None


def _bmp_size(data: bytes) -> tuple[int, int]:
    if data[14] == 12:
        return struct.unpack_from("<HH", data, 18)
    width, height = struct.unpack_from("<Ii", data, 18)
    return width, abs(height)  # a negative height means that rows come top first


def _gif_size(data: bytes) -> tuple[int, int] | None:
    """The screen, enlarged to hold the first picture, as Pillow does it."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    at = 13 + _palette_bytes(flags)
    blocks = 0
    while data[at] != 0x3B:  # the trailer
        if data[at] == 0x2C:  # a picture
            x, y, across, down = struct.unpack_from("<HHHH", data, at + 1)
            return max(width, x + across), max(height, y + down)
        if data[at] == 0x21:  # an extension: a label, then blocks that begin with their length
            at += 2
            while data[at]:
                at += 1 + data[at]
                blocks += 1
        at += 1
        blocks += 1
        if blocks > _MAX_GIF_BLOCKS:
            return None
    return None


def _palette_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _little(data: bytes) -> int:
    return int.from_bytes(data, "little")
