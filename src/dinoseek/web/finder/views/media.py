"""Pictures: always made anew from pixels; the files themselves only where that was allowed."""

import re
from urllib.parse import quote

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.templatetags.static import static
from django.views.decorators.http import require_safe

from dinoseek.errors import UsageError
from dinoseek.web.finder import kept
from dinoseek.web.finder.question import is_id
from dinoseek.web.now import service

_FOR_EVER = "private, max-age=31536000, immutable"


@require_safe
def picture(request: HttpRequest, id: str, size: str, digest: str) -> HttpResponse:
    """A small or large picture of an image; the digest in its address must be the image's."""
    (record,) = service().galleries.run(lambda gallery: gallery.get([int(id)]))
    if not record.digest.startswith(digest):
        raise Http404("the image has changed")
    with service().timings.stage("thumbnail"):
        found = service().thumbnails.get(int(id), "large" if size == "large" else "thumb")
    response = _jpeg(found.jpeg, digest)
    if found.is_same:  # else the file has changed, and will look different once it is indexed
        response["Cache-Control"] = _FOR_EVER
    return response


@require_safe
def query_picture(request: HttpRequest, key: str) -> HttpResponse:
    """The picture that was searched with, as long as it is kept."""
    if is_id(key):
        raise Http404("an image of the gallery")
    found = kept.kept(key)
    data = kept.picture_of(found)
    if data is None:
        raise Http404("expired")
    response = _jpeg(data, found.digest[:16])
    response["Cache-Control"] = "private, no-store"
    return response


@require_safe
def original(request: HttpRequest, id: int) -> HttpResponse:
    """The file itself, for saving: never shown by the browser as anything."""
    data, name = service().originals.read(id)
    response = HttpResponse(data, content_type="application/octet-stream")
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", name)[-100:] or "image"
    response["Content-Disposition"] = (
        f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name[-200:], safe='')}"
    )
    response["Cache-Control"] = "private, no-cache"
    return response


@require_safe
def favicon(request: HttpRequest) -> HttpResponse:
    """Where browsers look for the picture of a site that a page of another server names."""
    return redirect(static("finder/favicon.svg"))


def _jpeg(data: bytes, name: str) -> HttpResponse:
    if not name.isalnum():
        raise UsageError("media.name", name, "is no digest")
    response = HttpResponse(data, content_type="image/jpeg")
    response["Content-Disposition"] = f'inline; filename="{name}.jpg"'
    return response
