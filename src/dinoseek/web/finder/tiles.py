"""Images of the gallery as tiles of a grid: names, addresses, and what a score means."""

import os
from urllib.parse import urlsplit

from django.urls import reverse

from dinoseek.errors import printable
from dinoseek.gallery.base import WEB, Hit, Record
from dinoseek.ranking import percent
from dinoseek.web.finder.question import MOST_PARTS, Question
from dinoseek.web.finder.shown import Tile

_NAME, _PLACE, _CAPTION = 120, 500, 2_000  # characters that are shown
_DIGITS = 16  # of the digest, in the addresses of pictures


def tile(id: int, record: Record, hit: Hit | None = None) -> Tile:
    """A tile that leads to the image, and to what is like it."""
    return Tile(
        id=id,
        name=_cut(name_of(record), _NAME),
        place=_cut(place_of(record), _PLACE),
        caption=_cut(record.caption, _CAPTION) if record.caption else None,
        width=record.width,
        height=record.height,
        thumb=picture_address(id, "thumb", record.digest),
        item=reverse("item", args=[id]),
        similar=reverse("results", args=[str(id)]),
        link=link_of(hit.url if hit else _url(record)),
        rank=hit.rank if hit else None,
        score=hit.score if hit else None,
        percentile=None if hit is None or hit.percentile is None else percent(hit.percentile),
        copies=hit.copies if hit else 0,
    )


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def refining(found: Tile, question: Question, weak_below: float | None) -> Tile:
    """The tile of a hit, with the addresses of the question refined by it."""
    key = str(found.id)
    can_grow = len(question.plus) + len(question.minus) < MOST_PARTS
    is_first = key == question.key
    return Tile(
        **{
            **vars(found),
            "plus": question.with_part("plus", key) if can_grow and not is_first else None,
            "minus": question.with_part("minus", key) if can_grow and not is_first else None,
            "is_weak": _is_weak(found, question, weak_below),
        }
    )


def _is_weak(found: Tile, question: Question, weak_below: float | None) -> bool:
    """Whether a random image could score as much: not known where a picture was subtracted."""
    known = weak_below is not None and found.score is not None and not question.minus
    return known and (found.score or 0) < (weak_below or 0)


def picture_address(id: int, size: str, digest: str) -> str:
    """Where a picture of an image is served: with its digest, so that it can be kept for ever."""
    return reverse("media", args=[id, size, digest[:_DIGITS]])


def name_of(record: Record) -> str:
    """The last part of its path, or of its address's."""
    path = os.fsdecode(record.path)
    if record.root == WEB:
        parts = urlsplit(path)
        path = parts.path.rstrip("/") or parts.netloc
    return printable(path.rpartition("/")[2] or path)


def place_of(record: Record) -> str:
    """Where it lies, for strangers: from its root on, whose own place is nobody's business."""
    path = os.fsdecode(record.path)
    if record.root == WEB:
        return printable(path)
    return printable(f"{os.path.basename(record.root.rstrip('/')) or 'files'}/{path}")  # noqa: PTH119


def _url(record: Record) -> str | None:
    return os.fsdecode(record.path) if record.root == WEB else None


def link_of(address: str | None) -> str | None:
    """An address that may be linked to: http or https, nothing that a browser would run."""
    if address and address.lower().startswith(("http://", "https://")):
        return address
    return None
