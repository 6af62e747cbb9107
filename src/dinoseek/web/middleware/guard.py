"""Requests that no page and no honest program sends, refused before anything is done for them."""

from collections.abc import Callable
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponseBase
from django.utils.translation import gettext as _

from dinoseek.web.finder.shown import Problem
from dinoseek.web.middleware.telling import tell

_METHODS = ("GET", "HEAD", "POST", "OPTIONS")
_READING = ("GET", "HEAD", "OPTIONS")
_LONGEST_QUERY = 8_192  # characters

View = Callable[[HttpRequest], HttpResponseBase]


def guard(get_response: View) -> View:
    """Refuses other hosts, methods that nothing has, long queries, and other sites' scripts."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        problem = _problem(request)
        if problem is None:
            return get_response(request)
        headers = {"Allow": ", ".join(_METHODS)} if problem.status == 405 else None
        return tell(request, problem, rejected=problem.code, headers=headers)

    return middleware


def _problem(request: HttpRequest) -> Problem | None:
    try:
        request.get_host()
    except DisallowedHost:
        reason = _("This server is not known by the name in the address.")
        return Problem(status=400, title=_("Bad request"), reason=reason, code="host")
    if request.method not in _METHODS:
        reason = _("Nothing here is done with this method.")
        return Problem(status=405, title=_("Not possible"), reason=reason, code="method")
    if len(request.META.get("QUERY_STRING", "")) > _LONGEST_QUERY:
        reason = _("The address is too long.")
        return Problem(status=414, title=_("Too long"), reason=reason, code="query")
    if request.path.startswith("/api/") and is_from_another_site(request):
        reason = _("Pages of other sites may not use this server.")
        return Problem(status=403, title=_("Not allowed"), reason=reason, code="cross_site")
    return None


def is_from_another_site(request: HttpRequest) -> bool:
    """Whether a browser sent this for a page of another site; programs do not say and may.

    Browsers since 2023 say so in Sec-Fetch-Site; before, Origin told it for everything but GET.
    A link on another site may lead here.
    """
    sender = request.META.get("HTTP_SEC_FETCH_SITE")
    if sender is not None:
        is_link = request.META.get("HTTP_SEC_FETCH_MODE") == "navigate"
        if request.method in _READING and is_link:
            return False
        return sender not in ("same-origin", "none")
    origin = request.META.get("HTTP_ORIGIN")
    return origin is not None and not _is_ours(request, origin)


def _is_ours(request: HttpRequest, origin: str) -> bool:
    if origin in settings.CSRF_TRUSTED_ORIGINS:
        return True
    try:
        return urlsplit(origin).netloc.lower() == request.get_host().lower()
    except ValueError:
        return False
