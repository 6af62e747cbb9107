"""One image of the gallery: its picture, what is known of it, and what is like it."""

import json
from collections.abc import Iterator

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from dinoseek.errors import UsageError
from dinoseek.gallery.base import Record
from dinoseek.gallery.listing import beside
from dinoseek.gallery.sqlite_gallery import SqliteGallery
from dinoseek.search import search
from dinoseek.web.finder import shown
from dinoseek.web.finder.tiles import picture_address, tile
from dinoseek.web.now import config, service

_NEIGHBOURS = 12
_LONG = 500  # characters


@require_safe
def show(request: HttpRequest, id: int) -> HttpResponse:
    """The image's page."""
    item = service().galleries.run(lambda gallery: item_of(gallery, id))
    return render(request, "finder/item.html", {"item": item})


def item_of(gallery: SqliteGallery, id: int) -> shown.Item:
    """All that the page shows; UsageError id.unknown if there is no such image."""
    with gallery.reading():
        (record,) = gallery.get([id])
        hits = (
            search(gallery, id, _NEIGHBOURS, exclude_self=True) if _has_vector(gallery, id) else []
        )
        records = gallery.get(hit.id for hit in hits)
        before, after = beside(gallery, id)
    return shown.Item(
        tile=tile(id, record),
        large=picture_address(id, "large", record.digest),
        original=reverse("original", args=[id]) if config().originals else None,
        facts=list(_facts(record)),
        copies=(),
        neighbours=[tile(hit.id, each, hit) for hit, each in zip(hits, records, strict=True)],
        previous=reverse("item", args=[before]) if before is not None else None,
        next=reverse("item", args=[after]) if after is not None else None,
    )


def _has_vector(gallery: SqliteGallery, id: int) -> bool:
    try:
        gallery.vectors([id])
    except UsageError:
        return False
    return True


def _facts(record: Record) -> Iterator[shown.Fact]:
    yield shown.Fact(name=_("size"), value=f"{record.width} × {record.height}")
    yield shown.Fact(name=_("format"), value=record.format)
    yield shown.Fact(name=_("bytes"), value=f"{record.bytes:,}")
    for name, value in record.metadata.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        yield shown.Fact(name=name, value=text if len(text) <= _LONG else f"{text[:_LONG]}…")
