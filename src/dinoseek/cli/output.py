"""Hits on stdout: a table for people; JSON, JSON lines, CSV or paths for programs."""

import csv
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dinoseek.errors import UsageError, printable

if TYPE_CHECKING:
    from dinoseek.gallery.base import JSON, Hit

F = TypeVar("F", bound=Callable[..., Any])
Groups = Sequence[tuple[str, "Sequence[Hit]"]]  # (query, its hits)

FORMATS = ("json", "jsonl", "csv", "paths", "print0")
# A spreadsheet takes a text that begins so for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_COLUMNS = ("query", "rank", "id", "path", "score", "caption", "percentile", "url", "copies")


def format_options(command: F) -> F:
    """Adds --json --jsonl --csv --paths -0; the command gets them as booleans of these names."""
    for option in (
        click.option("-0", "print0", is_flag=True, help="Write paths, each ended by a NUL byte."),
        click.option("--paths", is_flag=True, help="Write paths, one a line."),
        click.option("--csv", is_flag=True, help="Write CSV with a header."),
        click.option("--jsonl", is_flag=True, help="Write one JSON object a line."),
        click.option("--json", is_flag=True, help="Write a JSON array."),
    ):
        command = option(command)
    return command


def chosen_format(**flags: bool) -> str:
    """The one format that was asked for, or "table"."""
    asked = [name for name in FORMATS if flags.get(name)]
    if len(asked) > 1 and asked != ["paths", "print0"]:
        names = " and ".join("-0" if name == "print0" else f"--{name}" for name in asked)
        raise UsageError("usage.formats", names, "only one output format at a time")
    return asked[-1] if asked else "table"


def write_hits(groups: Groups, form: str, *, long: bool = False) -> None:
    """Writes the hits of each query to stdout; a `long` table has addresses and metadata too."""
    rows = [hit.as_dict() for _, hits in groups for hit in hits]
    match form:
        case "json":
            print(json.dumps(rows, indent=2, ensure_ascii=False))
        case "jsonl":
            for row in rows:
                print(json.dumps(row, ensure_ascii=False))
        case "csv":
            _write_csv(rows)
        case "paths" | "print0":
            _write_paths(groups, b"\0" if form == "print0" else b"\n")
        case _:
            _write_tables(groups, long=long)


def _write_csv(rows: Sequence[dict[str, Any]]) -> None:
    fixed = [name for name in (rows[0] if rows else _COLUMNS) if name != "metadata"]
    names = dict.fromkeys(name for row in rows for name in row["metadata"])
    columns = [*fixed, *_apart(names, {*fixed, "distance", "reranked"})]
    writer = csv.writer(_Lines())
    writer.writerow(map(_cell, columns))
    for row in rows:
        values = [row.get(name) for name in fixed] + [row["metadata"].get(name) for name in names]
        writer.writerow(map(_cell, values))


class _Lines:
    """Ends rows by a line feed. The writer must end them by both, or it would not quote a CR."""

    def write(self, row: str) -> None:
        sys.stdout.write(row.removesuffix("\r\n") + "\n")


def _apart(names: Iterable[str], fixed: set[str]) -> Iterator[str]:
    """Column names for metadata: `meta.` before those that are taken."""
    taken = {*fixed, *names}
    for name in names:
        column = name
        while column in fixed or (column != name and column in taken):
            column = f"meta.{column}"
        taken.add(column)
        yield column


def _cell(value: "JSON") -> str | int | float:
    """A value for CSV: a text that a spreadsheet would run gets a ' before it."""
    match value:
        case None:
            return ""
        case bool() | list() | dict():
            return json.dumps(value, ensure_ascii=False)
        case str():
            return f"'{value}" if value.startswith(_FORMULA) and value != "-" else value
        case _:
            return value


def _write_paths(groups: Groups, end: bytes) -> None:
    """The files' own bytes, whatever their encoding; the address of what has no file."""
    sys.stdout.flush()
    for _, hits in groups:
        for hit in hits:
            sys.stdout.buffer.write(os.fsencode(hit.file or hit.url or hit.path) + end)
    sys.stdout.buffer.flush()


def _write_tables(groups: Groups, *, long: bool) -> None:
    for number, (query, hits) in enumerate(groups):
        if len(groups) > 1:
            print(("\n" if number else "") + f"{query}")
        if not hits:
            print("no hits")
        elif sys.stdout.isatty():
            _write_rich_table(hits, long=long)
        else:
            _write_plain_table(hits, long=long)


def _write_plain_table(hits: "Sequence[Hit]", *, long: bool) -> None:
    columns = _table(hits)
    for row, hit in enumerate(hits):
        print("  ".join(column[row] for column in columns.values()).rstrip())
        for line in _details(hit) if long else ():
            print(f"     {line}")


def _table(hits: "Sequence[Hit]") -> dict[str, list[str]]:
    """The columns that are worth showing: those that some hit has something in."""
    measure = "score" if hits[0].distance is None else "distance"
    columns = {
        "rank": [f"{hit.rank:>3}" for hit in hits],
        measure: [f"{hit.score if hit.distance is None else hit.distance:.4f}" for hit in hits],
        "reranked": ["" if hit.reranked is None else f"{hit.reranked:.4f}" for hit in hits],
        "above": [_percent(hit.percentile) for hit in hits],
        "copies": [f"+{hit.copies}" if hit.copies else "" for hit in hits],
        "path": [hit.path for hit in hits],
        "caption": [printable(hit.caption or "") for hit in hits],
    }
    for name in ("reranked", "above", "copies"):
        width = max(map(len, columns[name]))
        columns[name] = [cell.rjust(width) for cell in columns[name]]
    return {name: cells for name, cells in columns.items() if any(map(str.strip, cells))}


def _percent(percentile: float | None) -> str:
    from dinoseek.ranking import percent

    return "" if percentile is None else percent(percentile)


def _details(hit: "Hit") -> Iterator[str]:
    """What a long table says besides, in lines that can be printed."""
    if hit.url and hit.url != hit.path:
        yield f"url: {printable(hit.url)}"
    for name, value in hit.metadata.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        yield f"{printable(name)}: {printable(text)}"


def _write_rich_table(hits: "Sequence[Hit]", *, long: bool) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    columns = _table(hits)
    if long:
        columns["path"] = ["\n".join([hit.path, *_details(hit)]) for hit in hits]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        to_the_right = name not in ("path", "caption")
        table.add_column(
            name, justify="right" if to_the_right else "left", overflow="fold", no_wrap=to_the_right
        )
    for row in zip(*columns.values(), strict=True):
        table.add_row(*map(Text, row))  # nothing in a name is markup
    Console().print(table)
