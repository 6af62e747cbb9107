"""Writes why a hit was found as one self-contained HTML page: no script, nothing to fetch."""

from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from dinoseek.explain import Explanation
from dinoseek.report.explanation import LINES, fitted
from dinoseek.report.heat import STOPS, Color, Pair, heat_span, heated, pairs
from dinoseek.report.pictures import data_uri, short_name
from dinoseek.report.template import as_text, fill, fill_raw, write_pieces

_PAGE = "explanation.html"
_GAP = 60
_HEAT = (
    "How like each patch is to the one most like it in the other picture, as a cosine. "
    "What is bright is found there, what is dark is not."
)
_HEAT_OF_REGION = (
    "Left how well each patch of the region is found in the hit, right how like each patch of the "
    "hit is to anything in the region, as a cosine."
)
_AGREE = (
    "Patches that are each other's nearest and lie in the same arrangement; where many do, the "
    "strongest that are not side by side. Point at a line to see it alone."
)
_NONE = (
    "Patches that are each other's nearest. They do not lie in the same arrangement, so the "
    "pictures may have little in common but their kind."
)


def write_page(
    path: Path,
    explained: Explanation,
    names: tuple[str, str],
    *,
    facts: Mapping[str, object] | None = None,
    lines: int = LINES,
) -> None:
    """Writes an explanation of the query and hit that are called `names` to `path`.

    `facts` (the model, ...) stand under the title. MachineError where it cannot be written.
    """
    write_pieces(path, [_page(explained, names, facts or {}, lines)])


def _page(
    explained: Explanation, names: tuple[str, str], facts: Mapping[str, object], lines: int
) -> str:
    query, hit = fitted(explained.query), fitted(explained.hit)
    height, left = max(query.height, hit.height), query.width + _GAP
    tops = ((height - query.height) / 2, (height - hit.height) / 2)
    span = heat_span(explained)
    agree = bool(explained.matches.inliers.any())
    drawn = pairs(explained, lines)
    places = ((0.0, tops[0], *query.size), (float(left), tops[1], *hit.size))
    first, second = (as_text(short_name(name)) for name in names)
    return fill_raw(
        _PAGE,
        "page",
        title=f"{first} and {second}",
        facts="".join(fill(_PAGE, "fact", name=k, value=v) for k, v in _facts(explained, facts)),
        stops=", ".join(_hex(color) for color in STOPS),
        matches_title="Where they match" if drawn else "No patches match",
        matches_note=_AGREE if agree else _NONE,
        width=str(left + hit.width),
        height=str(height),
        pairs="".join(_pair(number, pair, *places) for number, pair in enumerate(drawn, 1)),
        heat_note=_HEAT_OF_REGION if explained.region else _HEAT,
        low=f"{span[0]:.2f}",
        high=f"{span[1]:.2f}",
        foot="The frame is the region that was asked for." if explained.region else "",
        **_side("query", query, heated(explained.query, span), first, (0, tops[0])),
        **_side("hit", hit, heated(explained.hit, span), second, (left, tops[1])),
    )


def _facts(explained: Explanation, more: Mapping[str, object]) -> list[tuple[str, object]]:
    found = explained.matches
    agree = f"{int(found.inliers.sum())} of {len(found.first)} agree"
    numbers = {
        "score": f"{explained.score:.3f}",
        "local": f"{explained.local:.3f}",
        "matches": agree,
    }
    if region := explained.region:
        numbers["region"] = f"{region.score:.3f}"
        numbers["its patches"] = f"{region.mean:.3f}, {region.matched} of {region.patches} matched"
    return [*numbers.items(), *more.items()]


def _side(
    name: str, picture: Image.Image, heat: Image.Image, words: str, corner: tuple[float, float]
) -> dict[str, str]:
    """What the page says of one picture."""
    values = {
        "": data_uri(picture),
        "_heat": data_uri(heat.resize(picture.size)),
        "_name": words,
        "_width": str(picture.width),
        "_height": str(picture.height),
        "_left": f"{corner[0]:g}",
        "_top": f"{corner[1]:g}",
    }
    return {f"{name}{key}": value for key, value in values.items()}


def _pair(
    number: int,
    pair: Pair,
    query: tuple[float, float, int, int],
    hit: tuple[float, float, int, int],
) -> str:
    x1, y1 = _at(query, pair.start)
    x2, y2 = _at(hit, pair.end)
    label = f"match {number}: cosine {pair.cosine:.3f}"
    return fill(_PAGE, "pair", label=label, color=_hex(pair.color), x1=x1, y1=y1, x2=x2, y2=y2)


def _at(place: tuple[float, float, int, int], point: tuple[float, float]) -> tuple[str, str]:
    left, top, width, height = place
    return f"{left + point[0] * width:.1f}", f"{top + point[1] * height:.1f}"


def _hex(color: Color) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)
