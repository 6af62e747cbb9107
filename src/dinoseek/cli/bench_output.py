"""What `dinoseek bench` writes: a table for people, Markdown, JSON; of one run, or of two."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from dinoseek.cli.evaluate_output import escaped, table
from dinoseek.encoders.precision import short_of
from dinoseek.errors import printable

if TYPE_CHECKING:
    from dinoseek.bench.compare import Change

Run = dict[str, Any]
Row = dict[str, Any]

_NAMES: dict[str, Callable[[Row], str]] = {
    "engine": lambda r: f"{r['engine']} {short_of(r['precision'])}",
    "model": lambda r: r["model"] + (" (random weights)" if r["is_random"] else ""),
    "size": lambda r: f"{r['size'][0]} x {r['size'][1]}",
    "batch": lambda r: f"{r['batch']}",
    "threads": lambda r: f"{r['threads']}",
    "tokens": lambda r: r["tokens"],
}
_ALWAYS = ("engine", "batch")


def write_run(now: Run, before: Run | None, *, as_json: bool, markdown: bool) -> None:
    """Writes a run to stdout, and beside an earlier one if there is one."""
    from dinoseek.bench.compare import changes

    pairs = changes(before, now) if before else []
    if as_json:
        print(json.dumps(_with_pairs(now, before, pairs), indent=2, ensure_ascii=False))
        return
    blocks = [(_title(now), _rows(now["results"]), about(now))]
    if before:
        blocks.append((_against(before), _changed(pairs), _explained(before, now)))
    for number, (head, rows, notes) in enumerate(blocks):
        lines = _in_markdown(head, rows, notes) if markdown else [head, *table(rows), *notes]
        print(("\n" if number else "") + "\n".join(map(printable, lines)))


def _with_pairs(now: Run, before: Run | None, pairs: "Sequence[Change]") -> Run:
    if before is None:
        return now
    told = [{**each.key, **{k: v for k, v in asdict(each).items() if k != "key"}} for each in pairs]
    return {**now, "against": {"date": before["date"], "changes": told}}


def _in_markdown(title: str, rows: list[list[str]], notes: list[str]) -> list[str]:
    head, *rest = [[escaped(cell) for cell in row] for row in rows]
    lines = [f"**{escaped(title)}**", "", f"| {' | '.join(head)} |"]
    lines += [f"|---|{'--:|' * (len(head) - 1)}", *(f"| {' | '.join(row)} |" for row in rest), ""]
    return [*lines, *(f"- {escaped(note)}" for note in notes)]


def _title(run: Run) -> str:
    """What all rows have in common."""
    names = _common(run["results"])
    batch = f", batch {names['batch']}" if "batch" in names else ""
    parts = [
        names.get("model", "several models"),
        names.get("size", "several sizes"),
        f"{names.get('tokens', 'several')} tokens".replace("class tokens", "class token"),
        _plural(names["threads"]) if "threads" in names else "",
    ]
    return ", ".join(filter(None, parts)) + batch


def _plural(threads: str) -> str:
    return "1 thread" if threads == "1" else f"{threads} threads"


def _common(results: Sequence[Row]) -> dict[str, str]:
    found = {name: {text(row) for row in results} for name, text in _NAMES.items()}
    return {name: texts.pop() for name, texts in found.items() if len(texts) == 1}


def _columns(results: Sequence[Row]) -> list[str]:
    """The names that tell rows apart, and the first two in any case."""
    common = _common(results)
    return [name for name in _NAMES if name in _ALWAYS or name not in common]


def _rows(results: Sequence[Row]) -> list[list[str]]:
    """The table: a row for each combination, without columns that have nothing."""
    names = _columns(results)
    percentiles = dict.fromkeys(n for row in results for n in row["ms"] if n.startswith("p"))
    columns = {name: [_NAMES[name](row) for row in results] for name in names}
    columns["images/s"] = [f"{row['images_per_s']:.2f}" for row in results]
    for name in percentiles:
        columns[f"{name} ms"] = [_cell(row["ms"].get(name), "{:.1f}") for row in results]
    columns |= {
        head: [_cell(row[key], form) for row in results] for head, (key, form) in _MORE.items()
    }
    shown = {head: cells for head, cells in columns.items() if any(cells)}
    return [list(shown), *(list(row) for row in zip(*shown.values(), strict=True))]


_MORE = {
    "GFLOP/s": ("gflops", "{:.0f}"),
    "of peak": ("peak_share", "{:.0%}"),
    "MB": ("peak_memory_mb", "{:.0f}"),
    "cosine": ("cosine", "{:.6f}"),
    "with decoding/s": ("end_to_end_images_per_s", "{:.2f}"),
}


def _cell(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)


def about(run: Run) -> list[str]:
    """Where, when and with what it was measured."""
    here = run["machine"]
    rates = [
        f"{rate:.0f} GFLOP/s on {_plural(threads)}" for threads, rate in run["peak_gflops"].items()
    ]
    used = {result["engine"] for result in run["results"]}
    wanted = ["dinoseek", "numpy", *(_PACKAGES.get(name, name) for name in sorted(used))]
    packages = [f"{n} {run['versions'][n]}" for n in dict.fromkeys(wanted) if n in run["versions"]]
    kernels = f" ({here['kernels']} kernels)" if here.get("kernels") else ""
    return [
        f"{here['processor']}, {here['cores']} cores{kernels}, {run['date']}",
        f"{', '.join(packages)}; float32 matrix products: {', '.join(rates)}",
    ]


_PACKAGES = {"onnx": "onnxruntime"}


def _against(before: Run) -> str:
    return f"Against {before['date']}, images/s:"


def _changed(pairs: "Sequence[Change]") -> list[list[str]]:
    head = [*_columns([pair.key for pair in pairs]), "before", "now", "ratio", ""]
    return [head, *(_changed_row(pair, head[:-4]) for pair in pairs)]


def _changed_row(pair: "Change", names: Sequence[str]) -> list[str]:
    match pair.exceeds_spread:
        case None:
            verdict = "too few rounds to tell"
        case True:
            verdict = "faster" if pair.ratio > 1 else "slower"
        case _:
            verdict = "within the spread"
    numbers = [f"{pair.before:.2f}", f"{pair.now:.2f}", f"{pair.ratio:.2f}", verdict]
    return [*(_NAMES[name](pair.key) for name in names), *numbers]


def _explained(before: Run, now: Run) -> list[str]:
    """What was measured once only, and what else is not the same."""
    from dinoseek.bench.compare import differences, only_in

    alone = [
        f"only {when}: {len(rows)} of {len(run['results'])} combinations"
        for when, run, rows in (
            ("before", before, only_in(before, now)),
            ("now", now, only_in(now, before)),
        )
        if rows
    ]
    return [*alone, *differences(before, now)]
