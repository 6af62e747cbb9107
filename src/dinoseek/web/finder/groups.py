"""Puts together what the page of duplicates shows: one group, and what was said of its files."""

import shlex
from collections.abc import Sequence
from urllib.parse import urlencode

from django.urls import reverse
from django.utils.translation import gettext as _

from dinoseek.duplicates.groups import Member
from dinoseek.duplicates.keeper import amount
from dinoseek.duplicates.levels import LEVELS, Level
from dinoseek.errors import DinoseekError, MachineError, UsageError
from dinoseek.gallery.base import Record
from dinoseek.gallery.choices import key_of
from dinoseek.gallery.holdings import Copy
from dinoseek.web.finder import shown
from dinoseek.web.finder.tiles import name_of, picture_address, place_of
from dinoseek.web.live.grouping import name_of_file
from dinoseek.web.live.review import Seen
from dinoseek.web.now import config, service

MOST_TWINS = 200  # on one page


def duplicates_shown(
    level: Level,
    position: int | None,
    *,
    who: str,
    can_decide: bool,
    problem: DinoseekError | None = None,
) -> shown.Duplicates:
    """The group at a place of a level, or the first that is not decided."""
    review = service().review
    try:
        seen = review.look(level, position)
    except DinoseekError as exc:
        seen, problem = Seen(level=level, is_computing=False), problem or exc
    twins, hidden = _twins(seen)
    return shown.Duplicates(
        level=level,
        levels=[_level(each, seen) for each in LEVELS],
        twins=twins,
        group=seen.name,
        position=seen.position,
        total=seen.total,
        next=address(level, seen.position + 1) if seen.position < seen.total else None,
        previous=address(level, seen.position - 1) if seen.position > 1 else None,
        can_undo=review.can_undo(who),
        can_decide=can_decide,
        discarded=seen.discarded,
        command=_command() if seen.discarded else "",
        is_computing=seen.is_computing,
        is_decided=seen.is_decided,
        hidden=hidden,
        error=_told(problem) if problem else None,
    )


def decide(who: str, level: Level, choice: str, key: str) -> int:
    """Keeps what a form says; returns the place of the group to look at next.

    `key` is a twin's, or the group's. Raises UsageError for what makes no sense.
    """
    review = service().review
    group, _dot, file = key.partition(".")
    match choice:
        case "keep":
            return review.keep(who, level, group, file)
        case "discard":
            return review.discard(who, level, group, file)
        case "keep-all":
            return review.keep_all(who, level, group)
    reason = _("it is neither to keep nor to discard")
    raise UsageError("dupes.choice", _("the choice"), reason)


def level_of(text: str | None) -> Level:
    """A level by its name; the first of them if there is none of that name."""
    return next((level for level in LEVELS if level == text), LEVELS[0])


def address(level: Level, position: int) -> str:
    """Where a group is shown."""
    return f"{reverse('duplicates')}?{urlencode({'level': level, 'group': position})}"


def _level(level: Level, seen: Seen) -> shown.Choice:
    labels = {"exact": _("Exact"), "near": _("Near"), "similar": _("Similar")}
    return shown.Choice(
        value=level,
        label=labels[level],
        is_chosen=level == seen.level,
        count=seen.totals.get(level),
    )


def _twins(seen: Seen) -> tuple[Sequence[shown.Twin], int]:
    """The files of a group, and how many more there are; of many, the undecided ones come first."""
    if seen.group is None:
        return [], 0
    members = list(seen.group.members)
    if len(members) > MOST_TWINS:
        rest = sorted(members[1:], key=lambda each: bool(seen.said[key_of(each.copy)]))
        members = [members[0], *rest[: MOST_TWINS - 1]]
    twins = [_twin(member, seen, is_best=member is members[0]) for member in members]
    return twins, len(seen.group.members) - len(members)


def _twin(member: Member, seen: Seen, *, is_best: bool) -> shown.Twin:
    copy, record = member.copy, _record(member.copy)
    said = seen.said[key_of(copy)]
    return shown.Twin(
        key=f"{seen.name}.{name_of_file(copy)}",
        id=copy.id,
        name=name_of(record),
        place=place_of(record),
        thumb=picture_address(copy.id, "thumb", copy.digest),
        item=reverse("item", args=[copy.id]),
        facts=f"{copy.width} × {copy.height} · {amount(copy.bytes)} · {copy.format}",
        keep=is_best,
        why=member.why if is_best or not member.can_go else "",
        alike=member.evidence.describe() if member.evidence else "",
        choice=said,
    )


def _record(copy: Copy) -> Record:
    return Record(
        path=copy.path,
        root=copy.root,
        digest=copy.digest,
        width=copy.width,
        height=copy.height,
        bytes=copy.bytes,
        mtime_ns=copy.mtime_ns,
        format=copy.format,
    )


def _command() -> str:
    """What moves the discarded files away; where the gallery lies is nobody's business."""
    return f"dinoseek dupes {shlex.quote(config().gallery.name)} --discarded --move-to spare/"


def _told(problem: DinoseekError) -> str:
    """Why something was not done, without the places of files."""
    if isinstance(problem, MachineError) and problem.code == "gallery.locked":
        return _(
            "Another process is writing to the gallery, so this was not kept."
            " Nothing is lost: try again when it has finished."
        )
    text = f"{problem.reason}; {problem.fix}" if problem.fix else problem.reason
    return text[:1].upper() + text[1:]
