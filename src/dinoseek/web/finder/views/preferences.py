"""What a person prefers: light or dark, which language."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import check_for_language
from django.views.decorators.http import require_POST

from dinoseek.web.finder.context import THEMES
from dinoseek.web.now import config

_YEAR = 31_536_000  # seconds


@require_POST
def theme(request: HttpRequest) -> HttpResponse:
    """Light, dark, or as the machine has it."""
    chosen = request.POST.get("theme", "")
    response = _back(request)
    if chosen in THEMES:
        _keep(response, "theme", chosen)
    return response


@require_POST
def language(request: HttpRequest) -> HttpResponse:
    """English or Chinese."""
    chosen = request.POST.get("language", "")
    response = _back(request)
    if chosen in dict(settings.LANGUAGES) and check_for_language(chosen):
        _keep(response, settings.LANGUAGE_COOKIE_NAME, chosen)
    return response


def _back(request: HttpRequest) -> HttpResponse:
    response = redirect(local_path(request.POST.get("next", "")))
    response.status_code = 303
    return response


def local_path(wanted: str) -> str:
    """A path on this site to go to; the first page in place of anything else."""
    is_local = wanted.startswith("/") and not wanted.startswith("//") and "\\" not in wanted
    if is_local and url_has_allowed_host_and_scheme(wanted, None):
        return wanted
    return "/"


def _keep(response: HttpResponse, name: str, value: str) -> None:
    response.set_cookie(
        name, value, max_age=_YEAR, httponly=True, samesite="Lax", secure=config().is_https
    )
