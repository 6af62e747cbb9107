"""What `dinoseek evaluate` writes: a table for people, Markdown, JSON, and files."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dinoseek.errors import MachineError, printable

if TYPE_CHECKING:
    from dinoseek.evaluation.compare import Difference
    from dinoseek.evaluation.prepare import Check, Source
    from dinoseek.evaluation.result import Evaluation, Saved
    from dinoseek.evaluation.vectors import Vectors

_PER_QUERY = ("queries", "groups", "values")


def tell_failures(vectors: "Vectors", images: Sequence[str]) -> None:
    """Says on stderr which images could not be read."""
    for position, error in sorted(vectors.failures.items()):
        click.echo(f"skipped {images[position]}: {error.reason}", err=True)


def write_evaluation(found: "Evaluation", *, as_json: bool, markdown: bool) -> None:
    """Writes the metrics to stdout; in percent, but for JSON."""
    if as_json:
        content = {name: v for name, v in found.as_dict().items() if name not in _PER_QUERY}
        print(json.dumps(content, indent=2, ensure_ascii=False))
    elif markdown:
        print(markdown_of(found))
    else:
        print(printable(found.name))
        for line in table(_rows(found)):
            print(line)
        for note in [_sizes(found), *found.notes]:
            print(printable(note))


def _rows(found: "Evaluation") -> list[tuple[str, ...]]:
    """A row for each metric: its name, its value and its interval in percent."""
    return [
        ("metric", "%", "95 % interval", "queries"),
        *(
            (
                f"{each.name}{' *' if each.name == found.headline else ''}",
                f"{100 * each.value:.2f}",
                f"{100 * each.low:.2f} to {100 * each.high:.2f}",
                f"{each.queries:,}",
            )
            for each in found.metrics
        ),
    ]


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines with columns: the first to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _sizes(found: "Evaluation") -> str:
    queries, gallery = found.facts["measured queries"], found.facts["gallery"]
    told = f"{found.model}: {queries:,} queries against {gallery:,} images"
    checksum = found.facts.get("ground truth sha256")
    return f"{told}; ground truth sha256 {checksum}" if checksum else told


def markdown_of(found: "Evaluation") -> str:
    """The metrics as a Markdown table, under the name that all of them begin with."""
    head, *rows = _rows(found)
    lines = [f"**{escaped(found.name)}**", ""]
    lines += [f"| {' | '.join(head)} |", "|---|--:|--:|--:|"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    lines += ["", *(f"- {escaped(note)}" for note in [_sizes(found), *found.notes])]
    return "\n".join(lines)


def escaped(text: str) -> str:
    return printable(text).translate({ord(c): f"\\{c}" for c in "\\`*_[]<>|"})


def keep(path: Path, found: "Evaluation") -> None:
    """Writes everything as JSON."""
    try:
        with path.open("w", encoding="utf-8") as file:
            json.dump(found.as_dict(), file, ensure_ascii=False)
            file.write("\n")
    except OSError as exc:
        raise MachineError("report.unwritable", path, exc.strerror or str(exc)) from exc


def write_comparison(
    first: "Saved", second: "Saved", differences: "Sequence[Difference]", *, as_json: bool
) -> None:
    """Writes the differences of two evaluations, and one sentence that may be quoted."""
    if as_json:
        print(json.dumps(_comparison(first, second, differences), indent=2, ensure_ascii=False))
        return
    print(f"A: {printable(first.name)} ({printable(first.model)})")
    print(f"B: {printable(second.name)} ({printable(second.model)})")
    rows: list[tuple[str, ...]] = [("metric", "A %", "B %", "B - A", "95 % interval", "p", "B is")]
    rows += map(_difference, differences)
    for line in table(rows):
        print(line)
    print(verdict(first, differences))


def _difference(each: "Difference") -> tuple[str, ...]:
    return (
        each.name,
        f"{100 * each.first:.2f}",
        f"{100 * each.second:.2f}",
        f"{100 * each.difference:+.2f}",
        f"{100 * each.low:+.2f} to {100 * each.high:+.2f}",
        f"{each.p_value:.4f}",
        each.verdict,
    )


def _comparison(
    first: "Saved", second: "Saved", differences: "Sequence[Difference]"
) -> dict[str, Any]:
    return {
        "first": first.name,
        "second": second.name,
        "verdict": verdict(first, differences),
        "metrics": [vars(each) for each in differences],
    }


def verdict(first: "Saved", differences: "Sequence[Difference]") -> str:
    """One sentence about the main metric."""
    main = next((each for each in differences if each.name == first.headline), differences[0])
    if main.verdict == "no difference shown":
        return (
            f"{main.name}: these {main.queries:,} queries do not show that B differs from A"
            f" (p {main.p_value:.2g})"
        )
    return (
        f"{main.name}: B is {main.verdict} by {100 * abs(main.difference):.2f} points"
        f" (p {main.p_value:.2g})"
    )


def write_checks(source: "Source", checks: "Sequence[Check]", *, as_json: bool) -> None:
    """Writes where a data set is to be had, under which terms, and what there is of it."""
    if as_json:
        content = {"source": vars(source), "checks": [vars(check) for check in checks]}
        print(json.dumps(content, indent=2, ensure_ascii=False, default=str))
        return
    print(source.title)
    for url in source.urls:
        print(f"  get it:  {url}")
    print(f"  terms:   {source.terms}")
    print(f"  cite:    {source.cite}")
    print(f"  layout:  {source.layout}")
    for check in checks:
        word = "ok" if check.good else "missing" if check.missing else "wrong"
        print(f"{word:<8} {check.what}")
    sys.stdout.flush()
    if checks and not all(check.good for check in checks):
        click.echo("not everything is as published", err=True)
