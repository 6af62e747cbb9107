"""What a decoder process and its pool say to each other: a JSON header, then raw bytes.

Each message is the header's length (4 bytes, little-endian), the header, and as many bytes as its
"sizes" add up to.
"""

import json
import struct
from collections.abc import Sequence
from typing import Any, BinaryIO

_LENGTH = struct.Struct("<I")
MAX_HEADER = 1 << 20


def send(
    stream: BinaryIO, header: dict[str, Any], parts: Sequence[bytes | memoryview] = ()
) -> None:
    """Writes a message; OSError if nobody reads any more."""
    text = json.dumps({**header, "sizes": [len(part) for part in parts]}).encode()
    stream.write(_LENGTH.pack(len(text)) + text)
    for part in parts:
        stream.write(part)
    stream.flush()


def receive(stream: BinaryIO, most: int | None = None) -> tuple[dict[str, Any], list[bytes]]:
    """Reads a message, after its header no more than `most` bytes, as none is longer.

    EOFError if the other side is gone, ValueError for what is no message.
    """
    (length,) = _LENGTH.unpack(_exactly(stream, _LENGTH.size))
    if length > MAX_HEADER:
        raise ValueError("this is not a message")
    header = json.loads(_exactly(stream, length))
    sizes = header.pop("sizes", None) if isinstance(header, dict) else None
    if not isinstance(sizes, list) or not all(isinstance(n, int) and n >= 0 for n in sizes):
        raise ValueError("this is not a message")
    if most is not None and sum(sizes) > most:
        raise ValueError(f"a message of {sum(sizes)} bytes")
    return header, [_exactly(stream, size) for size in sizes]


def _exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data
