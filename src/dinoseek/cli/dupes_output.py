"""Groups of duplicates on stdout, for people or as JSON, and the account of them on stderr."""

import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import click

from dinoseek.errors import printable

if TYPE_CHECKING:
    from dinoseek.cli.dupes_found import Found, Wanted
    from dinoseek.duplicates.actions import Outcome
    from dinoseek.duplicates.groups import Group, Member

Row: TypeAlias = tuple[str, ...]  # keep, path, size, bytes, format, what
Outcomes: TypeAlias = "Mapping[tuple[str, bytes], Outcome]"  # by root and path

_DONE = {"move": "moved", "hardlink": "linked", "delete": "deleted"}
_LEFT_OUT = {
    "missing": "not there any more",
    "changed": "changed since they were indexed",
    "link": "links to others",
}


def write_json(gallery: Path, level: str, found: "Found") -> None:
    """Writes everything as one JSON object."""
    whole = {
        "gallery": printable(gallery),
        "level": level,
        "groups": [group.as_dict() for group in found.groups],
        "spare_files": found.spare_files,
        "spare_bytes": found.spare_bytes,
        "left_out": dict(found.left_out),
        "stuck": [member.as_dict() for member in found.stuck],
        "actions": [outcome.as_dict() for outcome in found.outcomes],
    }
    print(json.dumps(whole, indent=2, ensure_ascii=False))


def write_groups(found: "Found", wanted: "Wanted") -> None:
    """Writes a table for each group, with what became of its files."""
    became = {(outcome.copy.root, outcome.copy.path): outcome for outcome in found.outcomes}
    tables = [(_heading(group), group.members) for group in found.groups]
    if found.stuck:
        count = len(found.stuck)
        images = f"{count:,} {'image' if count == 1 else 'images'}"
        tables.append((f"discarded: {images}, nothing can go", tuple(found.stuck)))
    if not tables:
        print("nothing is discarded" if wanted.discarded else "no duplicates")
    write = _write_rich if sys.stdout.isatty() else _write_plain
    for number, (heading, members) in enumerate(tables):
        if number:
            print()
        write(heading, [_row(member, became) for member in members])


def _heading(group: "Group") -> str:
    from dinoseek.duplicates.keeper import amount

    spare = f", {amount(group.spare_bytes)} can go" if group.spare else ", nothing can go"
    return f"{group.level}: {len(group.members)} images{spare}"


def _row(member: "Member", became: Outcomes) -> Row:
    from dinoseek.duplicates.keeper import amount

    copy = member.copy
    outcome = became.get((copy.root, copy.path))
    what = [_what(member), *([_fate(outcome)] if outcome else [])]
    size = f"{copy.width} x {copy.height}"
    keep = "keep" if member.keep else ""
    return keep, copy.shown, size, amount(copy.bytes), copy.format, "; ".join(what)


def _what(member: "Member") -> str:
    """Why the keeper is kept; how any other is alike with it."""
    if member.evidence is None:
        return member.why
    parts = [member.evidence.describe()]
    if not member.can_go:
        parts.append(member.why)
    if member.decided:
        parts.append(f"you said: {member.decided}")
    return "; ".join(parts)


def _fate(outcome: "Outcome") -> str:
    to = f" to {outcome.target}" if outcome.target else ""
    match outcome.status:
        case "planned":
            return f"would be {_DONE[outcome.action]}{to}"
        case "done":
            return f"{_DONE[outcome.action]}{to}"
        case _:
            return f"skipped: {outcome.reason}"


def _write_plain(heading: str, rows: Sequence[Row]) -> None:
    print(heading)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for keep, path, size, amount, *rest in rows:
        cells = [
            f"{keep:<4}",
            path.ljust(widths[1]),
            size.rjust(widths[2]),
            amount.rjust(widths[3]),
        ]
        format, what = rest
        print("  " + "  ".join([*cells, format.ljust(widths[4]), what]).rstrip())


def _write_rich(heading: str, rows: Sequence[Row]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False, title=Text(heading, "bold"))
    table.title_justify = "left"
    for name in ("keep", "path", "size", "bytes", "format", "what"):
        words = name in ("path", "what")
        to_the_right = name in ("size", "bytes")
        table.add_column(
            justify="right" if to_the_right else "left", overflow="fold", no_wrap=not words
        )
    for row in rows:
        # nothing in a name is markup
        table.add_row(*(Text(cell) for cell in row), style="green" if row[0] else None)
    Console().print(table)


def tell(found: "Found", wanted: "Wanted") -> None:
    """The account, on stderr."""
    for absence, count in found.left_out.items():
        files = "file is" if count == 1 else "files are"
        note = _LEFT_OUT[absence]
        click.echo(f"left out: {count:,} {files} {note}", err=True)
    for outcome in found.outcomes:
        if outcome.status == "skipped":
            click.echo(f"skipped {outcome.copy.shown}: {outcome.reason}", err=True)
    click.echo(_account(found, wanted), err=True)


def _account(found: "Found", wanted: "Wanted") -> str:
    from dinoseek.duplicates.keeper import amount

    levels = Counter(group.level for group in found.groups)
    parts = ", ".join(f"{count:,} {level}" for level, count in levels.items())
    groups = f"{len(found.groups):,} {'group' if len(found.groups) == 1 else 'groups'}"
    count = found.spare_files
    spare = f"{count:,} {'file' if count == 1 else 'files'} can go, {amount(found.spare_bytes)}"
    line = f"{groups} ({parts}): {spare}" if parts else groups
    return f"{line}; {_ending(found, wanted)}" if count else line


def _ending(found: "Found", wanted: "Wanted") -> str:
    from dinoseek.duplicates.keeper import amount

    if wanted.action is None:
        return "nothing was changed: --move-to FOLDER moves them"
    if not wanted.is_serious:
        do_it = "with --yes too they are deleted" if wanted.delete else "without -n it is done"
        return f"nothing was changed: {do_it}"
    done = [outcome for outcome in found.outcomes if outcome.status == "done"]
    size = amount(sum(outcome.copy.bytes for outcome in done))
    return f"{_DONE[wanted.action.kind]} {len(done):,}, {size}"
