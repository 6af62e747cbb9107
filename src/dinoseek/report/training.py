"""Writes a training run as one self-contained HTML page: before and after, curves, pictures."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dinoseek.evaluation.compare import Difference
from dinoseek.evaluation.result import Shown
from dinoseek.report import evaluation
from dinoseek.report.pictures import picture, short_name
from dinoseek.report.plots import Points, over_steps
from dinoseek.report.template import as_text, fill, fill_raw, write_pieces

_PAGE = "training.html"
_SMOOTHED_SHARE = 0.03  # of the steps, over which the smoothed loss remembers
_VERDICTS = {
    "better": "better than before",
    "worse": "worse than before",
    "no difference shown": "no difference shown",
}
_CHANGES = {
    "fixed": ("Fixed", "Their first hit was wrong before the training and is right after it."),
    "broken": ("Broken", "Their first hit was right before the training and is wrong after it."),
}

_fill, _fill_raw = partial(fill, _PAGE), partial(fill_raw, _PAGE)


@dataclass(frozen=True, kw_only=True)
class Query:
    """One query and what it found first, before and after; pictures lie below the page's root."""

    path: str
    label: str
    before: Sequence[Shown]
    after: Sequence[Shown]


@dataclass(frozen=True, kw_only=True)
class TrainingReport:
    """What a training run did.

    `differences` are of the held-out classes, before and after, the main one first. `steps` are
    (step, loss, learning rate), `validations` (step, MAP@R, Recall@1). The first hits of `fixed`
    were wrong and are right, those of `broken` the other way round. `config` is YAML.
    """

    title: str
    facts: Mapping[str, str | int | float]
    differences: Sequence[Difference]
    steps: Sequence[tuple[int, float, float]]
    validations: Sequence[tuple[int, float, float]]
    best_step: int
    fixed: Sequence[Query]
    broken: Sequence[Query]
    notes: Sequence[str] = ()
    config: str = ""


def write_training(path: Path, report: TrainingReport, root: Path) -> None:
    """Writes the report to `path`; pictures are read below `root`, and may be missing."""
    write_pieces(path, _page(report, root))


def _page(report: TrainingReport, root: Path) -> Iterator[str]:
    """The page in pieces, so that only one query's pictures are held at a time."""
    style = _fill("style")
    yield fill_raw(evaluation.PAGE, "start", title=as_text(report.title), style=style)
    yield _fill_raw(
        "head",
        title=as_text(report.title),
        main="".join(map(_main, report.differences[:1])),
        facts=evaluation.facts_html(report.facts),
    )
    if report.differences:
        rows = (_row(each, is_main=not i) for i, each in enumerate(report.differences))
        yield _fill_raw("metrics", rows="".join(rows))
    if report.notes:
        yield evaluation.notes_html(report.notes)
    if plots := _plots(report):
        yield fill_raw(evaluation.PAGE, "plots", plots="".join(plots))
    for kind, queries in (("fixed", report.fixed), ("broken", report.broken)):
        yield from _changed(kind, queries, root)
    if report.config:
        # as_text makes one line of what it is given
        lines = "\n".join(as_text(line) for line in report.config.split("\n"))
        yield _fill_raw("config", text=lines)
    yield _fill("foot")


def _main(main: Difference) -> str:
    return _fill(
        "main",
        before=_percent(main.first, 1),
        after=_percent(main.second, 1),
        metric=main.name,
        difference=_signed(main.difference, 1),
        low=_signed(main.low, 1),
        high=_signed(main.high, 1),
        queries=f"{main.queries:,}",
        kind=main.verdict.partition(" ")[0],
        verdict=_VERDICTS[main.verdict],
    )


def _row(each: Difference, *, is_main: bool) -> str:
    return _fill(
        "row",
        kind="main" if is_main else "other",
        name=each.name,
        before=_percent(each.first, 2),
        after=_percent(each.second, 2),
        difference=_signed(each.difference, 2),
        low=_signed(each.low, 2),
        high=_signed(each.high, 2),
        p="below 0.001" if each.p_value < 0.001 else f"{each.p_value:.3f}",
        verdict=each.verdict,
    )


def _percent(share: float, digits: int) -> str:
    return f"{100 * share:.{digits}f}"


def _signed(share: float, digits: int) -> str:
    return f"{100 * share:+.{digits}f}"


def _plots(report: TrainingReport) -> list[str]:
    """Loss, learning rate and validations over the steps, each where there is something to see."""
    losses = _finite([(step, loss) for step, loss, _ in report.steps])
    rates = _finite([(step, rate) for step, _, rate in report.steps])
    precisions = _finite([(step, value) for step, value, _ in report.validations])
    recalls = _finite([(step, value) for step, _, value in report.validations])
    plots = []
    if losses:
        lines = {"each step": losses, "smoothed": _smoothed(losses)}
        plots.append(over_steps(lines, title="Loss", y="loss", faint="each step"))
    if precisions and recalls:
        best = report.best_step if report.best_step >= 0 else None
        lines = {"MAP@R": precisions, "Recall@1": recalls}
        title = "Validation on the held-out classes"
        plots.append(over_steps(lines, title=title, y="share", best=best))
    if rates:
        plots.append(over_steps({"rate": rates}, title="Learning rate", y="learning rate"))
    return plots


def _finite(points: Points) -> Points:
    return [(step, value) for step, value in points if math.isfinite(value)]


def _smoothed(points: Points) -> Points:
    """The exponential mean of the values up to each step, without a bias to the first."""
    keep = 1 - 1 / max(5.0, _SMOOTHED_SHARE * len(points))
    total = weight = 0.0
    smoothed = []
    for step, value in points:
        total, weight = keep * total + value, keep * weight + 1
        smoothed.append((step, total / weight))
    return smoothed


def _changed(kind: str, queries: Sequence[Query], root: Path) -> Iterator[str]:
    if queries:
        title, lead = _CHANGES[kind]
        yield _fill("changed", title=title, lead=lead)
    for number, query in enumerate(queries, start=1):
        yield _query(f"{kind}-{number}", query, root)


def _query(name: str, query: Query, root: Path) -> str:
    short = short_name(query.path)
    return _fill_raw(
        "query",
        id=name,
        picture=evaluation.picture_html(picture(root / query.path), f"Query: {short}"),
        name=as_text(short),
        label=as_text(query.label),
        before=evaluation.hits_html(query.before, root),
        after=evaluation.hits_html(query.after, root),
    )
