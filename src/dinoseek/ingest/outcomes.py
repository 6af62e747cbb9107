"""What became of each file: stored, skipped, duplicate or failed; and which files are gone."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeAlias

from dinoseek.errors import printable
from dinoseek.gallery.base import JSON, WEB


@dataclass(frozen=True, kw_only=True)
class Item:
    """An image that a source offers: a file, an address, or the member of an archive.

    `path` is relative to `root`, in the file system's bytes; see `Record`. `caption`, `metadata`
    and `row` are what a list says of it.
    """

    root: str
    path: bytes
    size: int = 0
    mtime_ns: int = 0
    caption: str | None = None
    metadata: Mapping[str, JSON] = field(default_factory=dict)
    row: int | None = None

    @property
    def url(self) -> str | None:
        """Its address, if it is one."""
        return os.fsdecode(self.path) if self.root == WEB else None

    @property
    def file(self) -> Path:
        """Where it lies, for opening; not for addresses."""
        return Path(self.root, os.fsdecode(self.path))

    def __str__(self) -> str:
        return printable(self.url or self.file)


@dataclass(frozen=True)
class Stored:
    """A new image is in the gallery, with its vector, and stays there whatever happens next."""

    item: Item
    id: int


@dataclass(frozen=True)
class Skipped:
    """There was nothing to embed.

    unchanged: the file is as it was. touched: its time changed, its contents did not. renamed: an
    image of the gallery is now here. link: a link that leads out of the folder, or to another
    folder; it is not followed. described: it is as it was, but its caption or metadata are new.
    repeated: it stands in the list before.
    """

    item: Item
    reason: Literal["unchanged", "touched", "renamed", "link", "described", "repeated"]


@dataclass(frozen=True)
class Duplicate:
    """The same bytes lie at `of` too, a file or an address: one image with one file more."""

    item: Item
    of: Path | str


@dataclass(frozen=True)
class Failed:
    """The file could not be embedded. `known`: that was found before, and not tried again."""

    item: Item
    code: str
    reason: str
    known: bool = False


@dataclass(frozen=True)
class Removed:
    """The file is gone, and forgotten; its image too if it has no other."""

    item: Item


Outcome: TypeAlias = Stored | Skipped | Duplicate | Failed | Removed


@dataclass(frozen=True, kw_only=True)
class Summary:
    """How many files had which outcome; `removed` files are not among the `total`."""

    stored: int = 0
    skipped: int = 0
    duplicates: int = 0
    failed: int = 0
    removed: int = 0
    codes: Mapping[str, int] = field(default_factory=dict)  # of the failures

    @property
    def total(self) -> int:
        """The files that were offered: each is stored, skipped, a duplicate or failed."""
        return self.stored + self.skipped + self.duplicates + self.failed

    @classmethod
    def of(cls, outcomes: Iterable[Outcome]) -> "Summary":
        """Counts outcomes."""
        summary = cls()
        for outcome in outcomes:
            summary = summary.plus(outcome)
        return summary

    def plus(self, outcome: Outcome) -> "Summary":
        """This summary with one outcome more."""
        match outcome:
            case Stored():
                return replace(self, stored=self.stored + 1)
            case Skipped():
                return replace(self, skipped=self.skipped + 1)
            case Duplicate():
                return replace(self, duplicates=self.duplicates + 1)
            case Removed():
                return replace(self, removed=self.removed + 1)
            case Failed(code=code):
                codes = {**self.codes, code: self.codes.get(code, 0) + 1}
                return replace(self, failed=self.failed + 1, codes=codes)
