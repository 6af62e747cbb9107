"""The members of a tar archive, header by header, without trusting or holding any of them.

Python's own reader remembers every member, takes a damaged header for the end of the archive, and
reads names of any length; so headers are read here. The formats are POSIX ustar and pax, and GNU.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from typing import Literal, TypeAlias

from dinoseek.ingest.streams import GZIP_FAULTS

BLOCK = 512
_MAX_HEADER = 1_048_576  # bytes of a long name, or of pax records
_MAX_ZEROS = 8_192  # blocks at the end, or between archives that were put together
_PIECE = 131_072

Kind: TypeAlias = Literal["file", "folder", "link", "special", "sparse"]

_KINDS: dict[bytes, Kind] = {
    b"\0": "file", b"0": "file", b"7": "file", b"5": "folder", b"1": "link", b"2": "link",
    b"S": "sparse",
}  # fmt: skip
_WITHOUT_DATA = (b"1", b"2", b"3", b"4", b"5", b"6")
_LONG_NAME, _PAX = b"L", (b"x", b"X")
_PASSED_OVER = (b"K", b"g")  # the long name of a link's target; what holds for all that follow


class TarError(Exception):
    """Where an archive cannot be read on: shard.truncated, shard.damaged or shard.format."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(code, reason)
        self.code, self.reason = code, reason


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A member: its data are the `size` bytes at `offset`."""

    name: bytes
    kind: Kind
    size: int
    offset: int


class Tape:
    """An archive that is read front to back; `size` where it can be skipped through, else None."""

    def __init__(self, stream: BufferedReader, size: int | None) -> None:
        self._stream = stream
        self._size = size
        self.position = 0

    def read(self, count: int) -> bytes:
        """The next bytes, fewer at the end."""
        try:
            data = self._stream.read(count)
        except EOFError as exc:
            raise _truncated() from exc
        except GZIP_FAULTS as exc:
            code = "shard.damaged" if self.position else "shard.format"
            raise TarError(code, f"it cannot be unpacked: {exc}") from exc
        except OSError as exc:
            raise TarError("path.unreadable", f"it cannot be read ({exc.strerror})") from exc
        self.position += len(data)
        return data

    def take(self, count: int) -> bytes:
        """The next bytes; TarError if there are fewer."""
        data = self.read(count)
        if len(data) < count:
            raise _truncated()
        return data

    def check(self, position: int) -> None:
        """TarError if it is known that the archive ends before."""
        if self._size is not None and position > self._size:
            raise _truncated()

    def forward(self, position: int) -> None:
        """Goes to a position further on; TarError if the archive ends before."""
        if self._size is None:
            while self.position < position:
                self.take(min(_PIECE, position - self.position))
            return
        self.check(position)
        if position != self.position:
            self.position = self._stream.seek(position)


def entries(tape: Tape) -> Iterator[Entry]:
    """The members in order. Between two of them, the data of the first can be read off the tape.

    Archives that were put together are read one after the other. Raises TarError where the archive
    is cut off or damaged; shard.format if it does not begin like an archive.
    """
    name, pax = b"", dict[bytes, bytes]()
    for block in _headers(tape):
        kind = block[156:157]
        size = _size(block)
        _pass_sparse_map(tape, block)
        offset = tape.position
        if kind == _LONG_NAME:
            name = _short(tape, size).partition(b"\0")[0]
        elif kind in _PAX:
            pax = _records(_short(tape, size))
        elif kind not in _PASSED_OVER:
            size = _number(pax[b"size"], 10) if b"size" in pax else size
            tape.check(offset + size)
            yield _entry(block, name, pax, size, offset)
            name, pax = b"", {}
        data = 0 if kind in _WITHOUT_DATA else size
        tape.forward(offset + -(-data // BLOCK) * BLOCK)


def _headers(tape: Tape) -> Iterator[bytes]:
    """Blocks that are headers; the tape is then behind what belongs to the last."""
    zeros = 0
    while zeros < _MAX_ZEROS and (block := tape.read(BLOCK)):
        if len(block) < BLOCK:
            raise _truncated()
        zeros = zeros + 1 if not any(block) else 0
        if zeros:
            continue
        if not _is_header(block):
            raise _not_a_header(tape.position - BLOCK)
        yield block
    if not zeros:
        raise _truncated()


def _entry(block: bytes, name: bytes, pax: dict[bytes, bytes], size: int, offset: int) -> Entry:
    name = pax.get(b"GNU.sparse.name") or pax.get(b"path") or name or _name(block)
    kind = _KINDS.get(block[156:157], "special")
    if any(key.startswith(b"GNU.sparse") for key in pax):
        kind = "sparse"
    if kind == "file" and name.endswith(b"/"):  # as very old archives have folders
        kind = "folder"
    return Entry(name=name, kind=kind, size=size, offset=offset)


def _name(block: bytes) -> bytes:
    name = block[:100].partition(b"\0")[0]
    prefix = block[345:500].partition(b"\0")[0] if block[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def _is_header(block: bytes) -> bool:
    """Whether the block's own sum of its bytes is right; some writers took them for signed."""
    stored = block[148:156].strip(b" \0")
    if not re.fullmatch(rb"[0-7]+", stored):
        return False
    rest = block[:148] + b" " * 8 + block[156:]
    unsigned = sum(rest)
    return int(stored, 8) in (unsigned, unsigned - 256 * sum(byte > 127 for byte in rest))


def _size(block: bytes) -> int:
    field = block[124:136]
    if field[0] == 0x80:  # a binary number, for files of 8 GiB and more
        return int.from_bytes(field[1:])
    return _number(field.partition(b"\0")[0].strip(), 8)


def _number(digits: bytes, base: Literal[8, 10]) -> int:
    if not re.fullmatch(rb"[0-7]{0,12}" if base == 8 else rb"[0-9]{1,18}", digits):
        raise TarError("shard.damaged", f"a member's size is {digits[:20]!r}")
    return int(digits or b"0", base)


def _pass_sparse_map(tape: Tape, block: bytes) -> None:
    """Passes over the blocks that say where a sparse file's holes are."""
    more = block[156:157] == b"S" and block[482] != 0
    while more:
        more = tape.take(BLOCK)[504] != 0


def _short(tape: Tape, size: int) -> bytes:
    if size > _MAX_HEADER:
        raise TarError("shard.damaged", f"a member's name or attributes have {size:,} bytes")
    return tape.take(size)


def _records(data: bytes) -> dict[bytes, bytes]:
    """Pax records, "LENGTH NAME=VALUE" and a newline each."""
    found: dict[bytes, bytes] = {}
    at = 0
    while at < len(data) and data[at]:
        length, space, _ = data[at : at + 20].partition(b" ")
        end = at + (int(length) if re.fullmatch(rb"[0-9]{1,8}", length) else 0)
        name, equals, value = data[at + len(length) + 1 : end - 1].partition(b"=")
        if not space or not equals or data[end - 1 : end] != b"\n":
            raise TarError("shard.damaged", "the attributes of a member cannot be read")
        found[name] = value
        at = end
    return found


def _truncated() -> TarError:
    return TarError("shard.truncated", "the archive ends before its end marker: it was cut off")


def _not_a_header(position: int) -> TarError:
    if position == 0:
        return TarError("shard.format", "it is no tar archive")
    return TarError("shard.damaged", f"no member begins at byte {position:,}, where one should")
