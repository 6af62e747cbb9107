"""Draws why a hit was found as one picture: matches as lines, and heat maps below them."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dinoseek.errors import MachineError
from dinoseek.explain import Explanation, Seen
from dinoseek.report.heat import Pair, heat_span, heated, pairs, ramp

LINES = 24

_WIDTH, _HEIGHT = 620, 440  # at most, of one picture
_GAP, _MARGIN, _LINE = 48, 28, 34
_SHARP = 2  # lines are drawn so many times as large and shrunk, to be smooth
_PAPER, _INK, _SOFT = (22, 24, 27), (236, 236, 234), (162, 166, 173)
_REGION = (95, 208, 184)


def write_png(path: Path, explained: Explanation, lines: int = LINES) -> None:
    """Writes the picture of an explanation; MachineError where it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        explanation_picture(explained, lines).save(path)
    except (OSError, ValueError) as exc:  # ValueError: a suffix that is no picture's
        raise MachineError("report.unwritable", path, str(exc).partition("\n")[0]) from exc


def explanation_picture(explained: Explanation, lines: int = LINES) -> Image.Image:
    """Query left, hit right: above with the strongest matches, below under their heat maps."""
    query, hit = fitted(explained.query), fitted(explained.hit)
    height = max(query.height, hit.height)
    width = max(query.width + _GAP + hit.width, 2 * _HEIGHT)
    canvas = Image.new("RGB", (width + 2 * _MARGIN, 2 * height + 6 * _LINE + 2 * _MARGIN), _PAPER)
    left = (canvas.width - query.width - _GAP - hit.width) // 2
    tops = (_MARGIN + 2 * _LINE, _MARGIN + 4 * _LINE + height)
    span = heat_span(explained)
    hot = [heated(seen, span).resize(like.size) for seen, like in _both(explained, query, hit)]
    for top, (one, other) in zip(tops, ((query, hit), hot), strict=True):
        canvas.paste(one, (left, top))
        canvas.paste(other, (left + query.width + _GAP, top))
    where = (left, tops[0], left + query.width + _GAP, tops[0])
    canvas = _with_lines(canvas, pairs(explained, lines), where, query.size, hit.size)
    _write(canvas, explained, span, left, tops[1] - _LINE)
    return canvas


def fitted(seen: Seen) -> Image.Image:
    """What the model sees, as large as there is room, with the region outlined."""
    picture = seen.picture
    scale = min(_WIDTH / picture.width, _HEIGHT / picture.height)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    picture = picture.resize(size, Image.Resampling.LANCZOS)
    if seen.region:
        left, top, right, bottom = seen.region
        box = (left * size[0], top * size[1], right * size[0] - 1, bottom * size[1] - 1)
        ImageDraw.Draw(picture).rectangle(box, outline=_REGION, width=3)
    return picture


def summary(explained: Explanation) -> str:
    """The numbers of an explanation on one line."""
    found = explained.matches
    agree = int(found.inliers.sum())
    words = f"score {explained.score:.3f}   {agree} of {len(found.first)} matches agree"
    if (region := explained.region) is None:
        return f"{words}   local {explained.local:.3f}"
    return f"{words}   region {region.score:.3f}, its patches {region.mean:.3f}"


def _both(
    explained: Explanation, query: Image.Image, hit: Image.Image
) -> list[tuple[Seen, Image.Image]]:
    return [(explained.query, query), (explained.hit, hit)]


def _with_lines(
    canvas: Image.Image,
    drawn: list[Pair],
    where: tuple[int, int, int, int],
    query: tuple[int, int],
    hit: tuple[int, int],
) -> Image.Image:
    """The canvas with lines from the query at `where[:2]` to the hit at `where[2:]`."""
    large = canvas.resize((_SHARP * canvas.width, _SHARP * canvas.height))
    draw = ImageDraw.Draw(large)
    for pair in drawn:
        start = _at(where[:2], query, pair.start)
        end = _at(where[2:], hit, pair.end)
        draw.line((*start, *end), fill=pair.color, width=2 * _SHARP)
    for pair in drawn:
        for x, y in (_at(where[:2], query, pair.start), _at(where[2:], hit, pair.end)):
            ring = 5 * _SHARP
            box = (x - ring, y - ring, x + ring, y + ring)
            draw.ellipse(box, fill=pair.color, outline=_PAPER, width=_SHARP)
    return large.resize(canvas.size, Image.Resampling.LANCZOS)


def _at(
    corner: tuple[int, ...], size: tuple[int, int], point: tuple[float, float]
) -> tuple[float, float]:
    x, y = (_SHARP * (c + s * p) for c, s, p in zip(corner, size, point, strict=True))
    return x, y


def _write(
    canvas: Image.Image, explained: Explanation, span: tuple[float, float], left: int, below: int
) -> None:
    draw = ImageDraw.Draw(canvas)
    large, small = ImageFont.load_default(20), ImageFont.load_default(15)
    draw.text((left, _MARGIN), summary(explained), fill=_INK, font=large)
    agree = explained.matches.inliers.any()
    told = "The strongest matches that agree" if agree else "No matches agree; the strongest"
    draw.text((left, _MARGIN + _LINE + 4), told, fill=_SOFT, font=small)
    text = "How like each patch is to the one most like it in the other picture"
    draw.text((left, below + 4), text, fill=_SOFT, font=small)
    top = canvas.height - _MARGIN - _LINE // 2
    bar = ramp(np.linspace(0, 1, 200, dtype=np.float32))[None].astype(np.uint8).repeat(12, axis=0)
    low, high = (f"{cosine:.2f}" for cosine in span)
    canvas.paste(Image.fromarray(bar), (left + 48, top))
    draw.text((left, top - 3), low, fill=_SOFT, font=small)
    draw.text((left + 258, top - 3), high, fill=_SOFT, font=small)
