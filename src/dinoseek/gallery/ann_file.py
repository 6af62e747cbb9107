"""The file of an index: its bytes, what is known of it, and the proof that this user wrote both.

    head     64 bytes, see _HEAD: where the facts are, and a keyed checksum over them
    body     the index, as its library writes it
    facts    JSON, and the checksum of each block of the body

A block of the body is only handed on once its checksum is right, so nothing that another person
wrote, or that changed on the disk, ever reaches the library; it is read once and never held whole.
"""

import hashlib
import hmac
import json
import logging
import os
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import IO, Any

from dinoseek.gallery.matrix_cache import DamagedError, opened, replacing

logger = logging.getLogger(__name__)

BLOCK = 1 << 20

_MAGIC = b"dinoseek index 1"
_HEAD = struct.Struct("<16sQQ32s")  # magic, where the facts begin, their length, keyed checksum
_DIGEST = 32
_MOST_FACTS = 1 << 26  # enough for an index of 2 TB


class AnnFile:
    """An index file whose facts are proven: `facts`, and the body block by block."""

    def __init__(self, file: FileIO, facts: dict[str, Any], digests: bytes, end: int) -> None:
        self.facts = facts
        self._file = file
        self._digests = digests
        self._end = end
        self._block = memoryview(b"")
        self._next = 0
        file.seek(_HEAD.size)

    def read(self, count: int) -> bytes:
        """The next bytes of the body, at most `count`; b"" at its end."""
        if not self._block and _HEAD.size + self._next * BLOCK < self._end:
            self._block = memoryview(self._proven_block())
        part, self._block = self._block[:count], self._block[count:]
        return bytes(part)

    def _proven_block(self) -> bytes:
        size = min(BLOCK, self._end - _HEAD.size - self._next * BLOCK)
        block = self._file.read(size)
        at = self._next * _DIGEST
        if len(block) != size or _digest(block) != self._digests[at : at + _DIGEST]:
            raise DamagedError("a block of the index is not as it was written")
        self._next += 1
        return block


def ann_file(folder: Path, space: str) -> Path:
    """Where the index of a space is kept."""
    return folder / f"{space}.ann"


@contextmanager
def proven(path: Path, key: bytes | None) -> Iterator[AnnFile | None]:
    """An index file for reading; None if there is none, or no proof that the key's owner wrote it.

    Raises DamagedError or OSError only where the body cannot be read.
    """
    found = _open(path, key) if key else None
    try:
        yield found[1] if found else None
    finally:
        if found:
            found[0].close()


def _open(path: Path, key: bytes) -> tuple[FileIO, AnnFile] | None:
    try:
        with opened(path) as file:
            return file, _proven(file, key)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, OverflowError, DamagedError) as exc:
        logger.info("searching without the index %s: %s", path, exc)
        return None


def _proven(file: FileIO, key: bytes) -> AnnFile:
    head = file.read(_HEAD.size)
    if len(head) != _HEAD.size:
        raise DamagedError("its head is cut")
    magic, end, length, checksum = _HEAD.unpack(head)
    if magic != _MAGIC or end + length != os.fstat(file.fileno()).st_size or length > _MOST_FACTS:
        raise DamagedError("its head is of another kind, or its length is wrong")
    file.seek(end)
    facts = file.read(length)
    if not hmac.compare_digest(_keyed(key, end, facts), checksum):
        raise DamagedError("it was changed, or written by another user")
    size = length - _DIGEST * -(-(end - _HEAD.size) // BLOCK)
    return AnnFile(file, json.loads(facts[:size]), facts[size:], end)


def _keyed(key: bytes, end: int, facts: bytes) -> bytes:
    whole = hashlib.blake2b(key=key, digest_size=32, person=b"dinoseek index")
    whole.update(struct.pack("<QQ", end, len(facts)))
    whole.update(facts)
    return whole.digest()


def _digest(block: bytes | bytearray) -> bytes:
    return hashlib.blake2b(block, digest_size=_DIGEST).digest()


def store(
    path: Path,
    key: bytes,
    facts: Mapping[str, object],
    write_body: Callable[[Callable[[bytes], None]], None],
) -> None:
    """Writes an index file in the old one's place; OSError where that cannot be done."""
    with replacing(path) as file:
        file.write(bytes(_HEAD.size))
        digests = _write_blocks(file, write_body)
        end = file.tell()
        content = json.dumps(facts).encode() + digests
        file.write(content)
        file.seek(0)
        file.write(_HEAD.pack(_MAGIC, end, len(content), _keyed(key, end, content)))


def _write_blocks(file: IO[bytes], write_body: Callable[[Callable[[bytes], None]], None]) -> bytes:
    """Writes the body as it comes, and returns the checksums of its blocks."""
    digests, pending = [], bytearray()

    def write(part: bytes) -> None:
        pending.extend(part)
        while len(pending) >= BLOCK:
            flush()

    def flush() -> None:
        block = pending[:BLOCK]
        del pending[:BLOCK]
        file.write(block)
        digests.append(_digest(block))

    write_body(write)
    if pending:
        flush()
    return b"".join(digests)
