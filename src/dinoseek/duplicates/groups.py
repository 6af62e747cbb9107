"""A group of alike files: which of them to keep, why, and how the others are alike with it."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from dinoseek.duplicates.keeper import Preference, elsewhere
from dinoseek.duplicates.levels import LEVELS, Evidence, Level
from dinoseek.gallery.decisions import Decisions, Verdict, pair
from dinoseek.gallery.holdings import Copy

Said: TypeAlias = Verdict | Literal["keep", "discard"]


@dataclass(frozen=True, kw_only=True)
class Member:
    """One file of a group: whether to keep it, why, and how it is alike with the one to keep.

    `evidence` is None for that one itself, and where nothing is known. `decided` is what a person
    said about the file, or about the two images.
    """

    copy: Copy
    keep: bool
    why: str
    evidence: Evidence | None = None
    decided: Said | None = None

    @property
    def can_go(self) -> bool:
        """Whether it is a file that need not be kept."""
        return not self.keep and self.copy.kind == "file"

    def as_dict(self) -> dict[str, Any]:
        """The file for `--json`."""
        copy = self.copy
        return {
            "id": copy.id,
            "path": copy.shown,
            "width": copy.width,
            "height": copy.height,
            "bytes": copy.bytes,
            "format": copy.format,
            "keep": self.keep,
            "why": self.why,
            "evidence": self.evidence and self.evidence.as_dict(),
            "decided": self.decided,
        }


@dataclass(frozen=True, kw_only=True)
class Group:
    """Files that are alike, the one to keep first. `level` is that of the least alike of them."""

    level: Level
    members: tuple[Member, ...]

    @property
    def keeper(self) -> Member:
        """The file to keep."""
        return self.members[0]

    @property
    def spare(self) -> tuple[Member, ...]:
        """The files that need not be kept."""
        return tuple(member for member in self.members if member.can_go)

    @property
    def spare_bytes(self) -> int:
        """How large the files are that need not be kept."""
        return sum(member.copy.bytes for member in self.spare)

    def as_dict(self) -> dict[str, Any]:
        """The group for `--json`."""
        return {"level": self.level, "images": [member.as_dict() for member in self.members]}


def group_of(
    images: Sequence[Sequence[Copy]],
    evidence: Mapping[int, Evidence],
    preference: Preference,
    said: Decisions,
    *,
    decided: bool,
) -> Group | None:
    """The group of some alike images, the best first; None if only one file is left of it.

    `evidence` says by id how each is alike with the first. Unless `decided`, files that a person
    wants to keep beside the keeper are left out; names of the keeper's own bytes on the disk are
    always.
    """
    keeper = images[0][0]
    others = [copy for image in images for copy in image if copy != keeper]
    if not decided:
        others = [copy for copy in others if preference.choice_of(copy) != "keep"]
        if pair(keeper.digest, keeper.digest) in said:
            others = [copy for copy in others if copy.id != keeper.id]
    own = _inode(keeper)
    others = [copy for copy in others if own is None or _inode(copy) != own]
    if not others:
        return None
    others.sort(key=lambda copy: (LEVELS.index(evidence[copy.id].level), preference.rank(copy)))
    members = [
        member_of(
            copy, keeper, evidence[copy.id], preference, said.get(pair(keeper.digest, copy.digest))
        )
        for copy in others
    ]
    best = min(others, key=preference.rank)
    kept = Member(copy=keeper, keep=True, why=preference.reason(keeper, best))
    return Group(level=evidence[others[-1].id].level, members=(kept, *members))


def member_of(
    copy: Copy,
    keeper: Copy,
    evidence: Evidence | None,
    preference: Preference,
    said: Verdict | None = None,
) -> Member:
    """A file that is alike with the one to keep."""
    reference = preference.reference_of(copy)
    away = elsewhere(copy)
    why = preference.reason(keeper, copy)
    if away:
        why = f"{away}, so it is left alone"
    elif reference:
        why = f"in the reference folder {reference}, so it stays"
    decided = preference.choice_of(copy) or said
    return Member(copy=copy, keep=bool(reference), why=why, evidence=evidence, decided=decided)


def _inode(copy: Copy) -> tuple[int, int] | None:
    """What the file is to the disk: two names with the same are one file."""
    try:
        status = os.lstat(copy.file) if copy.file else None
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if status else None


def ordered(groups: Iterable[Group]) -> list[Group]:
    """Groups by level, then those first of which most can go."""
    return sorted(
        groups, key=lambda g: (LEVELS.index(g.level), -g.spare_bytes, g.keeper.copy.shown)
    )
