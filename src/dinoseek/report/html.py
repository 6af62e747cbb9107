"""Writes searches as one self-contained HTML page: pictures inside, no script, nothing to fetch."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from pathlib import Path, PurePosixPath
from string import Template

from dinoseek.errors import MachineError, printable
from dinoseek.gallery.base import Hit
from dinoseek.report.pictures import Result, data_uri, picture, thumbnail

_SCORE_NOTE = "The score is cosine similarity: 1 is the same picture to the model, 0 is unrelated."
_DISTANCE_NOTE = (
    "The number is Euclidean distance between unit vectors: 0 is the same picture to the model, "
    "1.414 is unrelated. The bar shows cosine similarity."
)


def write_html(
    path: Path,
    results: Sequence[Result],
    *,
    title: str = "Image search",
    facts: Mapping[str, object] | None = None,
) -> None:
    """Writes `results` to `path`; `facts` (the model, the gallery, ...) stand under the title."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", errors="backslashreplace") as page:
            page.writelines(_page(results, title, facts or {}))
    except OSError as exc:
        raise MachineError("report.unwritable", path, exc.strerror or str(exc)) from exc


def _page(results: Sequence[Result], title: str, facts: Mapping[str, object]) -> Iterator[str]:
    """The page in pieces, so that only one query's pictures are held at a time."""
    facts_html = "".join(_fill("fact", name=name, value=value) for name, value in facts.items())
    yield _fill_raw("head", title=_text(title), facts=facts_html)
    for number, result in enumerate(results, start=1):
        yield _search(number, result)
    by_distance = any(hit.distance is not None for result in results for hit in result.hits)
    yield _fill("foot", note=_DISTANCE_NOTE if by_distance else _SCORE_NOTE)


def _search(number: int, result: Result) -> str:
    count = len(result.hits)
    hits = "".join(_hit(hit) for hit in result.hits)
    return _fill_raw(
        "search",
        number=str(number),
        query=_text(_short_name(result.query)),
        picture=_picture(result.source, f"Query: {_short_name(result.query)}", "no picture"),
        count=f"{count} {'hit' if count == 1 else 'hits'}",
        hits=hits or '<li class="none">No hit reached the cut-off.</li>',
    )


def _hit(hit: Hit) -> str:
    name = _short_name(hit.path)
    score = f"{hit.score:.3f}" if hit.distance is None else f"{hit.distance:.3f}"
    return _fill_raw(
        "hit",
        link=escape(hit.url or _link(hit.file)),
        full_path=_text(hit.path),
        picture=_picture(
            hit.file, f"{name}, rank {hit.rank}, score {hit.score:.3f}", "file missing"
        ),
        rank=str(hit.rank),
        score=score,
        percent=f"{100 * min(1.0, max(0.0, hit.score)):.1f}",
        caption=_fill("caption", text=hit.caption) if hit.caption else "",
        folder=_text(_last_folder(hit.path)),
        name=_text(name),
    )


def _picture(source: Path | bytes | None, alt: str, otherwise: str) -> str:
    image = picture(source)
    if image is None:
        return _fill("gone", text=otherwise)
    small = thumbnail(image)
    return _fill("image", source=data_uri(small), alt=alt, width=small.width, height=small.height)


def _short_name(path: str) -> str:
    return PurePosixPath(path.replace("\\", "/")).name or path


def _last_folder(path: str) -> str:
    """The folder a file lies in, as "folder/": enough to tell files of one name apart."""
    folder = PurePosixPath(path.replace("\\", "/")).parent.name
    return f"{folder}/" if folder else ""


def _link(file: Path | None) -> str:
    return file.as_uri() if file and file.is_absolute() else ""


def _fill(part: str, **values: object) -> str:
    """The named part of the page with `values` in it as text: nothing in them becomes markup."""
    return _fill_raw(part, **{name: _text(value) for name, value in values.items()})


def _fill_raw(part: str, **values: str) -> str:
    return _parts()[part].substitute(values)


def _text(value: object) -> str:
    return escape(printable(value))


@cache
def _parts() -> dict[str, Template]:
    page = files("dinoseek.report").joinpath("page.html").read_text(encoding="utf-8")
    _, *pieces = re.split(r"<!-- part: (\w+) -->\n", page)
    return {name: Template(text) for name, text in zip(pieces[::2], pieces[1::2], strict=True)}
