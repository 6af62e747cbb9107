"""Zip archives with tensors, opened with suspicion: their directory is bounded and checked."""

import os
import struct
import zipfile
from pathlib import Path
from typing import IO

from dinoseek.errors import WeightsError

# A giant checkpoint has 600 entries of 100 bytes; a million entries would take a gigabyte to list.
MAX_DIRECTORY_BYTES = 4_000_000
END_OF_DIRECTORY = b"PK\x05\x06"
END_OF_DIRECTORY_64 = b"PK\x06\x06"


def open_zip(path: Path, file: IO[bytes]) -> zipfile.ZipFile:
    """The archive in `file`; its entries are plain, unique and of sane names."""
    size = directory_size(file)
    if size > MAX_DIRECTORY_BYTES:
        raise damaged(path, f"its directory takes {size} bytes, more than {MAX_DIRECTORY_BYTES}")
    archive = zipfile.ZipFile(file)
    entries = archive.infolist()
    names = [entry.filename for entry in entries]
    if len(set(names)) < len(names):
        raise damaged(path, "two of its entries have the same name")
    for entry in entries:
        refuse_bad_entry(path, entry)
    return archive


def refuse_bad_entry(path: Path, entry: zipfile.ZipInfo) -> None:
    name = entry.filename
    if name.startswith("/") or "\\" in name or ".." in name.split("/"):
        raise damaged(path, f"entry {name!r} points outside the archive")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise damaged(path, f"entry {name!r} uses compression method {entry.compress_type}")
    if entry.compress_type == zipfile.ZIP_STORED and entry.file_size != entry.compress_size:
        raise damaged(path, f"entry {name!r} is not as long as it claims")


def damaged(path: Path, reason: str) -> WeightsError:
    return WeightsError("weights.corrupt", path, reason, fix="download or copy it again")


def directory_size(file: IO[bytes]) -> int:
    """Bytes of the list of entries, read from the archive's end without reading the list itself."""
    length = file.seek(0, os.SEEK_END)
    start = max(0, length - 22 - 0xFFFF)  # the record has 22 bytes and a comment of at most 65,535
    file.seek(start)
    tail = file.read()
    at = tail.rfind(END_OF_DIRECTORY)
    if at < 0 or len(tail) < at + 22:
        raise zipfile.BadZipFile("the list of entries at its end is missing")
    (size,) = struct.unpack_from("<L", tail, at + 12)
    if size < 0xFFFFFFFF:
        return int(size)
    at = tail.rfind(END_OF_DIRECTORY_64, 0, at)
    if at < 0 or len(tail) < at + 48:
        raise zipfile.BadZipFile("the list of entries at its end is missing")
    return int(struct.unpack_from("<Q", tail, at + 40)[0])
