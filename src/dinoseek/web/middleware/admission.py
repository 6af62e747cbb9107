"""No picture is taken in while too many wait: a refusal costs nothing and comes at once."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase

from dinoseek.web.faults import problem_of
from dinoseek.web.live.busy import Busy
from dinoseek.web.middleware.telling import tell
from dinoseek.web.now import service

View = Callable[[HttpRequest], HttpResponseBase]


def admission(get_response: View) -> View:
    """Answers 503 to a picture that there is no room for, before its form is read."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        held = service()
        if is_upload(request) and held is not None and held.pictures.is_full:
            return tell(request, problem_of(Busy(held.batches.retry_after)), rejected="busy")
        return get_response(request)

    return middleware


def is_upload(request: HttpRequest) -> bool:
    """Whether the request may bring a picture."""
    is_search = request.path == "/search" or request.path.startswith("/api/v1/search")
    return request.method == "POST" and is_search
