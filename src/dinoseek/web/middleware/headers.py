"""What each answer tells browsers and caches."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.cache import patch_vary_headers

from dinoseek.web.safe_headers import PICTURES, safe_headers

View = Callable[[HttpRequest], HttpResponseBase]


def headers(get_response: View) -> View:
    """Adds the headers that an answer lacks; one that says nothing of caches is kept by none."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        for name, value in safe_headers(request.path).items():
            response.headers.setdefault(name, value)
        response.headers.setdefault("Cache-Control", "no-store")
        if isinstance(response, HttpResponse):
            # Django adds it too late for what middleware answers; the connection would be closed
            response.headers.setdefault("Content-Length", str(len(response.content)))
        if not request.path.startswith((*PICTURES, str(settings.STATIC_URL))):
            patch_vary_headers(response, ("Cookie", "Accept-Language"))
        return response

    return middleware
