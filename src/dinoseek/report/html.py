"""Writes searches as one self-contained HTML page: pictures inside, no script, nothing to fetch."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from pathlib import Path, PurePosixPath
from string import Template

from PIL import Image

from dinoseek.errors import printable
from dinoseek.gallery.base import Hit
from dinoseek.ranking import percent
from dinoseek.report.pictures import (
    Result,
    Shown,
    ThumbnailOf,
    data_uri,
    no_thumbnail,
    picture,
    picture_of,
    short_name,
    thumbnail,
)
from dinoseek.report.template import write_pieces

_SCORE_NOTE = "The score is cosine similarity: 1 is the same picture to the model, 0 is unrelated."
_DISTANCE_NOTE = (
    "The number is Euclidean distance between unit vectors: 0 is the same picture to the model, "
    "1.414 is unrelated. The bar shows cosine similarity."
)
_PERCENT_NOTE = " Above 99 %: more alike than so many of the gallery's pairs drawn at random."
_SIGNS = {"+": "+", "-": "\N{MINUS SIGN}"}
_RERANKED_NOTE = " Hits are in the order of a re-ranking, not of their scores."
_COPIES_NOTE = " +N counts near-duplicates of a hit that are not shown."


def write_html(
    path: Path,
    results: Sequence[Result],
    *,
    title: str = "Image search",
    facts: Mapping[str, object] | None = None,
    thumbnail_of: ThumbnailOf = no_thumbnail,
) -> None:
    """Writes `results` to `path`; `facts` (the model, the gallery, ...) stand under the title.

    `thumbnail_of` gives a small picture of a hit, by its id, where the hit has no file.
    """
    write_pieces(path, _page(results, title, facts or {}, thumbnail_of))


def _page(
    results: Sequence[Result],
    title: str,
    facts: Mapping[str, object],
    thumbnail_of: ThumbnailOf,
) -> Iterator[str]:
    """The page in pieces, so that only one query's pictures are held at a time."""
    facts_html = "".join(_fill("fact", name=name, value=value) for name, value in facts.items())
    yield _fill_raw("head", title=_text(title), facts=facts_html)
    for number, result in enumerate(results, start=1):
        yield _search(number, result, thumbnail_of)
    yield _fill("foot", note=_note([hit for result in results for hit in result.hits]))


def _note(hits: Sequence[Hit]) -> str:
    """What the numbers mean, of those that are there."""
    by_distance = any(hit.distance is not None for hit in hits)
    note = _DISTANCE_NOTE if by_distance else _SCORE_NOTE
    if any(hit.percentile is not None for hit in hits):
        note += _PERCENT_NOTE
    if any(hit.reranked is not None for hit in hits):
        note += _RERANKED_NOTE
    return note + _COPIES_NOTE if any(hit.copies for hit in hits) else note


def _search(number: int, result: Result, thumbnail_of: ThumbnailOf) -> str:
    count = len(result.hits)
    hits = "".join(_hit(hit, thumbnail_of) for hit in result.hits)
    first, *more = result.shown
    others = "".join(
        _fill_raw("other", picture=_asked(each), sign=_SIGNS[each.sign]) for each in more
    )
    return _fill_raw(
        "search",
        number=str(number),
        query=_text(result.name),
        picture=_asked(first),
        others=_fill_raw("others", others=others) if others else "",
        count=f"{count} {'hit' if count == 1 else 'hits'}",
        hits=hits or '<li class="none">No hit reached the cut-off.</li>',
    )


def _asked(shown: Shown) -> str:
    image = picture(shown.source, shown.region)
    return _picture(image, f"Query: {short_name(shown.name)}", "no picture")


def _hit(hit: Hit, thumbnail_of: ThumbnailOf) -> str:
    name = short_name(hit.path)
    alt = f"{name}, rank {hit.rank}, score {hit.score:.3f}"
    return _fill_raw(
        "hit",
        link=_link(hit),
        full_path=_text(hit.path),
        picture=_picture(picture_of(hit, thumbnail_of), alt, "file missing"),
        copies=_fill("copies", count=hit.copies) if hit.copies else "",
        rank=str(hit.rank),
        score=f"{hit.score if hit.distance is None else hit.distance:.3f}",
        above=_above(hit.percentile),
        percent=f"{100 * min(1.0, max(0.0, hit.score)):.1f}",
        caption=_fill("caption", text=hit.caption) if hit.caption else "",
        folder=_text(_last_folder(hit.path)),
        name=_text(name),
        metadata=_metadata(hit),
    )


def _above(percentile: float | None) -> str:
    if percentile is None:
        return ""
    return _fill("above", percent="all" if percentile >= 100 else percent(percentile))


def _metadata(hit: Hit) -> str:
    """All that is known of a hit besides, folded away."""
    if not hit.metadata:
        return ""
    values = {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for name, value in hit.metadata.items()
    }
    facts = "".join(_fill("fact", name=name, value=value) for name, value in values.items())
    count = f"{len(values)} {'fact' if len(values) == 1 else 'facts'}"
    return _fill_raw("metadata", count=count, facts=facts)


def _picture(image: Image.Image | None, alt: str, otherwise: str) -> str:
    if image is None:
        return _fill("gone", text=otherwise)
    small = thumbnail(image)
    return _fill("image", source=data_uri(small), alt=alt, width=small.width, height=small.height)


def _last_folder(path: str) -> str:
    """The folder a file lies in, as "folder/": enough to tell files of one name apart."""
    folder = PurePosixPath(path.replace("\\", "/")).parent.name
    return f"{folder}/" if folder else ""


def _link(hit: Hit) -> str:
    """Where a click on a hit leads, as an attribute: its address, its file, or nowhere."""
    target = ""
    if hit.url and hit.url.startswith(("http://", "https://")):
        target = hit.url
    elif hit.file and hit.file.is_absolute():
        target = hit.file.as_uri()
    return f' href="{_text(target)}"' if target else ""


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
