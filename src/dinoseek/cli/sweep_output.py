"""What `dinoseek evaluate sweep` writes: a table for people, Markdown, JSON, and a file."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dinoseek.cli.evaluate_output import escaped, table
from dinoseek.errors import MachineError, printable

if TYPE_CHECKING:
    from dinoseek.evaluation.bootstrap import Interval
    from dinoseek.evaluation.sweep import Sweep, Tried

_HEAD = ("combination", "%", "95 % interval", "gain", "95 % interval", "p", "ms/image", "ms/query")


def write_sweep(found: "Sweep", notes: Sequence[str], *, as_json: bool, markdown: bool) -> None:
    """Writes what every combination reached and costs, and what is recommended."""
    rows, lines = [_HEAD, *map(_row, found.tried)], [verdict(found), about(found), *notes]
    if as_json:
        print(json.dumps({**as_dict(found), "notes": list(notes)}, indent=2, ensure_ascii=False))
    elif markdown:
        print(f"**{escaped(_title(found))}**\n")
        print(f"| {' | '.join(_HEAD)} |\n|---|{'--:|' * (len(_HEAD) - 1)}")
        for row in rows[1:]:
            print(f"| {' | '.join([escaped(row[0]), *row[1:]])} |")
        print()
        for line in lines:
            print(f"- {escaped(line)}")
    else:
        print(printable(_title(found)))
        for line in [*table(rows), *lines]:
            print(printable(line))


def keep_sweep(path: Path, found: "Sweep") -> None:
    """Writes what was found as JSON."""
    try:
        path.write_text(json.dumps(as_dict(found), ensure_ascii=False) + "\n", "utf-8")
    except OSError as exc:
        raise MachineError("report.unwritable", path, exc.strerror or str(exc)) from exc


def as_dict(found: "Sweep") -> dict[str, Any]:
    """Everything, as JSON has it."""
    recommended = found.recommended
    return {
        "dinoseek": "sweep",
        "format": 1,
        "protocol": found.protocol,
        "metric": found.metric,
        "alpha": found.alpha,
        "halves": found.halves,
        "queries": found.queries,
        "recommended": None if recommended is None else recommended.name,
        "verdict": verdict(found),
        "tried": [_content(each) for each in found.tried],
        "chosen": None if found.chosen is None else found.chosen.name,
        "shown": None if found.shown is None else _plain(asdict(found.shown)),
    }


def verdict(found: "Sweep") -> str:
    """What is recommended, with its gain and cost, or that nothing is and why."""
    first, chosen, shown = found.tried[0], found.chosen, found.shown
    if chosen is None or shown is None:
        return (
            f"nothing is recommended: no combination is better than {first.name} by more than luck"
        )
    told = f"{_points(shown.gain)} on the other half, {shown.queries:,} queries"
    told += f" (p {shown.p_value:.2g})"
    if found.recommended is None:
        return f"nothing is recommended: {chosen.name} was best, but {told} does not confirm it"
    return f"recommended: {chosen.name}, {told}; {_costs(chosen)}, {first.name} {_costs(first)}"


def about(found: "Sweep") -> str:
    """How the combinations were compared."""
    return (
        f"chosen on half of the {found.halves}, {found.queries:,} queries; p as compare has it,"
        f" against {found.tried[0].name}, corrected by Holm for {len(found.tried) - 1} combinations"
    )


def _title(found: "Sweep") -> str:
    return f"{found.protocol}/{found.metric}"


def _row(each: "Tried") -> tuple[str, ...]:
    return (
        each.name,
        f"{100 * each.value.value:.2f}",
        f"{100 * each.value.low:.2f} to {100 * each.value.high:.2f}",
        "" if each.gain is None else f"{100 * each.gain.value:+.2f}",
        "" if each.gain is None else f"{100 * each.gain.low:+.2f} to {100 * each.gain.high:+.2f}",
        "" if each.p_value is None else f"{each.p_value:.4f}",
        "" if each.image_ms is None else f"{each.image_ms:.1f}",
        f"{each.query_ms:.2f}",
    )


def _points(gain: "Interval") -> str:
    return f"{100 * gain.value:+.2f} points ({100 * gain.low:+.2f} to {100 * gain.high:+.2f})"


def _costs(each: "Tried") -> str:
    image = "" if each.image_ms is None else f"{each.image_ms:.1f} ms an image, "
    return f"{image}{each.query_ms:.2f} ms a query"


def _content(each: "Tried") -> dict[str, Any]:
    return {"name": each.name, **_plain(vars(each))}


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Intervals by their names."""
    return {
        name: value._asdict() if hasattr(value, "_asdict") else value
        for name, value in values.items()
    }
