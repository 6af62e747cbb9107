"""Answers a question: its pictures become vectors, the gallery is searched, hits become tiles."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dinoseek.errors import DinoseekError, UsageError
from dinoseek.gallery.base import Hit, Record
from dinoseek.gallery.facets import Facet, facets
from dinoseek.gallery.filters import Filter
from dinoseek.gallery.sqlite_gallery import SqliteGallery
from dinoseek.queries import Mix
from dinoseek.search import search
from dinoseek.vit.ops import Array
from dinoseek.web.finder import kept
from dinoseek.web.finder.narrowing import condition_of
from dinoseek.web.finder.question import Question, is_id
from dinoseek.web.now import service

Wanted = Callable[[], bool]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One page of hits with their records.

    `weak_below` is the score that by chance less than one image reaches, None where that is not
    known; `least` the cut-off that was asked for. `notes` are about names in the filter that no
    image has.
    """

    hits: Sequence[Hit]
    records: dict[int, Record]
    has_more: bool
    weak_below: float | None
    least: float | None
    facets: Sequence[Facet]
    notes: Sequence[str]
    seconds: float


def answer(question: Question, is_wanted: Wanted) -> Answer:
    """The hits of a question's page.

    Raises DinoseekError for a question that makes no sense or has expired, Busy where too many
    pictures wait, Gone if nobody waits for the answer.
    """
    start = time.monotonic()
    where = condition_of(question.where, question.facets)
    mix = Mix(
        [_part(key, question, is_wanted) for key in (question.key, *question.plus)],
        [_part(key, question, is_wanted) for key in question.minus],
    )
    with service().timings.stage("search"):
        return service().galleries.run(lambda g: _found(g, question, mix, where, start))


def _part(key: str, question: Question, is_wanted: Wanted) -> int | Array:
    """A picture of the question: an id, which the gallery has a vector of, or a vector (d,)."""
    region = question.region if key == question.key else None
    if is_id(key):
        if region is None:
            return int(key)
        data, name = service().originals.read(int(key))
        return service().pictures.read(data, name, region=region, is_wanted=is_wanted).vector
    found = kept.kept(key)
    if region is None:
        return kept.vector_of(found)
    picture = kept.picture_of(found)
    if picture is None:
        reason = "the picture has expired, so no part of it can be cut out"
        raise UsageError("query.expired", found.label, reason, fix="search with it again")
    return service().pictures.read(picture, found.label, region=region, is_wanted=is_wanted).vector


def _found(
    gallery: SqliteGallery, question: Question, mix: Mix, where: Filter | None, start: float
) -> Answer:
    with gallery.reading():  # hits, records and facets of one version
        background = gallery.background()
        weak_below = background.cut_off() if background else None
        least = _least(question, weak_below)
        first = (question.page - 1) * question.k
        hits = search(
            gallery,
            mix,
            first + question.k + 1,
            min_score=least,
            where=where,
            collapse=question.fold,
            exclude_self=True,
        )
        page = hits[first : first + question.k]
        records = gallery.get(hit.id for hit in page)
        return Answer(
            hits=page,
            records={hit.id: record for hit, record in zip(page, records, strict=True)},
            has_more=len(hits) > first + question.k,
            weak_below=weak_below,
            least=least,
            facets=facets(gallery),
            notes=gallery.unknown_names(where) if where else (),
            seconds=time.monotonic() - start,
        )


def _least(question: Question, automatic: float | None) -> float | None:
    if question.min != "auto":
        return float(question.min) if question.min else None
    return automatic  # of a gallery of a few images nothing can be said; then all are shown


def is_alive(key: str) -> bool:
    """Whether a key still names a picture."""
    try:
        if is_id(key):
            service().galleries.run(lambda g: g.get([int(key)]))
        else:
            kept.kept(key)
    except DinoseekError:
        return False
    return True
