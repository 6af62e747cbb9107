"""A list of images on a pipe: a path or an address on each line, or JSON Lines."""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BufferedReader, RawIOBase
from typing import Any, BinaryIO

from dinoseek.errors import UsageError
from dinoseek.ingest.json_rows import json_rows
from dinoseek.ingest.lines import MAX_CELL, EncodingErrors, Lines
from dinoseek.ingest.rows import BadRow, Columns, Row
from dinoseek.ingest.streams import unreadable

_BLOCK = 65_536
_ADDRESS = re.compile(rb"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Listing:
    """A list on a stream, which can be read once. `name` is what messages call it."""

    stream: BinaryIO
    name: str = "-"
    columns: Columns = field(default_factory=Columns)
    encoding_errors: EncodingErrors = "strict"

    def check(self) -> None:
        """What is wrong with a stream shows only when it is read."""

    def count(self) -> None:
        """How many rows will come is not known."""

    def rows(self) -> Iterator[Row | BadRow]:
        """See `from_stream`; the errors of JSON Lines are those of a table."""
        return from_stream(
            self.stream, self.name, columns=self.columns, encoding_errors=self.encoding_errors
        )


def from_stream(
    stream: BinaryIO,
    name: str = "-",
    *,
    columns: Columns | None = None,
    encoding_errors: EncodingErrors = "strict",
) -> Iterator[Row | BadRow]:
    """One row for each path or address of a stream, as they arrive.

    They stand on lines of their own, or before null bytes if there is one at the beginning, as
    after `find -print0`. What begins with letters and "://" is an address, anything else a path in
    the file system's own bytes. On lines, blank ones and those that begin with "#" are left out;
    ./#1.jpg is a path. A stream that begins with a JSON object is JSON Lines, see `json_rows`, with
    `columns` and `encoding_errors`.
    """
    start = _start(stream)
    if start.startswith(_UTF16):
        fix = "pipe UTF-8"
        raise UsageError("csv.encoding", name, "byte 0 and row 1 are UTF-16", fix=fix)
    if _is_object(start.removeprefix(_BOM).lstrip()):
        rest = BufferedReader(_Joined(start, stream))
        lines = Lines(rest, name, errors=encoding_errors)
        yield from json_rows(lines, columns or Columns())
        return
    separator = b"\0" if b"\0" in start else b"\n"
    entries = _entries(start.removeprefix(_BOM), stream, separator)
    wanted = (entry for entry in entries if entry is None or _is_wanted(entry, separator))
    for number, entry in enumerate(wanted, start=1):
        yield _row(number, entry, separator)


def _start(stream: BinaryIO) -> bytes:
    """What shows the kind of list: a line at least, and whatever else is there already."""
    start = b""
    while len(start) < _BLOCK and not re.search(rb"[\0\n]", start):
        if not (block := _read(stream)):
            break
        start += block
    return start


def _read(stream: BinaryIO) -> bytes:
    """What has arrived, but not nothing before the end."""
    read: Any = getattr(stream, "read1", stream.read)
    try:
        return bytes(read(_BLOCK) or b"")
    except OSError as exc:  # a folder, say
        raise unreadable(getattr(stream, "name", "-"), exc) from exc


def _is_object(start: bytes) -> bool:
    """Whether a stream begins with a JSON object: braces may also be part of a name."""
    line, end, _ = start.partition(b"\n")
    if not line.startswith(b"{") or b"\0" in line:
        return False
    if not end and len(start) >= _BLOCK // 2:  # one long line: no name is as long
        return True
    try:
        return line.strip() == b"{" or isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _entries(start: bytes, stream: BinaryIO, separator: bytes) -> Iterator[bytes | None]:
    """What stands between separators; None for an entry too long to keep."""
    waiting, too_long = start, False
    block = start
    while block:
        *whole, waiting = waiting.split(separator)
        for entry in whole:
            yield None if too_long or len(entry) > MAX_CELL else entry
            too_long = False
        if len(waiting) > MAX_CELL:
            waiting, too_long = b"", True
        block = _read(stream)
        waiting += block
    if waiting or too_long:
        yield None if too_long else waiting


def _is_wanted(entry: bytes, separator: bytes) -> bool:
    if separator == b"\0":
        return bool(entry)
    return bool(entry.strip()) and not entry.startswith(b"#")


def _row(number: int, entry: bytes | None, separator: bytes) -> Row | BadRow:
    if entry is None:
        reason = f"it is longer than {MAX_CELL:,} bytes"
        return BadRow(number=number, code="csv.cell_too_large", reason=reason)
    if separator == b"\n":
        entry = entry.removesuffix(b"\r")
    if b"\0" in entry:
        reason = "it has a null byte; they may stand after every name, but not in one"
        return BadRow(number=number, code="csv.value", reason=reason)
    if not _ADDRESS.match(entry.lstrip()):
        return Row(number=number, path=os.fsdecode(entry))
    try:
        return Row(number=number, url=entry.decode().strip(" \t\r\n"))
    except UnicodeDecodeError:
        reason = "the address is not UTF-8"
        return BadRow(number=number, code="csv.encoding", reason=reason)


class _Joined(RawIOBase):
    """A stream with what was taken from it already."""

    def __init__(self, start: bytes, stream: BinaryIO) -> None:
        self._waiting = start
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block = self._waiting or _read(self._stream)
        count = min(len(buffer), len(block))
        buffer[:count] = block[:count]
        self._waiting = block[count:]
        return count
