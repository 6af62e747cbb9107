"""What a choice on one file means for its group: what is remembered, and when all is decided."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Literal, TypeAlias

from dinoseek.duplicates.groups import Group
from dinoseek.errors import UsageError
from dinoseek.gallery.choices import Choice, Choices, FileKey, key_of
from dinoseek.gallery.decisions import Decisions, Verdict, pair
from dinoseek.gallery.holdings import Copy

Said: TypeAlias = Literal["", "keep", "discard"]

# Of so many different images every two are said to be wanted; of more, each beside the first.
_MOST_PAIRED = 200


@dataclass(frozen=True, kw_only=True)
class Change:
    """What is to be remembered of files and of pairs of images; None: nothing any more."""

    files: Mapping[FileKey, Choice | None] = field(default_factory=dict)
    pairs: Mapping[tuple[str, str], Verdict | None] = field(default_factory=dict)


def chosen(group: Group, choices: Choices, decisions: Decisions) -> dict[FileKey, Said]:
    """What was said of each file of a group, in its order.

    If one file is left of which nothing was said, it is kept where all others go, and so is the one
    to keep where all others are decided. Of what is not a file of its own nothing need be said.
    """
    first = group.keeper.copy
    found = {
        key_of(each.copy): _said(each.copy, first, choices, decisions) for each in group.members
    }
    files = [key_of(copy) for copy in _files(group)]
    left = [key for key in files if not found[key]]
    if len(left) == 1:
        others = {found[key] for key in files if key != left[0]}
        if others and (left[0] == key_of(first) or others == {"discard"}):
            found[left[0]] = "keep"
    return found


def _said(copy: Copy, first: Copy, choices: Choices, decisions: Decisions) -> Said:
    choice = choices.get(key_of(copy))
    if choice is not None and choice.digest == copy.digest:
        return "discard" if choice.is_discard else "keep"
    if copy != first and pair(copy.digest, first.digest) in decisions:
        return "keep"
    return ""


def is_decided(group: Group, said: Mapping[FileKey, Said]) -> bool:
    """Whether something was said of each file of a group."""
    return all(said[key_of(copy)] for copy in _files(group))


def keeping(group: Group, copy: Copy, choices: Choices, decisions: Decisions) -> Change:
    """A file is wanted: beside the one to keep, and beside all that were said to be."""
    kept = {key_of(copy): Choice(digest=copy.digest)}
    return _settled(group, kept, choices, decisions)


def keeping_all(group: Group, choices: Choices, decisions: Decisions) -> Change:
    """All files are wanted."""
    kept = {key_of(each): Choice(digest=each.digest) for each in _files(group)}
    change = _settled(group, kept, choices, decisions)
    digests = list(dict.fromkeys(each.copy.digest for each in group.members))
    pairs = [pair(each, each) for each in digests if _count(group, each) > 1]
    if len(digests) <= _MOST_PAIRED:
        pairs += [pair(*two) for two in combinations(digests, 2)]
    else:
        pairs += [pair(digests[0], each) for each in digests[1:]]
    new: dict[tuple[str, str], Verdict | None] = {
        two: "keep-both" for two in pairs if two not in decisions
    }
    return Change(files=change.files, pairs={**change.pairs, **new})


def discarding(group: Group, copy: Copy, choices: Choices, decisions: Decisions) -> Change:
    """A file can go. Raises UsageError for the last one that is kept."""
    left = [each for each in _remaining(group, choices) if each != copy]
    if copy.kind != "file":
        reason = "it is not a file of its own, so it is left alone"
        raise UsageError("dupes.elsewhere", copy.shown, reason)
    if not left:
        reason = "it is the last file of this group that is kept"
        raise UsageError("dupes.last", copy.shown, reason, fix="keep another one first")
    gone = {key_of(copy): Choice(digest=copy.digest, instead=_best(copy, left).digest)}
    change = _settled(group, gone, choices, decisions)
    if any(each.digest == copy.digest for each in left):
        return change
    others = {each.copy.digest for each in group.members} - {copy.digest}
    said = {pair(copy.digest, each): None for each in others}
    taken_back = {two: None for two in said if decisions.get(two) == "keep-both"}
    return Change(files=change.files, pairs={**change.pairs, **taken_back})


def _settled(
    group: Group, new: Mapping[FileKey, Choice], choices: Choices, decisions: Decisions
) -> Change:
    """New choices, and what follows: other keepers for discarded files, and pairs of kept ones."""
    now = {**choices, **new}
    left = _remaining(group, now)
    there = {copy.digest for copy in left}
    moved = {}
    for copy in _files(group):
        choice = now.get(key_of(copy))
        if choice is None or choice.instead is None or choice.instead in there or not left:
            continue
        if _count(group, choice.instead):  # what is kept instead of it is not in this group
            moved[key_of(copy)] = Choice(digest=copy.digest, instead=_best(copy, left).digest)
    return Change(files={**new, **moved}, pairs=_pairs(group, left, now, decisions))


def _pairs(
    group: Group, left: Sequence[Copy], now: Choices, decisions: Decisions
) -> dict[tuple[str, str], Verdict | None]:
    """The pairs of images of which a file is kept, that nothing was said of.

    The one to keep is, unless it was discarded. Equal files are such a pair if none of them is
    undecided.
    """
    first = group.keeper.copy
    kept = [copy for copy in left if copy == first or key_of(copy) in now]
    if not any(key_of(copy) in now for copy in kept):
        return {}
    digests = list(dict.fromkeys(copy.digest for copy in kept))[:_MOST_PAIRED]
    pairs = [pair(*two) for two in combinations(digests, 2)]
    for digest in digests:
        alike = [copy for copy in left if copy.digest == digest]
        if len(alike) > 1 and all(copy in kept for copy in alike):
            pairs.append(pair(digest, digest))
    return {two: "keep-both" for two in pairs if two not in decisions}


def _remaining(group: Group, choices: Choices) -> list[Copy]:
    """The files of a group that were not discarded, the best first."""
    return [copy for copy in _files(group) if not _is_discarded(copy, choices)]


def _is_discarded(copy: Copy, choices: Choices) -> bool:
    choice = choices.get(key_of(copy))
    return choice is not None and choice.digest == copy.digest and choice.is_discard


def _best(copy: Copy, left: Sequence[Copy]) -> Copy:
    """What is kept instead of a file: one with the same bytes, else the best."""
    return next((each for each in left if each.digest == copy.digest), left[0])


def _files(group: Group) -> list[Copy]:
    return [each.copy for each in group.members if each.copy.kind == "file"]


def _count(group: Group, digest: str) -> int:
    return sum(each.copy.digest == digest for each in group.members)
