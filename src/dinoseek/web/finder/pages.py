"""Puts together what the pages show: a search, a random sample, the history."""

import random
from collections.abc import Sequence
from urllib.parse import urlencode

from django.http import QueryDict
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from dinoseek.errors import DinoseekError
from dinoseek.gallery import facets
from dinoseek.gallery.base import Record
from dinoseek.gallery.listing import count_images, images_at, sample_ids
from dinoseek.gallery.sqlite_gallery import SqliteGallery
from dinoseek.web.finder import kept, shown
from dinoseek.web.finder.answering import Answer
from dinoseek.web.finder.models import KeptQuery, Visit
from dinoseek.web.finder.narrowing import shown_facets
from dinoseek.web.finder.question import SIZES, Question, is_id
from dinoseek.web.finder.tiles import name_of, picture_address, refining, tile
from dinoseek.web.now import service

_LONGEST_DETAIL = 120  # characters


def search_shown(
    question: Question, found: Answer | None, problem: DinoseekError | None
) -> shown.Search:
    """The page of a search; without an answer it shows what is wrong with the filter."""
    known = found.facets if found else service().galleries.run(facets.facets)
    parts = parts_shown(question)
    first = (question.page - 1) * question.k
    tiles = _tiles(question, found) if found else []
    return shown.Search(
        address=question.path,
        hidden=[(name, key) for name in ("plus", "minus") for key in getattr(question, name)],
        parts=parts,
        tiles=tiles,
        page=question.page,
        before=first,
        next=question.address(page=question.page + 1) if found and found.has_more else None,
        previous=question.address(page=question.page - 1) if question.page > 1 else None,
        sizes=[_size(k, question.k) for k in SIZES],
        where=question.where,
        where_error=problem.reason if problem else None,
        where_notes=found.notes if found else (),
        columns=[each.name for each in known],
        facets=shown_facets(known, question.facets),
        region=str(question.region or ""),
        can_crop=parts[0].image is not None,
        cut=question.min,
        cut_score=found.least if found else None,
        all_matches=question.address(min="", page=1) if question.min else None,
        fold=question.fold,
        milliseconds=round(1000 * found.seconds) if found else 0,
    )


def _tiles(question: Question, found: Answer) -> list[shown.Tile]:
    return [
        refining(tile(hit.id, found.records[hit.id], hit), question, found.weak_below)
        for hit in found.hits
    ]


def _size(k: int, chosen: int) -> shown.Choice:
    return shown.Choice(value=str(k), label=str(k), is_chosen=k == chosen)


def parts_shown(question: Question) -> list[shown.Part]:
    """The pictures of a question, the first one first."""
    ids = [int(key) for key in question.keys if is_id(key)]
    records = dict(zip(ids, service().galleries.run(lambda g: g.get(ids)), strict=True))
    return [_part(question, place, records) for place in range(len(question.keys))]


def _part(question: Question, place: int, records: dict[int, Record]) -> shown.Part:
    key = question.keys[place]
    sign: shown.Sign = "minus" if place > len(question.plus) else "plus"
    remove = question.without_part(key) if place else None
    if not is_id(key):
        found = kept.kept(key)
        is_there = kept.picture_of(found) is not None
        image = reverse("query-picture", args=[key]) if is_there else None
        return shown.Part(label=found.label, sign=sign, image=image, item=None, remove=remove)
    record = records[int(key)]
    return shown.Part(
        label=name_of(record),
        sign=sign,
        image=picture_address(int(key), "thumb" if place else "large", record.digest),
        item=reverse("item", args=[int(key)]),
        remove=remove,
    )


def at_random(count: int, seed: int | None) -> list[shown.Tile]:
    """Images chosen at random; the same ones for the same seed, as long as the gallery is."""

    def some(gallery: SqliteGallery) -> list[shown.Tile]:
        with gallery.reading():
            ids = sample_ids(gallery, count, random.Random(seed))
            return _as_tiles(gallery, ids)

    return service().galleries.run(some)


def browse_shown(page: int, size: int) -> shown.Browse:
    """A page of all images by id; the last one if there are not so many."""

    def some(gallery: SqliteGallery) -> tuple[int, int, list[shown.Tile]]:
        with gallery.reading():
            total = count_images(gallery)
            last = max(1, -(-total // size))
            number = min(page, last)
            return total, number, _as_tiles(gallery, images_at(gallery, (number - 1) * size, size))

    total, number, tiles = service().galleries.run(some)
    pages = max(1, -(-total // size))
    return shown.Browse(
        tiles=tiles,
        total=total,
        page=number,
        pages=pages,
        next=_page("browse", number + 1) if number < pages else None,
        previous=_page("browse", number - 1) if number > 1 else None,
    )


def _page(name: str, number: int) -> str:
    return f"{reverse(name)}?{urlencode({'page': number})}"


def _as_tiles(gallery: SqliteGallery, ids: Sequence[int]) -> list[shown.Tile]:
    return [tile(id, record) for id, record in zip(ids, gallery.get(ids), strict=True)]


def recent(owner: str, count: int, after: int = 0) -> list[shown.Visit]:
    """The latest searches of somebody."""
    visits = list(Visit.objects.filter(owner=owner).order_by("-when")[after : after + count])
    ids = [int(visit.key) for visit in visits if is_id(visit.key)]
    digests = service().galleries.run(lambda g: digests_of(g, ids))
    pictures = set(
        KeptQuery.objects.filter(key__in=[visit.key for visit in visits])
        .exclude(picture=None)
        .values_list("key", flat=True)
    )
    return [_visit(visit, digests, pictures) for visit in visits]


def digests_of(gallery: SqliteGallery, ids: Sequence[int]) -> dict[int, str]:
    """The digests of those of some images that are still there."""
    found = {}
    for id in ids:
        try:
            (record,) = gallery.get([id])
        except DinoseekError:
            continue
        found[id] = record.digest
    return found


def _visit(visit: Visit, digests: dict[int, str], pictures: set[str]) -> shown.Visit:
    image = None
    if is_id(visit.key) and int(visit.key) in digests:
        image = picture_address(int(visit.key), "thumb", digests[int(visit.key)])
    elif visit.key in pictures:
        image = reverse("query-picture", args=[visit.key])
    path = reverse("results", args=[visit.key])
    return shown.Visit(
        number=visit.pk,
        address=f"{path}?{visit.parameters}" if visit.parameters else path,
        label=visit.label,
        detail=_detail(visit.parameters),
        when=visit.when,
        image=image,
    )


def _detail(parameters: str) -> str:
    """What a past search was narrowed or refined by, in a few words."""
    question = Question.of("0", QueryDict(parameters))
    count = len(question.plus) + len(question.minus)
    parts = [
        ngettext("%(n)d more picture", "%(n)d more pictures", count) % {"n": count}
        if count
        else "",
        _("a part of the picture") if question.region else "",
        question.where,
        *(f"{name.partition('-')[2]}: {value}" for name, value in sorted(question.facets.items())),
        _("from %(score)s on") % {"score": question.min} if question.min else "",
    ]
    return ", ".join(filter(None, parts))[:_LONGEST_DETAIL]


def _more(count: int) -> str:
    text = ngettext("%(n)d more picture", "%(n)d more pictures", count)
    return text % {"n": count} if count else ""
