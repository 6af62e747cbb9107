"""Hits on stdout: a table for people; JSON, JSON lines, CSV or paths for programs."""

import csv
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dinoseek.errors import UsageError, printable

if TYPE_CHECKING:
    from dinoseek.gallery.base import Hit

F = TypeVar("F", bound=Callable[..., Any])
Groups = Sequence[tuple[str, "Sequence[Hit]"]]  # (query, its hits)

FORMATS = ("json", "jsonl", "csv", "paths", "print0")
# A spreadsheet takes a text that begins so for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


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


def write_hits(groups: Groups, form: str) -> None:
    """Writes the hits of each query to stdout."""
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
            _write_tables(groups)


def _write_csv(rows: Sequence[dict[str, Any]]) -> None:
    names = list(rows[0]) if rows else ["query", "rank", "id", "path", "score", "caption"]
    writer = csv.DictWriter(sys.stdout, names, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        caption = row["caption"]
        if caption and caption.startswith(_FORMULA):
            row = {**row, "caption": f"'{caption}"}
        writer.writerow(row)


def _write_paths(groups: Groups, end: bytes) -> None:
    """The files' own bytes, whatever their encoding."""
    sys.stdout.flush()
    for _, hits in groups:
        for hit in hits:
            sys.stdout.buffer.write(os.fsencode(hit.file or hit.path) + end)
    sys.stdout.buffer.flush()


def _write_tables(groups: Groups) -> None:
    for number, (query, hits) in enumerate(groups):
        if len(groups) > 1:
            print(("\n" if number else "") + f"{query}")
        if not hits:
            print("no hits")
        elif sys.stdout.isatty():
            _write_rich_table(hits)
        else:
            for hit in hits:
                print("  ".join(_cells(hit)).rstrip())


def _cells(hit: "Hit") -> list[str]:
    measure = hit.score if hit.distance is None else hit.distance
    return [f"{hit.rank:>3}", f"{measure:.4f}", hit.path, printable(hit.caption or "")]


def _write_rich_table(hits: "Sequence[Hit]") -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("rank", justify="right")
    table.add_column("score" if hits[0].distance is None else "distance", justify="right")
    table.add_column("path", overflow="fold")
    with_captions = any(hit.caption for hit in hits)
    if with_captions:
        table.add_column("caption", overflow="fold")
    for hit in hits:
        cells = [Text(cell) for cell in _cells(hit)]  # nothing in a name is markup
        table.add_row(*cells[: 4 if with_captions else 3])
    Console().print(table)
