"""Writes groups of duplicates as one self-contained HTML page, side by side, level by level."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from itertools import count, groupby
from pathlib import Path
from string import Template

from dinoseek.duplicates.groups import Group, Member
from dinoseek.duplicates.keeper import amount
from dinoseek.duplicates.levels import Level
from dinoseek.errors import printable
from dinoseek.gallery.holdings import Copy
from dinoseek.report.pictures import (
    ThumbnailOf,
    data_uri,
    no_thumbnail,
    picture,
    thumbnail,
)
from dinoseek.report.template import write_pieces

LIMIT = 500  # groups on one page: some 20 MB

_NOTES: dict[Level, tuple[str, str]] = {
    "exact": ("Exact", "The same bytes, in several files."),
    "near": ("Near", "The same picture in other bytes: encoded again, resized or slightly edited."),
    "similar": (
        "Similar",
        "Different pictures of what looks like the same thing. Look before you act.",
    ),
}
_FOOT = "Every image of a group is alike with the one to keep. Made with dinoseek."


def write_duplicates(
    path: Path,
    groups: Sequence[Group],
    *,
    title: str = "Duplicates",
    facts: Mapping[str, object] | None = None,
    thumbnail_of: ThumbnailOf = no_thumbnail,
    limit: int = LIMIT,
) -> None:
    """Writes `groups` to `path`, `limit` of each level at most; `facts` stand under the title.

    `thumbnail_of` gives a small picture of an image, by its id, where it has no file.
    """
    write_pieces(path, _page(groups, title, facts or {}, thumbnail_of, limit))


def _page(
    groups: Sequence[Group],
    title: str,
    facts: Mapping[str, object],
    thumbnail_of: ThumbnailOf,
    limit: int,
) -> Iterator[str]:
    """The page in pieces, so that only one group's pictures are held at a time."""
    levels = {level: list(found) for level, found in groupby(groups, key=lambda each: each.level)}
    spare = sum(group.spare_bytes for group in groups)
    said = {**facts, "groups": f"{len(groups):,}", "can go": amount(spare)}
    facts_html = "".join(_fill("fact", name=name, value=value) for name, value in said.items())
    yield _fill_raw("head", title=_text(title), facts=facts_html)
    links = "".join(
        _fill("link", level=level, name=_NOTES[level][0], count=f"{len(found):,}")
        for level, found in levels.items()
    )
    yield _fill_raw("levels", links=links) if levels else _fill("none")
    numbers = count(1)
    for level, found in levels.items():
        name, note = _NOTES[level]
        if len(found) > limit:
            note += f" The first {limit:,} of {len(found):,} groups are shown."
        yield _fill("level", level=level, name=name, note=note)
        for group in found[:limit]:
            yield _group(next(numbers), group, thumbnail_of)
        yield _fill("level_end")
    yield _fill("foot", note=_FOOT)


def _group(number: int, group: Group, thumbnail_of: ThumbnailOf) -> str:
    spare = f"{amount(group.spare_bytes)} can go" if group.spare else "nothing can go"
    return _fill_raw(
        "group",
        number=str(number),
        count=f"{len(group.members)} images",
        spare=spare,
        images="".join(_image(member, thumbnail_of) for member in group.members),
    )


def _image(member: Member, thumbnail_of: ThumbnailOf) -> str:
    copy = member.copy
    folder, name = _last_parts(copy)
    why = member.why if member.keep or not member.can_go else ""
    return _fill_raw(
        "image",
        keep=" keep" if member.keep else "",
        badge=_fill("badge") if member.keep else "",
        link=_link(copy),
        full_path=_text(copy.shown),
        picture=_picture(member, thumbnail_of),
        size=f"{copy.width} x {copy.height}",
        bytes=amount(copy.bytes),
        format=_text(copy.format),
        why=_fill("why", text=_capital(why)) if why else "",
        evidence=_evidence(member),
        said=_fill("said", text=member.decided) if member.decided else "",
        name=_text(name),
        folder=_text(f"{folder}/" if folder else ""),
    )


def _evidence(member: Member) -> str:
    if member.evidence is None:
        return ""
    return _fill("evidence", text=_capital(member.evidence.describe()))


def _picture(member: Member, thumbnail_of: ThumbnailOf) -> str:
    copy = member.copy
    image = picture(copy.file) or picture(thumbnail_of(copy.id))
    if image is None:
        return _fill("gone", text="file missing" if copy.file else "no picture")
    small = thumbnail(image)
    alt = f"{_last_parts(copy)[1]}, {'to keep' if member.keep else 'can go'}"
    return _fill("picture", source=data_uri(small), alt=alt, width=small.width, height=small.height)


def _link(copy: Copy) -> str:
    """Where a click leads, as an attribute: the file, the address, or nowhere."""
    target = ""
    if copy.kind == "web" and copy.shown.startswith(("http://", "https://")):
        target = copy.shown
    elif copy.file and copy.file.is_absolute():
        target = copy.file.as_uri()
    return f' href="{_text(target)}"' if target else ""


def _last_parts(copy: Copy) -> tuple[str, str]:
    """The folder that a file lies in, and its name: enough to tell files of one name apart."""
    path = os.fsencode(copy.root) + b"/" + copy.path if copy.kind != "web" else copy.path
    folder, _, name = path.rpartition(b"/")
    return os.fsdecode(folder.rpartition(b"/")[2]), os.fsdecode(name or path)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _fill(part: str, **values: object) -> str:
    """The named part of the page with `values` in it as text: nothing in them becomes markup."""
    return _fill_raw(part, **{name: _text(value) for name, value in values.items()})


def _fill_raw(part: str, **values: str) -> str:
    return _parts()[part].substitute(values)


def _text(value: object) -> str:
    return escape(printable(value))


@cache
def _parts() -> dict[str, Template]:
    page = files("dinoseek.report").joinpath("duplicates.html").read_text(encoding="utf-8")
    _, *pieces = re.split(r"<!-- part: (\w+) -->\n", page)
    return {name: Template(text) for name, text in zip(pieces[::2], pieces[1::2], strict=True)}
