"""What a user may name as a query, alone or joined by + and -, and where its pictures are."""

import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from dinoseek.cli.sources import allows_private_hosts
from dinoseek.errors import FetchError, UsageError, printable

if TYPE_CHECKING:
    from dinoseek.gallery.sqlite_gallery import SqliteGallery
    from dinoseek.images.region import Region
    from dinoseek.queries import Part, Query
    from dinoseek.report.pictures import Shown

MAX_STDIN_BYTES = 64_000_000

Combine: TypeAlias = Literal["average", "best"]
Sign: TypeAlias = Literal["+", "-"]
_WEIGHT = re.compile(r"(?P<weight>[0-9]{1,9}(?:\.[0-9]{1,9})?):(?P<rest>.+)", re.DOTALL)
_ADDRESS = re.compile(r"https?://", re.IGNORECASE)
_REGION = re.compile(r"(?P<rest>.+)@(?P<region>[0-9.% ]+(?:,[0-9.% ]+){3})", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Operand:
    """A picture as the user wrote it, and what it means: a file, a picture's bytes, or an id."""

    word: str
    means: Path | bytes | int
    sign: Sign = "+"
    weight: float | None = None
    region: "Region | None" = None

    def part(self) -> "Part":
        """The operand for `dinoseek.search`."""
        from dinoseek.queries import Part

        weight = 1.0 if self.weight is None else self.weight
        return Part(self.means, weight=weight, region=self.region)

    def shown(self, gallery: "SqliteGallery", region: "Region | None") -> "Shown":
        """Its picture, for a report."""
        from dinoseek.report.pictures import Shown

        source, region = self.means, self.region or region
        if isinstance(source, int):
            (record,) = gallery.get([source])
            small = None if region else gallery.thumbnail(source)
            source = small or Path(record.root, os.fsdecode(record.path))
        return Shown(name=printable(self.word), source=source, region=region, sign=self.sign)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A query as the user wrote it, and its pictures; or why one of them could not be fetched."""

    name: str
    operands: tuple[Operand, ...]
    combine: Combine = "average"
    error: FetchError | None = None

    def means(self) -> "Query":
        """The query for `dinoseek.search`."""
        from dinoseek.queries import Mix

        parts = [(each.sign, each.part()) for each in self.operands]
        if len(parts) == 1:
            return parts[0][1]
        positives = [part for sign, part in parts if sign == "+"]
        negatives = [part for sign, part in parts if sign == "-"]
        return Mix(positives, negatives, combine=self.combine)


def asked_queries(
    words: Sequence[str],
    more: Sequence[str] = (),
    *,
    combine: Combine = "average",
    max_bytes: int = MAX_STDIN_BYTES,
) -> Iterator[Asked]:
    """The queries that `words` name, and `more`, each of which is one.

    + and - between two words make them one query. A word is a file, a folder of files, an address
    of at most `max_bytes`, - for stdin, or id:42 or 42; before it may stand a weight, as in
    2:cat.jpg, and behind it a region, as in cat.jpg@10,20,300,200. A path that exists wins over
    all of these. Raises UsageError for a folder without images, and for words without sense.
    """
    groups = [*_groups(words), *(group for word in more for group in _groups([word]))]
    if [word for group in groups for _, word in group].count("-") > 1:
        raise UsageError("search.stdin", "-", "it can be named once: stdin is read to its end")
    for group in groups:
        name = group[0][1] + "".join(f" {sign} {word}" for sign, word in group[1:])
        try:
            operands = [replace(_operand(word, max_bytes), sign=sign) for sign, word in group]
        except FetchError as exc:
            yield Asked(name=name, operands=(), error=exc)
        else:
            yield from _asked(Asked(name=name, operands=tuple(operands), combine=combine))


def _groups(words: Sequence[str]) -> Iterator[list[tuple[Sign, str]]]:
    """The words of each query, with their signs."""
    place = 0
    while place < len(words):
        group: list[tuple[Sign, str]] = [("+", words[place])]
        place += 1
        while place + 1 < len(words) and (sign := words[place]) in ("+", "-"):
            group.append(("+" if sign == "+" else "-", words[place + 1]))
            place += 2
        yield group


def _asked(asked: Asked) -> Iterator[Asked]:
    """The query, or those of the pictures in a folder, if it makes sense."""
    first, *more = asked.operands
    if not more and first.weight is not None:
        reason = "a weight says something beside another picture only"
        raise UsageError("search.weight", first.word, reason, fix=f"as in {first.word} + cat.jpg")
    folders = [each for each in asked.operands if _is_folder(each.means)]
    if folders and more:
        reason = "a folder is as many queries as it has pictures"
        raise UsageError("search.folder", folders[0].word, reason, fix="name one picture")
    yield from _folder(first) if folders else [asked]


def _operand(word: str, max_bytes: int) -> Operand:
    weight, region, rest = None, None, word
    if not _exists(rest) and (found := _WEIGHT.fullmatch(rest)):
        weight, rest = float(found["weight"]), found["rest"]
    if not _exists(rest) and (found := _REGION.fullmatch(rest)):
        from dinoseek.images.region import Region

        region, rest = Region.parse(found["region"]), found["rest"]
    means = _meaning(rest, max_bytes)
    return Operand(word=word, means=means, weight=weight, region=region)


def _meaning(word: str, max_bytes: int) -> Path | bytes | int:
    if word == "-":
        return _stdin()
    if _exists(word):
        return Path(word)
    if _ADDRESS.match(word):
        return _fetched(word, max_bytes)
    if word == "+":
        raise UsageError("search.sign", word, "it stands between two pictures")
    number = word.removeprefix("id:")
    return int(number) if number.isascii() and number.isdigit() else Path(word)


def _fetched(address: str, max_bytes: int) -> bytes:
    from dinoseek.ingest.fetch import Fetcher, FetchOptions

    allow_private = allows_private_hosts()
    options = FetchOptions(max_bytes=max_bytes, allow_private=allow_private)
    with Fetcher(options) as fetcher:
        return fetcher.fetch(address).data


def _exists(word: str) -> bool:
    try:
        return Path(word).exists()
    except (OSError, ValueError):  # too long for a name, or with a null byte in it
        return False


def _is_folder(means: Path | bytes | int) -> bool:
    return isinstance(means, Path) and _exists(str(means)) and means.is_dir()


def _folder(operand: Operand) -> Iterator[Asked]:
    from dinoseek.ingest.outcomes import Item
    from dinoseek.ingest.sources import Link, from_folder, scan

    found = False
    folder = str(operand.means)
    for each in scan(from_folder(folder), folder, b""):
        if not isinstance(each, Link):
            found = True
            file = each.file if isinstance(each, Item) else each.item.file
            one = replace(operand, word=str(file), means=file)
            yield Asked(name=str(file), operands=(one,))
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
