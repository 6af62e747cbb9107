"""The segments of a JPEG file: its size and kind, and what of it a decoder needs."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dinoseek.errors import ImageError
from dinoseek.images.limits import DEFAULT_LIMITS, Limits

# A marker that opens a segment: not fill (FF FF), not an escaped FF, not TEM, RSTn or SOI.
_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])")
_EOI, _SOS, _APP0, _APP1, _APP15, _COM = 0xD9, 0xDA, 0xE0, 0xE1, 0xEF, 0xFE
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_COMMON = {0xC0, 0xC1, 0xC2}  # baseline, extended, progressive; all with Huffman codes

# Of the application segments a decoder needs these: JFIF and Adobe decide the colour space, and the
# profile says what the colours mean.
_NEEDED = {0xE0: b"JFIF\0", 0xE2: b"ICC_PROFILE\0", 0xEE: b"Adobe"}

# Real files have a few dozen segments, with a large profile a few hundred.
_MAX_SEGMENTS = 10_000
_MAX_MARKERS = 100_000


@dataclass(frozen=True, kw_only=True)
class Jpeg:
    """A JPEG file without the metadata that no decoder needs; `exif` is its EXIF block.

    `is_exotic` tells lossless, hierarchical and arithmetic coding, which few decoders know.
    """

    data: bytes
    exif: bytes | None
    size: tuple[int, int]
    bits: int
    components: int
    is_exotic: bool


def parse(data: bytes, subject: object, limits: Limits = DEFAULT_LIMITS) -> Jpeg:
    """Reads the segments of `data`, which begins as a JPEG file does.

    Metadata is left out because Pillow does more with it than is wanted: it parses EXIF, Photoshop
    and multi-picture blocks whenever it opens a file, warns about damaged ones, and follows them.
    """
    view, frame, process, exif = memoryview(data), b"", 0, None
    kept = [view[:2]]
    for marker, begin, end in _segments(data, subject):
        body = data[begin + 2 : end]
        if marker == _APP1 and exif is None and body.startswith(b"Exif\0\0"):
            exif = body
        elif marker in _FRAMES:
            frame, process = body, marker
        if _is_needed(marker, body):
            kept.append(view[begin - 2 : end])
    kept.append(view[end:])  # the last segment was the header of the first scan
    if len(frame) < 6:
        raise ImageError("image.corrupt", subject, "it is a JPEG file without a frame header")
    size = int.from_bytes(frame[3:5], "big"), int.from_bytes(frame[1:3], "big")
    _check_scans(data, end, subject, limits.scans_of(*size))
    return Jpeg(
        data=b"".join(kept),
        exif=exif,
        size=size,
        bits=frame[0],
        components=frame[5],
        is_exotic=process not in _COMMON,
    )


def _count(data: bytes, pair: bytes) -> int:
    """How often two bytes follow each other: as data.count(pair), in a tenth of the time."""
    word = np.frombuffer(pair, np.uint16)[0]
    found = 0
    for start in range(min(2, len(data))):
        words = np.frombuffer(data, np.uint16, (len(data) - start) // 2, start)
        found += int(np.count_nonzero(words == word))
    return found


def _is_needed(marker: int, body: bytes) -> bool:
    if marker in _NEEDED:
        return body.startswith(_NEEDED[marker])
    return not _APP0 <= marker <= _APP15 and marker != _COM


def _segments(data: bytes, subject: object) -> Iterator[tuple[int, int, int]]:
    """Yields (marker, begin, end) of each segment's length and body, up to the first scan's."""
    at = 2
    for _ in range(_MAX_SEGMENTS):
        found = _MARKER.search(data, at)
        if not found:
            raise ImageError("image.truncated", subject, "the file ends inside its header")
        marker, begin = found[1][0], found.end()
        if marker == _EOI:
            raise ImageError("image.corrupt", subject, "it is a JPEG file without a picture")
        length = int.from_bytes(data[begin : begin + 2], "big")
        at = begin + length
        if at > len(data) or begin + 2 > len(data):
            raise ImageError("image.truncated", subject, "the file ends inside its header")
        if length < 2:
            raise ImageError("image.corrupt", subject, f"segment {marker:#x} has no length")
        yield marker, begin, at
        if marker == _SOS:
            return
    raise ImageError("image.corrupt", subject, f"more than {_MAX_SEGMENTS} segments in its header")


def _check_scans(data: bytes, at: int, subject: object, max_scans: int) -> None:
    """Refuses a picture of more than `max_scans` scans; the first one's data begins at `at`."""
    # Entropy-coded data has no FF DA, metadata and whatever follows the picture may: this is an
    # upper bound, and quick.
    if _count(data, b"\xff\xda") <= max_scans:
        return
    scans = 1
    for _ in range(_MAX_MARKERS):
        found = _MARKER.search(data, at)
        if not found or found[1][0] == _EOI:
            return
        scans += found[1][0] == _SOS
        if scans > max_scans:
            reason = f"a JPEG file of its size and over {max_scans} scans keeps a decoder busy"
            raise ImageError("image.too_many_scans", subject, reason)
        at = found.end() + max(int.from_bytes(data[found.end() : found.end() + 2], "big"), 2)
    raise ImageError("image.corrupt", subject, f"more than {_MAX_MARKERS} segments")
