"""Which of several alike files to keep, and why.

Any other before one that a person discarded; a file of its own before one in an archive or on the
web; then the highest resolution, the largest file, a reference folder, the preferred folders in
their order, the oldest file, the path.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from dinoseek.errors import UsageError, printable
from dinoseek.gallery.choices import Choices, key_of
from dinoseek.gallery.holdings import Copy
from dinoseek.gallery.roots import slashed

_HOMES = {"file": 0, "archive": 1, "web": 2}
_ELSEWHERE = {"archive": "in an archive", "web": "on the web"}


@dataclass(frozen=True)
class Folder:
    """A folder as it was named, and its real path."""

    name: str
    path: bytes

    @classmethod
    def at(cls, folder: str | Path) -> "Folder":
        return cls(printable(folder), slashed(folder))

    def has(self, copy: Copy) -> bool:
        """Whether a file lies in the folder, or below."""
        if copy.kind == "web":
            return False
        file = os.fsencode(Path(copy.root).as_posix()).rstrip(b"/") + b"/" + copy.path
        return file.startswith(self.path + b"/")


@dataclass(frozen=True, kw_only=True)
class Preference:
    """The folders whose files are rather kept, the first most; and those that are never touched.

    `choices` is what a person said of files: before all else, one that can go is not kept.
    """

    prefer: tuple[Folder, ...] = ()
    reference: tuple[Folder, ...] = ()
    choices: Choices = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        prefer: Iterable[str | Path] = (),
        reference: Iterable[str | Path] = (),
        choices: Choices | None = None,
    ) -> "Preference":
        return cls(
            prefer=tuple(map(Folder.at, prefer)),
            reference=tuple(map(Folder.at, reference)),
            choices=choices or {},
        )

    def check(self, copies: Sequence[Copy]) -> None:
        """Raises UsageError for a folder that no file of the gallery is in."""
        for folder in (*self.prefer, *self.reference):
            if not any(map(folder.has, copies)):
                reason = "no file of the gallery is in this folder"
                raise UsageError("dupes.folder", folder.name, reason)

    def reference_of(self, copy: Copy) -> str | None:
        """The reference folder that a file is in."""
        return next((folder.name for folder in self.reference if folder.has(copy)), None)

    def choice_of(self, copy: Copy) -> Literal["keep", "discard"] | None:
        """What a person said of a file."""
        said = self.choices.get(key_of(copy))
        if said is None:
            return None
        return "discard" if said.is_discard else "keep"

    def rank(self, copy: Copy) -> tuple[Any, ...]:
        """Sorts files by how much they are worth keeping, the best first."""
        return (
            self.choice_of(copy) == "discard",
            _HOMES[copy.kind],
            -copy.width * copy.height,
            -copy.bytes,
            self.reference_of(copy) is None,
            self._place(copy),
            copy.mtime_ns if copy.kind == "file" else 0,
            copy.root,
            copy.path,
        )

    def _place(self, copy: Copy) -> int:
        places = (place for place, folder in enumerate(self.prefer) if folder.has(copy))
        return next(places, len(self.prefer))

    def reason(self, kept: Copy, other: Copy) -> str:
        """Why `kept` ranks before `other`: the first thing in which they differ."""
        ranks = zip(self.rank(kept), self.rank(other), strict=True)
        criterion = next((i for i, (one, two) in enumerate(ranks) if one != two), len(_REASONS))
        match criterion:
            case 4:
                return f"in the reference folder {self.reference_of(kept)}"
            case 5:
                return f"in the preferred folder {self.prefer[self._place(kept)].name}"
            case _:
                return _REASONS.get(criterion, _by_path)(kept, other)


def elsewhere(copy: Copy) -> str | None:
    """Where an image is that is not a file of its own, and so is left alone."""
    return _ELSEWHERE.get(copy.kind)


def amount(size: int) -> str:
    """A number of bytes for people: 812 bytes, 34 kB, 2.1 MB."""
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if size >= unit:
            count = size / unit
            return f"{count:.1f} {name}" if count < 10 else f"{count:,.0f} {name}"
    return f"{size} {'byte' if size == 1 else 'bytes'}"


def _by_choice(_kept: Copy, _other: Copy) -> str:
    return "you discarded the other"


def _by_home(kept: Copy, other: Copy) -> str:
    if kept.kind == "file":
        return f"a file of its own rather than {_ELSEWHERE[other.kind]}"
    return f"{_ELSEWHERE[kept.kind]} rather than {_ELSEWHERE[other.kind]}"


def _by_size(kept: Copy, other: Copy) -> str:
    return f"{kept.width} x {kept.height} rather than {other.width} x {other.height}"


def _by_bytes(kept: Copy, other: Copy) -> str:
    more, less = amount(kept.bytes), amount(other.bytes)
    if more == less:
        more, less = f"{kept.bytes:,} bytes", f"{other.bytes:,}"
    return f"{more} rather than {less}"


def _by_time(kept: Copy, other: Copy) -> str:
    times = [datetime.fromtimestamp(each.mtime_ns / 1e9, UTC) for each in (kept, other)]
    for form in ("%Y-%m-%d", "%Y-%m-%d %H:%M:%S"):
        older, newer = (time.strftime(form) for time in times)
        if older != newer:
            return f"the older file: {older} rather than {newer}"
    return "the older file"


def _by_path(_kept: Copy, _other: Copy) -> str:
    return "its path comes first"


_REASONS = {
    0: _by_choice,
    1: _by_home,
    2: _by_size,
    3: _by_bytes,
    6: _by_time,
    7: _by_path,
    8: _by_path,
}
