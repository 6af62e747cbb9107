"""The chunks of a PNG file: checked, and without those that no decoder needs."""

import zlib
from collections.abc import Iterator

from dinoseek.errors import ImageError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CRITICAL = {b"IHDR", b"PLTE", b"IDAT", b"IEND"}

# Animation chunks are not among them: the first frame is the picture itself. Compressed texts are,
# so that Pillow refuses those that unpack to megabytes.
_OPTIONAL = {b"tRNS", b"iCCP", b"eXIf", b"zTXt", b"iTXt"}
_END = b"\0\0\0\0IEND\xae\x42\x60\x82"

# A real file has a dozen chunks besides its pixels, and those in pieces of 8 KB or more.
_MAX_PIXEL_CHUNKS, _MAX_OTHER_CHUNKS = 100_000, 10_000
_HEADER_BYTES = 12 + 13  # length, name and checksum around the values


def parse(data: bytes, subject: object) -> tuple[bytes, int]:
    """What a decoder needs of `data`, which begins with the signature, and the bits of one sample.

    A damaged chunk that the pixels need refuses the file; any other is left out.
    """
    view, kept, last = memoryview(data), [memoryview(SIGNATURE)], b""
    for name, begin, end in _chunks(data, subject):
        if (last == b"") != (name == b"IHDR"):
            raise ImageError("image.corrupt", subject, "its header is not its first chunk")
        if name in _CRITICAL or name in _OPTIONAL:
            sound = zlib.crc32(view[begin + 4 : end - 4]) == _big(view[end - 4 : end])
            if not sound and name in _CRITICAL:
                reason = f"its {name.decode()} chunk is damaged: the checksum is wrong"
                raise ImageError("image.corrupt", subject, reason)
            if sound and name != b"IEND":
                kept.append(view[begin:end])
        last = name
    if len(kept) == 1 or len(kept[1]) != _HEADER_BYTES:
        raise ImageError("image.truncated", subject, "it is a PNG file without a header")
    return b"".join([*kept, _END]), kept[1][16]


def _chunks(data: bytes, subject: object) -> Iterator[tuple[bytes, int, int]]:
    """Yields (name, begin, end) of each complete chunk; a file may end early after its pixels."""
    at, pixels, others = len(SIGNATURE), 0, 0
    while at < len(data):
        name, end = data[at + 4 : at + 8], at + 12 + _big(data[at : at + 4])
        if end > len(data):
            if pixels and name not in (b"IDAT", b""):
                return
            raise ImageError("image.truncated", subject, "the file ends inside its pixels")
        pixels, others = pixels + (name == b"IDAT"), others + (name != b"IDAT")
        if pixels > _MAX_PIXEL_CHUNKS or others > _MAX_OTHER_CHUNKS:
            raise ImageError("image.corrupt", subject, f"more than {pixels + others - 1} chunks")
        yield name, at, end
        if name == b"IEND":
            return
        at = end
    if not pixels:
        raise ImageError("image.truncated", subject, "the file ends before its pixels")


def _big(data: bytes | memoryview) -> int:
    return int.from_bytes(data, "big")
