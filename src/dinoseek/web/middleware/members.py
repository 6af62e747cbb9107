"""Only who has an account comes in, where strangers can reach a server without a token."""

from collections.abc import Callable
from urllib.parse import urlencode

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _

from dinoseek.web.finder.shown import Problem
from dinoseek.web.finder.views.errors import wants_json
from dinoseek.web.middleware.telling import tell
from dinoseek.web.now import config

_OPEN = ("/healthz", "/readyz", "/metrics", "/favicon.ico")
_OPEN_BELOW = ("/preferences/", "/accounts/")

View = Callable[[HttpRequest], HttpResponseBase]


def members(get_response: View) -> View:
    """Leads people who are not logged in to the form for it, and answers programs 401."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        how = config()
        is_closed = how.accounts and how.is_exposed and how.token is None
        if not is_closed or _is_open(request.path) or _is_member(request):
            return get_response(request)
        return _stopped(request)

    return middleware


def _is_open(path: str) -> bool:
    return path in _OPEN or path.startswith((*_OPEN_BELOW, str(settings.STATIC_URL)))


def _is_member(request: HttpRequest) -> bool:
    user = getattr(request, "user", None)
    return user is not None and bool(user.is_authenticated)


def _stopped(request: HttpRequest) -> HttpResponseBase:
    back = request.get_full_path() if request.method in ("GET", "HEAD") else "/"
    entry = f"{reverse('login')}?{urlencode({'next': back})}"
    is_part = request.META.get("HTTP_HX_REQUEST") == "true"
    if not wants_json(request) and not is_part:
        response = HttpResponseRedirect(entry)
        response.status_code = 303
        return response
    reason, fix = _("This server is for people with an account."), _("log in")
    problem = Problem(status=401, title=_("Not allowed"), reason=reason, fix=fix, code="account")
    headers = {"HX-Redirect": reverse("login")} if is_part else None
    return tell(request, problem, rejected="token", headers=headers)
