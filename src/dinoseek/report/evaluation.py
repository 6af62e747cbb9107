"""Writes an evaluation as one self-contained HTML page: numbers, plots, and the worst queries."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from PIL import Image

from dinoseek.errors import DinoseekError, MachineError, printable
from dinoseek.evaluation.embedding import cropped
from dinoseek.evaluation.metrics import RECALL_LEVELS
from dinoseek.evaluation.result import Evaluation, Metric, Shown, Worst
from dinoseek.report.pictures import data_uri, picture, short_name, thumbnail
from dinoseek.report.plots import curves, histograms, over_log

_HIDDEN = ("ground truth sha256",)
_SIDE = 200  # of a picture


def write_page(path: Path, evaluation: Evaluation, root: Path) -> None:
    """Writes the report to `path`; pictures are read below `root`, and may be missing."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", errors="backslashreplace") as page:
            page.writelines(_page(evaluation, root))
    except OSError as exc:
        raise MachineError("report.unwritable", path, exc.strerror or str(exc)) from exc


def _page(evaluation: Evaluation, root: Path) -> Iterator[str]:
    """The page in pieces, so that only one query's pictures are held at a time."""
    facts = {name: value for name, value in evaluation.facts.items() if name not in _HIDDEN}
    main = evaluation.main
    yield _fill_raw(
        "head",
        title=_text(evaluation.name),
        metric=_text(main.name),
        value=f"{100 * main.value:.1f}",
        low=f"{100 * main.low:.1f}",
        high=f"{100 * main.high:.1f}",
        queries=f"{main.queries:,}",
        facts="".join(_fill("fact", name=name, value=_number(v)) for name, v in facts.items()),
    )
    yield _fill_raw("metrics", rows="".join(_metric(each, main) for each in evaluation.metrics))
    if evaluation.notes:
        notes = "".join(_fill("note", text=note) for note in evaluation.notes)
        yield _fill_raw("notes", notes=notes)
    if plots := _plots(evaluation):
        yield _fill_raw("plots", plots="".join(plots))
    if evaluation.worst:
        yield _fill("worst", count=len(evaluation.worst))
    for number, worst in enumerate(evaluation.worst, start=1):
        yield _worst(number, worst, root)
    yield _fill("foot", checksum=evaluation.facts.get("ground truth sha256", "none"))


def _number(value: str | int | float) -> str:
    return value if isinstance(value, str) else f"{value:,}"


def _metric(metric: Metric, main: Metric) -> str:
    """A row of the table, with its interval drawn."""
    ends = {name: f"{100 * getattr(metric, name):.2f}" for name in ("value", "low", "high")}
    width = max(100 * (metric.high - metric.low), 0.4)
    return _fill(
        "metric",
        name=metric.name,
        main=" class=main" if metric is main else "",
        queries=f"{metric.queries:,}",
        width=f"{width:.2f}",
        **ends,
    )


def _plots(evaluation: Evaluation) -> list[str]:
    plots = []
    if evaluation.curves:
        lines: Mapping[str, list[tuple[float, float]]] = {
            name: list(zip(RECALL_LEVELS.tolist(), curve, strict=True))
            for name, curve in evaluation.curves.items()
        }
        title = "Precision and recall, mean over queries"
        plots.append(curves(lines, title=title, x="recall", y="precision"))
    if evaluation.recalls:
        points = [(int(k), value) for k, value in evaluation.recalls.items()]
        title = "Queries with a right hit among the first K"
        plots.append(over_log(points, title=title, x="K", y="share of queries"))
    if spread := evaluation.histogram:
        plots.append(
            histograms(
                spread.edges,
                spread.positives,
                spread.negatives,
                title="Scores of pairs",
                x="score (cosine)",
            )
        )
    return plots


def _worst(number: int, worst: Worst, root: Path) -> str:
    hits = "".join(_hit(rank, hit, root) for rank, hit in enumerate(worst.hits, start=1))
    image = picture(root / worst.path)
    if image is not None and worst.box is not None:
        image = _part(image, worst)
    return _fill_raw(
        "query",
        number=str(number),
        picture=_picture(image, f"Query: {short_name(worst.path)}"),
        name=_text(short_name(worst.path)),
        label=_text(worst.label),
        value=f"{100 * worst.value:.1f}",
        hits=hits or _fill("none"),
    )


def _part(image: Image.Image, worst: Worst) -> Image.Image | None:
    try:
        return cropped(image, worst.box or (0, 0, *image.size))
    except DinoseekError:
        return None


def _hit(rank: int, hit: Shown, root: Path) -> str:
    name = short_name(hit.path)
    return _fill_raw(
        "hit",
        verdict=_text(hit.verdict),
        picture=_picture(picture(root / hit.path), f"{name}, rank {rank}, {hit.verdict}"),
        rank=str(rank),
        score="" if hit.score is None else f"{hit.score:.3f}",
        name=_text(hit.path),
    )


def _picture(image: Image.Image | None, alt: str) -> str:
    if image is None:
        return _fill("gone")
    small = thumbnail(image, _SIDE)
    return _fill("image", source=data_uri(small), alt=alt, width=small.width, height=small.height)


def _fill(part: str, **values: object) -> str:
    """The named part of the page with `values` in it as text: nothing in them becomes markup."""
    return _fill_raw(part, **{name: _text(value) for name, value in values.items()})


def _fill_raw(part: str, **values: str) -> str:
    return _parts()[part].substitute(values)


def _text(value: object) -> str:
    return escape(printable(value))


@cache
def _parts() -> dict[str, Template]:
    page = files("dinoseek.report").joinpath("evaluation.html").read_text(encoding="utf-8")
    _, *pieces = re.split(r"<!-- part: (\w+) -->\n", page)
    return {name: Template(text) for name, text in zip(pieces[::2], pieces[1::2], strict=True)}
