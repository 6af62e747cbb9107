"""Writes an evaluation as one self-contained HTML page: numbers, plots, and the worst queries."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from PIL import Image

from dinoseek.errors import DinoseekError
from dinoseek.evaluation.embedding import cropped
from dinoseek.evaluation.metrics import RECALL_LEVELS
from dinoseek.evaluation.result import Evaluation, Metric, Shown, Worst
from dinoseek.report.pictures import data_uri, picture, short_name, thumbnail
from dinoseek.report.plots import curves, histograms, over_log
from dinoseek.report.template import as_text, fill, fill_raw, write_pieces

PAGE = "evaluation.html"

_HIDDEN = ("ground truth sha256",)
_SIDE = 200  # of a picture

_fill, _fill_raw = partial(fill, PAGE), partial(fill_raw, PAGE)


def write_page(path: Path, evaluation: Evaluation, root: Path) -> None:
    """Writes the report to `path`; pictures are read below `root`, and may be missing."""
    write_pieces(path, _page(evaluation, root))


def _page(evaluation: Evaluation, root: Path) -> Iterator[str]:
    """The page in pieces, so that only one query's pictures are held at a time."""
    facts = {name: value for name, value in evaluation.facts.items() if name not in _HIDDEN}
    main = evaluation.main
    yield _fill_raw("start", title=as_text(evaluation.name), style="")
    yield _fill_raw(
        "head",
        title=as_text(evaluation.name),
        metric=as_text(main.name),
        value=f"{100 * main.value:.1f}",
        low=f"{100 * main.low:.1f}",
        high=f"{100 * main.high:.1f}",
        queries=f"{main.queries:,}",
        facts=facts_html(facts),
    )
    yield _fill_raw("metrics", rows="".join(_metric(each, main) for each in evaluation.metrics))
    if evaluation.notes:
        yield notes_html(evaluation.notes)
    if plots := _plots(evaluation):
        yield _fill_raw("plots", plots="".join(plots))
    if evaluation.worst:
        yield _fill("worst", count=len(evaluation.worst))
    for number, worst in enumerate(evaluation.worst, start=1):
        yield _worst(number, worst, root)
    yield _fill("foot", checksum=evaluation.facts.get("ground truth sha256", "none"))


def facts_html(facts: Mapping[str, str | int | float]) -> str:
    """The list under the title: names with their values."""
    return "".join(_fill("fact", name=name, value=_number(v)) for name, v in facts.items())


def _number(value: str | int | float) -> str:
    return value if isinstance(value, str) else f"{value:,}"


def notes_html(notes: Sequence[str]) -> str:
    """What must be said beside the numbers."""
    return _fill_raw("notes", notes="".join(_fill("note", text=note) for note in notes))


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
    image = picture(root / worst.path)
    if image is not None and worst.box is not None:
        image = _part(image, worst)
    return _fill_raw(
        "query",
        number=str(number),
        picture=picture_html(image, f"Query: {short_name(worst.path)}"),
        name=as_text(short_name(worst.path)),
        label=as_text(worst.label),
        value=f"{100 * worst.value:.1f}",
        hits=hits_html(worst.hits, root),
    )


def _part(image: Image.Image, worst: Worst) -> Image.Image | None:
    try:
        return cropped(image, worst.box or (0, 0, *image.size))
    except DinoseekError:
        return None


def hits_html(hits: Sequence[Shown], root: Path) -> str:
    """The items of a list: pictures below `root`, each said to be right or wrong."""
    items = [_hit(rank, hit, root) for rank, hit in enumerate(hits, start=1)]
    return "".join(items) or _fill("none")


def _hit(rank: int, hit: Shown, root: Path) -> str:
    name = short_name(hit.path)
    return _fill_raw(
        "hit",
        verdict=as_text(hit.verdict),
        picture=picture_html(picture(root / hit.path), f"{name}, rank {rank}, {hit.verdict}"),
        rank=str(rank),
        score="" if hit.score is None else f"{hit.score:.3f}",
        name=as_text(hit.path),
    )


def picture_html(image: Image.Image | None, alt: str) -> str:
    """A small copy of `image` inside the page, or the words that there is none."""
    if image is None:
        return _fill("gone")
    small = thumbnail(image, _SIDE)
    return _fill("image", source=data_uri(small), alt=alt, width=small.width, height=small.height)
