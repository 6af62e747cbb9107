"""What `dinoseek dupes` is asked for, what it finds, and what becomes of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dinoseek.cli.interrupts import stop_requests
from dinoseek.cli.progress import with_progress
from dinoseek.errors import UsageError

if TYPE_CHECKING:
    from dinoseek.duplicates.actions import Action, Outcome
    from dinoseek.duplicates.census import Absence
    from dinoseek.duplicates.groups import Group, Member
    from dinoseek.duplicates.keeper import Preference
    from dinoseek.gallery.holdings import Copy
    from dinoseek.gallery.sqlite_gallery import SqliteGallery

_MANY = 5_000  # images that take a moment to compare


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is asked for, and what is to be done."""

    level: Any
    min_score: float | None
    prefer: Sequence[str]
    reference: Sequence[str]
    decided: bool
    discarded: bool
    move_to: Path | None
    hardlink: bool
    delete: bool
    yes: bool
    dry_run: bool

    def __post_init__(self) -> None:
        asked = [name for name in ("move_to", "hardlink", "delete") if getattr(self, name)]
        names = " and ".join(f"--{name.replace('_', '-')}" for name in asked)
        if len(asked) > 1:
            raise UsageError("usage.actions", names, "only one of them, please")
        if asked and self.decided:
            reason = "what you decided to keep is only shown"
            raise UsageError("usage.actions", f"--all and {names}", reason)
        if self.discarded and (self.decided or self.min_score is not None):
            other = "--all" if self.decided else "--min-score"
            reason = "what was discarded is not searched for"
            raise UsageError("usage.discarded", f"--discarded and {other}", reason)
        if self.level is None:
            every = "similar" if self.discarded else "near"
            object.__setattr__(self, "level", "exact" if self.hardlink else every)

    @property
    def action(self) -> "Action | None":
        """What to do with the files that can go."""
        from dinoseek.duplicates.actions import Action

        if self.move_to is not None:
            return Action(kind="move", folder=self.move_to)
        if self.hardlink or self.delete:
            return Action(kind="hardlink" if self.hardlink else "delete")
        return None

    @property
    def is_serious(self) -> bool:
        """Whether to do it, and not only to show it."""
        return not self.dry_run and (self.yes or not self.delete)


@dataclass(frozen=True, kw_only=True)
class Found:
    """The groups, and what became of their files, or would.

    `images` were looked at, and some of their files `left_out`. `stuck` are discarded files of
    which no other is kept now.
    """

    images: int
    left_out: "Mapping[Absence, int]"
    groups: "Sequence[Group]"
    stuck: "Sequence[Member]"
    spare_bytes: int  # before anything was done
    outcomes: "Sequence[Outcome]"

    @property
    def spare_files(self) -> int:
        """How many files can go."""
        return sum(len(group.spare) for group in self.groups)


def found_in(gallery: "SqliteGallery", wanted: Wanted) -> Found:
    """Finds what is wanted, and does with it what is to be done."""
    from dinoseek.duplicates.actions import freed_bytes
    from dinoseek.duplicates.keeper import Preference
    from dinoseek.gallery.choices import choices
    from dinoseek.gallery.holdings import copies

    preference = Preference.of(wanted.prefer, wanted.reference, choices(gallery))
    every = copies(gallery)
    preference.check(every)
    search = _discarded if wanted.discarded else _duplicates
    images, left_out, groups, stuck = search(gallery, every, preference, wanted)
    return Found(
        images=images,
        left_out=left_out,
        groups=groups,
        stuck=stuck,
        spare_bytes=freed_bytes(groups),
        outcomes=[*_stuck(stuck, wanted), *_outcomes(gallery, groups, wanted)],
    )


def _duplicates(
    gallery: "SqliteGallery", every: "Sequence[Copy]", preference: "Preference", wanted: Wanted
) -> "tuple[int, Mapping[Absence, int], Sequence[Group], Sequence[Member]]":
    from dinoseek.duplicates.census import take_census
    from dinoseek.duplicates.find import groups_in

    census = take_census(every, preference)
    if wanted.level != "exact" and len(census.images) >= _MANY:
        click.echo(f"comparing {len(census.images):,} images ...", err=True)
    groups = groups_in(
        gallery,
        census,
        preference,
        wanted.level,
        min_score=wanted.min_score,
        decided=wanted.decided,
    )
    return len(census.images), census.left_out, groups, []


def _discarded(
    gallery: "SqliteGallery", every: "Sequence[Copy]", preference: "Preference", wanted: Wanted
) -> "tuple[int, Mapping[Absence, int], Sequence[Group], Sequence[Member]]":
    from dinoseek.duplicates.discarded import discarded_files

    found = discarded_files(gallery, every, preference, wanted.level)
    return len({copy.id for copy in every}), found.left_out, found.groups, found.stuck


def _stuck(stuck: "Sequence[Member]", wanted: Wanted) -> "list[Outcome]":
    """Nothing is done with files of which no other is kept, and that is said."""
    from dinoseek.duplicates.actions import Outcome

    if wanted.action is None:
        return []
    told = {"action": wanted.action.kind, "status": "skipped", "code": "dupes.keeper"}
    return [
        Outcome(copy=member.copy, reason=member.why, **told)  # type: ignore[arg-type]
        for member in stuck
    ]


def _outcomes(
    gallery: "SqliteGallery", groups: "Sequence[Group]", wanted: Wanted
) -> "list[Outcome]":
    """Does what is to be done; Ctrl-C ends it after the file that is being worked on."""
    from dinoseek.duplicates.actions import perform, plan

    action = wanted.action
    if action is None:
        return []
    if not wanted.is_serious:
        return list(plan(gallery, groups, action, chosen=wanted.discarded))
    outcomes = perform(gallery, groups, action, chosen=wanted.discarded)
    done = []
    with stop_requests() as stop:
        total = sum(len(group.spare) for group in groups)
        for outcome in with_progress(outcomes, lambda: total, "clearing away"):
            done.append(outcome)
            if stop:
                outcomes.close()  # type: ignore[attr-defined]
                stop.obey()
    return done
