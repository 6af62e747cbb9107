"""The variables of a MATLAB 5 file, which Cars-196 keeps its labels in: structs, text and numbers.

The format is MathWorks' "MAT-File Format", level 5: elements of a tag and data, packed by zlib.
Sizes are compared with the bytes that there are before anything is read.
"""

import struct
import zlib
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from dinoseek.errors import DataError, MachineError

MAX_BYTES = 16_000_000  # cars_annos.mat has 0.2 MB
MAX_UNPACKED = 256_000_000
_HEADER = 128
_MAX_ELEMENTS = 5_000_000
_MATRIX, _COMPRESSED = 14, 15
_TYPES = {
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8",
    16: "u1", 17: "u2", 18: "u4",
}  # fmt: skip
_CELL, _STRUCT, _CHAR = 1, 2, 4
_NUMBERS = range(6, 16)


def read_mat(path: Path) -> dict[str, Any]:
    """The variables by name: a struct array is a list of dicts, a single number a number.

    Raises DataError data.format for what is no such file or has other kinds of values.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as exc:
        raise MachineError("data.missing", path, exc.strerror or str(exc)) from exc
    if len(data) > MAX_BYTES:
        raise DataError("data.too_large", path, f"it has over {MAX_BYTES:,} bytes")
    try:
        if len(data) < _HEADER or data[126:128] != b"IM":
            raise ValueError("its header is another")
        return dict(_variables(data[_HEADER:]))
    except (ValueError, IndexError, struct.error, zlib.error, KeyError, RecursionError) as exc:
        reason = f"it is no MATLAB 5 file that can be read ({str(exc)[:100]})"
        raise DataError("data.format", path, reason, fix="download it again") from exc


def _variables(data: bytes) -> Iterator[tuple[str, Any]]:
    for kind, content in _elements(data):
        if kind == _COMPRESSED:
            unpacker = zlib.decompressobj()
            inner = unpacker.decompress(content, MAX_UNPACKED)
            if unpacker.unconsumed_tail:
                raise ValueError("it unpacks to more than any list of labels")
            yield from _variables(inner)
        elif kind == _MATRIX:
            yield _matrix(content)


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The elements one after another: their type and their bytes."""
    start = 0
    for _ in range(_MAX_ELEMENTS):
        if start + 8 > len(data):
            return
        kind, size = struct.unpack_from("<II", data, start)
        if kind >> 16:  # a small element has its size in the tag's upper half
            kind, size, begin, step = kind & 0xFFFF, kind >> 16, start + 4, 8
        else:
            begin = start + 8
            step = 8 + (size if kind == _COMPRESSED else -(-size // 8) * 8)
        if size > len(data) - begin:
            raise ValueError("an element is longer than the file")
        yield kind, data[begin : begin + size]
        start += step


def _matrix(data: bytes) -> tuple[str, Any]:
    """The name and the value of a matrix."""
    parts = _elements(data)
    flags = next(parts, (0, b""))[1]
    if not flags:
        return "", None  # an empty field
    shape = _numbers(*next(parts)).tolist()
    name = next(parts)[1].decode("ascii")
    count, kind = prod(shape), flags[0]
    if kind == _STRUCT:
        return name, _structs(parts, count)
    if kind == _CELL:
        return name, [_value(part) for part in _exactly(parts, count)]
    if kind == _CHAR:
        return name, "".join(map(chr, _numbers(*next(parts)).tolist()))
    if kind not in _NUMBERS:
        raise ValueError(f"it has a matrix of class {kind}")
    values = _numbers(*next(parts)).tolist()
    return name, values[0] if len(values) == 1 else values


def _structs(parts: Iterator[tuple[int, bytes]], count: int) -> list[dict[str, Any]]:
    (length,) = _numbers(*next(parts)).tolist()
    text = next(parts)[1]
    if not 1 <= length <= 64 or count > _MAX_ELEMENTS:
        raise ValueError("a struct has no fields or too many elements")
    names = [
        text[start : start + length].split(b"\0")[0].decode("ascii")
        for start in range(0, len(text), length)
    ]
    return [
        {name: _value(part) for name, part in zip(names, _exactly(parts, len(names)), strict=True)}
        for _ in range(count)
    ]


def _exactly(parts: Iterator[tuple[int, bytes]], count: int) -> Iterator[tuple[int, bytes]]:
    for _ in range(count):
        part = next(parts, None)
        if part is None:
            raise ValueError("a struct ends early")
        yield part


def _value(part: tuple[int, bytes]) -> Any:
    kind, data = part
    if kind != _MATRIX:
        raise ValueError(f"a field has the type {kind}")
    return _matrix(data)[1]


def _numbers(kind: int, data: bytes) -> Any:
    return np.frombuffer(data, "<" + _TYPES[kind])
