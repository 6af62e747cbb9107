"""What a user may name as a query, and where its picture is."""

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dinoseek.errors import UsageError

if TYPE_CHECKING:
    from dinoseek.gallery.sqlite_gallery import SqliteGallery

MAX_STDIN_BYTES = 64_000_000


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A query as the user wrote it, and what it means: a file, a picture's bytes, or an id."""

    name: str
    means: Path | bytes | int

    def source(self, gallery: "SqliteGallery") -> Path | bytes | None:
        """Where its picture is, for a report."""
        if not isinstance(self.means, int):
            return self.means
        (record,) = gallery.get([self.means])
        return Path(record.root, os.fsdecode(record.path))


def asked_queries(words: Sequence[str]) -> Iterator[Asked]:
    """The queries that `words` name: files, folders of files, - for stdin, id:42 or 42.

    A path that exists wins over an id. Raises UsageError for a folder without images.
    """
    for word in words:
        path = Path(word)
        if word == "-":
            yield Asked(name="-", means=_stdin())
        elif path.is_dir():
            yield from _folder(path)
        elif not path.exists() and (number := word.removeprefix("id:")).isascii():
            yield Asked(name=word, means=int(number) if number.isdigit() else path)
        else:
            yield Asked(name=word, means=path)


def _folder(folder: Path) -> Iterator[Asked]:
    from dinoseek.ingest.outcomes import Item
    from dinoseek.ingest.sources import Link, from_folder, scan

    found = False
    for each in scan(from_folder(folder), str(folder), b""):
        if not isinstance(each, Link):
            found = True
            file = each.file if isinstance(each, Item) else each.item.file
            yield Asked(name=str(file), means=file)
    if not found:
        raise UsageError("search.no_queries", folder, "has no images to search with")


def _stdin() -> bytes:
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError("search.stdin", "-", "pipe a picture in: cat cat.jpg | dinoseek search -")
    data = sys.stdin.buffer.read(MAX_STDIN_BYTES + 1)
    if len(data) > MAX_STDIN_BYTES:
        limit = MAX_STDIN_BYTES // 1_000_000
        raise UsageError("search.stdin", "-", f"the picture is larger than {limit} MB")
    return data
