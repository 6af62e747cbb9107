"""Looking through groups of duplicates one by one, and saying of each file if it is kept.

Everything that is said is kept in the gallery, as `dinoseek dupes` knows it; no file is touched.
"""

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from dinoseek.duplicates.groups import Group
from dinoseek.duplicates.levels import LEVELS, Level
from dinoseek.errors import MachineError, UsageError
from dinoseek.gallery.choices import Choices, FileKey, choices, put_choices
from dinoseek.gallery.decisions import Decisions, decisions, put_decisions
from dinoseek.gallery.holdings import Copy
from dinoseek.gallery.sqlite_gallery import SqliteGallery
from dinoseek.web.live.choosing import (
    Change,
    Said,
    chosen,
    discarding,
    is_decided,
    keeping,
    keeping_all,
)
from dinoseek.web.live.grouping import Grouping, Groups, Opened, name_of_file

T = TypeVar("T")
_PATIENCE = 0.2  # seconds that a page may wait for groups; small galleries need less
_LOCKED = 1.0  # seconds that a choice may wait for another writer, which may be a short one
_PAUSE = 0.02


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A group as it is shown; none while groups are being found, and where there are none.

    `position` is its place among the `total` of its level, from 1. `said` is what was chosen of
    each file. `totals` are the numbers of groups of the levels that are known, `discarded` how many
    files of the gallery are.
    """

    level: Level
    is_computing: bool
    group: Group | None = None
    name: str = ""
    position: int = 0
    total: int = 0
    said: Mapping[FileKey, Said] = field(default_factory=dict)
    totals: Mapping[Level, int] = field(default_factory=dict)
    discarded: int = 0

    @property
    def is_decided(self) -> bool:
        """Whether something was said of each file."""
        return self.group is not None and is_decided(self.group, self.said)


@dataclass(frozen=True, kw_only=True)
class _Step:
    """What was said once, of which group, and what was there before."""

    level: Level
    name: str
    after: Change
    before: Change


class Review:
    """What many people look through; each has a name, and can undo the last steps of their own.

    Of the last `sessions` people up to `depth` steps are remembered, while this lives.
    """

    def __init__(self, galleries: Opened, *, depth: int = 100, sessions: int = 200) -> None:
        self._galleries = galleries
        self._grouping = Grouping(galleries)
        self._depth = depth
        self._sessions = sessions
        self._steps: OrderedDict[str, deque[_Step]] = OrderedDict()
        self._writing = threading.Lock()

    def look(self, level: Level, position: int | None = None) -> Seen:
        """The group at a place, or the first that is not decided; the nearest if there is none.

        Raises what finding the groups, or reading the gallery, raises.
        """
        groups = self._grouping.groups(level, _PATIENCE)
        choices_made, pairs = self._galleries.run(_read)
        discarded = sum(choice.is_discard for choice in choices_made.values())
        known = {each: self._grouping.known(each) for each in LEVELS}
        totals = {each: len(found.names) for each, found in known.items() if found is not None}
        seen = Seen(level=level, is_computing=groups is None, totals=totals, discarded=discarded)
        if groups is None or not groups.names:
            return seen
        if position is None:
            position = _next_open(groups, 0, choices_made, pairs) or 1
        position = min(max(position, 1), len(groups.names))
        name = groups.names[position - 1]
        group = groups.by_name[name]
        return Seen(
            **{
                **vars(seen),
                "group": group,
                "name": name,
                "position": position,
                "total": len(groups.names),
                "said": chosen(group, choices_made, pairs),
            }
        )

    def keep(self, who: str, level: Level, name: str, key: str) -> int:
        """Says that a file of a group is kept; returns the place of the group to look at next."""
        return self._say(who, level, name, key, keeping)

    def discard(self, who: str, level: Level, name: str, key: str) -> int:
        """Says that a file of a group can go; returns the place of the group to look at next.

        Raises UsageError for the last one that is kept.
        """
        return self._say(who, level, name, key, discarding)

    def keep_all(self, who: str, level: Level, name: str) -> int:
        """Says that all files of a group are kept; returns the place of the one to look at next."""
        group = self._group(level, name)

        def change(gallery: SqliteGallery) -> Change:
            return keeping_all(group, *_read(gallery))

        return self._done(who, level, name, change)

    def undo(self, who: str) -> tuple[Level, int] | None:
        """Takes the last step back; returns where its group is. None if there was no step.

        What somebody else has said of the same files since then stays.
        """
        with self._writing:
            steps = self._steps.get(who)
            if not steps:
                return None
            step = steps[-1]
            self._patiently(lambda gallery: _put_back(gallery, step))
            steps.pop()
        groups = self._grouping.known(step.level)
        names = groups.names if groups else ()
        return step.level, names.index(step.name) + 1 if step.name in names else 1

    def can_undo(self, who: str) -> bool:
        """Whether there is a step to take back."""
        return bool(self._steps.get(who))

    def close(self) -> None:
        """Ends the thread that finds groups."""
        self._grouping.close()

    def _say(
        self,
        who: str,
        level: Level,
        name: str,
        key: str,
        plan: Callable[[Group, Copy, Choices, Decisions], Change],
    ) -> int:
        group = self._group(level, name)
        copies = (each.copy for each in group.members)
        copy = next((each for each in copies if name_of_file(each) == key), None)
        if copy is None:
            raise UsageError("dupes.unknown", name, "the group has no such file")

        def change(gallery: SqliteGallery) -> Change:
            return plan(group, copy, *_read(gallery))

        return self._done(who, level, name, change)

    def _group(self, level: Level, name: str) -> Group:
        groups = self._grouping.known(level)
        group = groups.by_name.get(name) if groups else None
        if group is None:
            reason = "the gallery changed meanwhile, and it is not there any more"
            raise UsageError("dupes.changed", "the group", reason, fix="look at the groups again")
        return group

    def _done(
        self, who: str, level: Level, name: str, change: Callable[[SqliteGallery], Change]
    ) -> int:
        """Remembers a change, all of it or nothing; returns the place to look at next."""

        def apply(gallery: SqliteGallery) -> tuple[Change, Change, Choices, Decisions]:
            with gallery.writing() as writer, writer.batch():
                after = change(gallery)
                return after, _put(gallery, after), *_read(gallery)

        with self._writing:
            after, before, choices_made, pairs = self._patiently(apply)
            self._remember(who, _Step(level=level, name=name, after=after, before=before))
        groups = self._grouping.known(level)
        if groups is None or name not in groups.names:
            return 1
        place = groups.names.index(name) + 1
        if not is_decided(groups.by_name[name], chosen(groups.by_name[name], choices_made, pairs)):
            return place
        return _next_open(groups, place, choices_made, pairs) or place

    def _remember(self, who: str, step: _Step) -> None:
        steps = self._steps.setdefault(who, deque(maxlen=self._depth))
        steps.append(step)
        self._steps.move_to_end(who)
        while len(self._steps) > self._sessions:
            self._steps.popitem(last=False)

    def _patiently(self, work: Callable[[SqliteGallery], T]) -> T:
        """Does what writes to the gallery; waits a little for another writer."""
        until = time.monotonic() + _LOCKED
        while True:
            try:
                return self._galleries.run(work)
            except MachineError as exc:
                if exc.code != "gallery.locked" or time.monotonic() >= until:
                    raise
            time.sleep(_PAUSE)


def _put(gallery: SqliteGallery, change: Change) -> Change:
    """Remembers a change and returns what was; UsageError if it is of files that changed."""
    before = Change(
        files=put_choices(gallery, change.files), pairs=put_decisions(gallery, change.pairs)
    )
    now = choices(gallery)
    if any(now.get(key) != choice for key, choice in change.files.items()):
        reason = "one of its files changed meanwhile, or is not in the gallery any more"
        raise UsageError("dupes.changed", "the group", reason, fix="look at the groups again")
    return before


def _put_back(gallery: SqliteGallery, step: _Step) -> None:
    """Makes it as it was before a step, but for what was said by others since."""
    with gallery.writing() as writer, writer.batch():
        said, pairs = _read(gallery)
        files = {
            key: was
            for key, was in step.before.files.items()
            if said.get(key) == step.after.files[key]
        }
        put_choices(gallery, files)
        verdicts = {
            two: was
            for two, was in step.before.pairs.items()
            if pairs.get(two) == step.after.pairs[two]
        }
        put_decisions(gallery, verdicts)


def _read(gallery: SqliteGallery) -> tuple[Choices, Decisions]:
    with gallery.reading():
        return choices(gallery), decisions(gallery)


def _next_open(groups: Groups, after: int, said: Choices, pairs: Decisions) -> int | None:
    """The place of the next group that is not decided, behind one or from the start."""
    count = len(groups.names)
    for step in range(count):
        place = (after + step) % count
        group = groups.by_name[groups.names[place]]
        if not is_decided(group, chosen(group, said, pairs)):
            return place + 1
    return None
