"""The JSON API: search by picture, id or vector; images, thumbnails; described by OpenAPI."""

from importlib.metadata import version
from typing import Annotated, Any

import numpy as np
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from ninja import File, NinjaAPI, Query, Schema, Status, UploadedFile
from ninja.errors import ValidationError
from pydantic import ConfigDict, Field

from dinoseek.errors import UsageError
from dinoseek.gallery.base import Hit
from dinoseek.gallery.filters import parse
from dinoseek.gallery.sqlite_gallery import SqliteGallery
from dinoseek.images.limits import check_bytes
from dinoseek.images.region import Region
from dinoseek.queries import Single
from dinoseek.search import search
from dinoseek.web.finder.shown import Problem
from dinoseek.web.finder.tiles import link_of, picture_address, place_of
from dinoseek.web.finder.views.errors import problem_response
from dinoseek.web.finder.views.search import is_wanted
from dinoseek.web.now import config, service

MOST = 1_000

api = NinjaAPI(
    title="dinoseek",
    version=version("dinoseek"),
    description='Finds images by image. Errors are `{"error": {code, title, reason, fix, ...}}`;'
    " 429 and 503 say in `Retry-After` when to try again.",
    docs_url=None,
    openapi_url="openapi.json",
    urls_namespace="api-1",
)


class Wanted(Schema):
    """Which hits are wanted."""

    model_config = ConfigDict(extra="forbid")

    k: Annotated[int, Field(ge=1, le=MOST, description="how many hits")] = 10
    where: Annotated[str, Field(max_length=2000, description="a filter: `price < 50`")] = ""
    min_score: Annotated[
        float | None, Field(ge=-1, le=1, description="leave out hits with a lower cosine")
    ] = None
    collapse: Annotated[bool, Field(description="fold near-duplicates into the best")] = False
    region: Annotated[
        str, Field(max_length=100, description="search with a part: `10%,10%,50%,50%`")
    ] = ""


class VectorIn(Wanted):
    """A vector to search with, of the gallery's embedder."""

    vector: Annotated[list[float], Field(min_length=1, max_length=8192)]


class HitOut(Schema):
    """A found image: `score` is the cosine; of 100 random pairs `percentile` are less alike."""

    rank: int
    id: int
    path: str
    score: float
    percentile: float | None
    caption: str | None
    url: str | None
    copies: int
    metadata: dict[str, Any]
    thumbnail: str


class HitsOut(Schema):
    """Hits, best first, and how the query was embedded."""

    hits: list[HitOut]
    fingerprint: str


class ItemOut(Schema):
    """An image of the gallery."""

    id: int
    path: str
    width: int
    height: int
    bytes: int
    format: str
    digest: str
    caption: str | None
    metadata: dict[str, Any]
    thumbnail: str


class GalleryOut(Schema):
    """What is searched."""

    images: int
    model: str
    fingerprint: str
    dim: int


class HealthOut(Schema):
    """Whether searches can be answered."""

    ready: bool


@api.post("/search", response=HitsOut, summary="Search with a picture")
def search_by_picture(
    request: HttpRequest, image: File[UploadedFile], wanted: Query[Wanted]
) -> dict[str, Any]:
    """Finds the images that look most like the picture that is sent."""
    _check_names(request)
    data = image.read()
    check_bytes(len(data), "the picture", config().limits)
    region = Region.parse(wanted.region) if wanted.region else None
    picture = service().pictures.read(
        data, image.name or "", region=region, is_wanted=is_wanted(request)
    )
    return _hits(picture.vector, wanted)


@api.post("/search/vector", response=HitsOut, summary="Search with a vector")
def search_by_vector(request: HttpRequest, body: VectorIn) -> dict[str, Any]:
    """Finds the images whose embeddings are most like a vector."""
    if body.region:
        raise UsageError("search.region", "region", "a vector has no regions")
    return _hits(np.asarray(body.vector, np.float32), body)


@api.get("/items/{id:id}/similar", response=HitsOut, summary="Search with an image of the gallery")
def search_by_id(request: HttpRequest, id: int, wanted: Query[Wanted]) -> dict[str, Any]:
    """Finds the images that look most like one of the gallery, without itself."""
    _check_names(request)
    if not wanted.region:
        return _hits(id, wanted, exclude_self=True)
    data, name = service().originals.read(id)
    region = Region.parse(wanted.region)
    picture = service().pictures.read(data, name, region=region, is_wanted=is_wanted(request))
    return _hits(picture.vector, wanted)


@api.get("/items/{id:id}", response=ItemOut, summary="An image of the gallery")
def item(request: HttpRequest, id: int) -> dict[str, Any]:
    """What is known of an image."""
    (record,) = service().galleries.run(lambda gallery: gallery.get([id]))
    return {
        "id": id,
        "path": place_of(record),
        "width": record.width,
        "height": record.height,
        "bytes": record.bytes,
        "format": record.format,
        "digest": record.digest,
        "caption": record.caption,
        "metadata": dict(record.metadata),
        "thumbnail": picture_address(id, "thumb", record.digest),
    }


@api.get("/items/{id:id}/thumbnail", summary="A small JPEG of an image")
def thumbnail(request: HttpRequest, id: int) -> HttpResponse:
    """The image, no side longer than 320 pixels."""
    return HttpResponse(service().thumbnails.get(id, "thumb").jpeg, content_type="image/jpeg")


@api.get("/gallery", response=GalleryOut, summary="What is searched")
def gallery_facts(request: HttpRequest) -> dict[str, Any]:
    """How many images there are, and what made their vectors."""
    images, model = service().galleries.summary()
    made = service().embedder.fingerprint
    return {"images": images, "model": model, "fingerprint": made.id, "dim": made.dim}


@api.get("/health", response={200: HealthOut, 503: HealthOut}, summary="Whether it can answer")
def health(request: HttpRequest) -> Status[dict[str, bool]]:
    """Ready if the gallery can be opened and the model answers."""
    ready = not service().readiness()
    return Status(200 if ready else 503, {"ready": ready})


@api.exception_handler(ValidationError)
def invalid(request: HttpRequest, exc: ValidationError) -> HttpResponse:
    """422: what is asked does not fit, and where."""
    first = exc.errors[0]
    name = ".".join(str(part) for part in first["loc"] if part not in ("query", "body", "form"))
    problem = Problem(
        status=422,
        title=_("That does not work"),
        reason=f"{name}: {first['msg']}"[:300],
        code=f"api.{first['type']}",
        request_id=getattr(request, "request_id", ""),
    )
    return problem_response(request, problem)


def _check_names(request: HttpRequest) -> None:
    """UsageError for a parameter that nothing knows: it would silently not count."""
    for name in request.GET:
        if name not in Wanted.model_fields:
            fix = f"known are {', '.join(Wanted.model_fields)}"
            raise UsageError("api.unknown", name[:40], _("there is no such parameter"), fix=fix)


def _hits(query: Single, wanted: Wanted, *, exclude_self: bool = False) -> dict[str, Any]:
    where = parse(wanted.where) if wanted.where else None

    def found(gallery: SqliteGallery) -> list[dict[str, Any]]:
        with gallery.reading():
            hits = search(
                gallery,
                query,
                wanted.k,
                min_score=wanted.min_score,
                where=where,
                collapse=wanted.collapse,
                exclude_self=exclude_self,
            )
            records = gallery.get(hit.id for hit in hits)
        return [
            _hit(hit, place_of(record), record.digest)
            for hit, record in zip(hits, records, strict=True)
        ]

    with service().timings.stage("search"):
        hits = service().galleries.run(found)
    return {"hits": hits, "fingerprint": service().embedder.fingerprint.id}


def _hit(hit: Hit, place: str, digest: str) -> dict[str, Any]:
    return {
        **hit.as_dict(),
        "path": place,
        "url": link_of(hit.url),
        "thumbnail": picture_address(hit.id, "thumb", digest),
    }
