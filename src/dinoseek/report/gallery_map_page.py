"""Writes a map as one self-contained HTML page: pictures and script inside, nothing to fetch."""

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from dinoseek.errors import printable
from dinoseek.report.gallery_map import Mapped, nearest
from dinoseek.report.pictures import short_name
from dinoseek.report.template import as_text, fill, fill_raw, write_pieces

_PAGE, _SCRIPT = "gallery_map.html", "gallery_map.js"
_NONE, _OTHER = "none", "other"
# Okabe and Ito's colours, which those who see few colours can tell apart, and a grey.
_COLORS = ("#e69f00", "#56b4e9", "#009e73", "#d55e00", "#cc79a7", "#0072b2", "#c4b400", "#8c8f94")


def write_map_page(
    path: Path,
    found: Mapped,
    pictures: Iterable[bytes | None],
    *,
    title: str,
    facts: Mapping[str, object] | None = None,
    color: str | None = None,
    neighbours: int = 10,
) -> None:
    """Writes a map and a small JPEG of each of its images to `path`.

    Points have the colour of their value of `color`, a name of metadata; the most frequent values
    have one of their own. MachineError where the page cannot be written.
    """
    write_pieces(path, _page(found, pictures, title, facts or {}, color, neighbours))


def _page(
    found: Mapped,
    pictures: Iterable[bytes | None],
    title: str,
    facts: Mapping[str, object],
    color: str | None,
    neighbours: int,
) -> Iterator[str]:
    script = files("dinoseek.report").joinpath(_SCRIPT).read_text(encoding="utf-8")
    digest = hashlib.sha256(script.encode()).digest()
    groups = None if color is None else grouped(found.rows, color)
    names = [] if groups is None else groups[0]
    yield fill_raw(
        _PAGE,
        "head",
        title=as_text(title),
        hash=base64.b64encode(digest).decode(),
        facts="".join(fill(_PAGE, "fact", name=name, value=value) for name, value in facts.items()),
        legend="".join(
            fill(_PAGE, "legend", name=name, color=_COLORS[place])
            for place, name in enumerate(names)
        ),
    )
    yield _json(_data(found, pictures, groups, color, neighbours))
    yield fill_raw(_PAGE, "foot", script=script)


def grouped(rows: Sequence[Mapping[str, Any]], name: str) -> tuple[list[str], list[int]]:
    """The values of a name of metadata, the most frequent first, and which each image has.

    What is beyond the number of colours is "other", what has no value "none".
    """
    values = [_value_of(row, name) for row in rows]
    counts = Counter(value for value in values if value != _NONE)
    names = [value for value, _ in counts.most_common()] + [_NONE] * (_NONE in values)
    if len(names) > len(_COLORS):
        names = [*names[: len(_COLORS) - 1], _OTHER]
    places = {value: place for place, value in enumerate(names)}
    return names, [places.get(value, len(names) - 1) for value in values]


def _value_of(row: Mapping[str, Any], name: str) -> str:
    value = row["metadata"].get(name)
    if value is None:
        return _NONE
    return printable(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _data(
    found: Mapped,
    pictures: Iterable[bytes | None],
    groups: tuple[list[str], list[int]] | None,
    color: str | None,
    neighbours: int,
) -> dict[str, Any]:
    """What the script draws."""
    near, cosines = nearest(found.vectors, neighbours)
    points = _spread(found.points)
    return {
        "x": np.round(points[:, 0].astype(float), 5).tolist(),
        "y": np.round(points[:, 1].astype(float), 5).tolist(),
        "names": [short_name(row["path"]) for row in found.rows],
        "captions": [printable(row["caption"] or "") for row in found.rows],
        "links": [_link(row) for row in found.rows],
        "near": near.tolist(),
        "cosines": np.round(cosines.astype(float), 4).tolist(),
        "title": color,
        "values": None if color is None else [_value_of(row, color) for row in found.rows],
        "group": groups[1] if groups else None,
        "colors": _COLORS,
        "pictures": [base64.b64encode(each).decode() if each else "" for each in pictures],
    }


def _spread(points: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Points (m, 2) around 0 with a largest distance of 1."""
    centred = points - points.mean(axis=0)
    return centred / max(float(np.abs(centred).max()), 1e-12)


def _link(row: Mapping[str, Any]) -> str:
    """Where a name leads: the image's address, or its file."""
    url = row["url"] or ""
    if url.startswith(("http://", "https://")):
        return str(url)
    path = Path(row["path"])
    return path.as_uri() if path.is_absolute() else ""


def _json(data: Mapping[str, Any]) -> str:
    """JSON in which nothing ends the element that it stands in."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
