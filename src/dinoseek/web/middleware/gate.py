"""Only who knows the server's token comes in, where it has one."""

import ipaddress
from collections.abc import Callable
from urllib.parse import urlencode

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse
from django.utils.crypto import constant_time_compare, salted_hmac
from django.utils.translation import gettext as _

from dinoseek.web.faults import problem_of
from dinoseek.web.finder.shown import Problem
from dinoseek.web.finder.views.errors import wants_json
from dinoseek.web.middleware.telling import tell
from dinoseek.web.now import config
from dinoseek.web.tries import TooManyTriesError, check_tries

_COOKIE, _SALT = "token", "dinoseek.token"
_MONTH = 30 * 86_400  # seconds
_OPEN = ("/healthz", "/readyz", "/enter", "/favicon.ico")
_OPEN_BELOW = ("/preferences/",)

View = Callable[[HttpRequest], HttpResponseBase]


def gate(get_response: View) -> View:
    """Leads people without the token to /enter and answers programs 401; /metrics is for few."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        if request.path == "/metrics":
            return get_response(request) if is_trusted(request) else _not_told(request)
        if config().token is None or _is_open(request.path):
            return get_response(request)
        try:
            knows = knows_token(request)
        except TooManyTriesError as exc:
            return tell(request, problem_of(exc), rejected="tries")
        return get_response(request) if knows else _stopped(request)

    return middleware


def enter_with(request: HttpRequest, response: HttpResponseBase, token: str) -> bool:
    """Whether `token` is the right one; then `response` keeps in a cookie that it was known."""
    wanted = config().token
    if wanted is None or not constant_time_compare(token, wanted):
        return False
    response.set_signed_cookie(
        _COOKIE,
        _trace(wanted),
        salt=_SALT,
        max_age=_MONTH,
        httponly=True,
        samesite="Lax",
        secure=config().is_https or request.is_secure(),
    )
    return True


def knows_token(request: HttpRequest) -> bool:
    """Whether the request shows the token, in Authorization or by its cookie.

    A wrong Authorization is counted; TooManyTriesError if there were too many.
    """
    wanted = config().token
    if wanted is None:
        return False
    kind, _space, shown = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    if kind.lower() == "bearer":
        if constant_time_compare(shown.strip(), wanted):
            return True
        check_tries(request, "token")
    kept = request.get_signed_cookie(_COOKIE, "", salt=_SALT, max_age=_MONTH)
    return constant_time_compare(kept or "", _trace(wanted))


def is_trusted(request: HttpRequest) -> bool:
    """Whether the request comes from this machine itself, or shows the token.

    Behind a proxy that is not named, strangers seem to come from this machine.
    """
    how = config()
    if how.public_url is None or how.trusted_proxy is not None:
        try:
            if ipaddress.ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback:
                return True
        except ValueError:
            pass
    try:
        return knows_token(request)
    except TooManyTriesError:
        return False


def _trace(token: str) -> str:
    """What a cookie has in place of the token: with another token it is worth nothing."""
    return salted_hmac(_SALT, token, algorithm="sha256").hexdigest()


def _is_open(path: str) -> bool:
    return path in _OPEN or path.startswith((*_OPEN_BELOW, str(settings.STATIC_URL)))


def _stopped(request: HttpRequest) -> HttpResponseBase:
    back = request.get_full_path() if request.method in ("GET", "HEAD") else "/"
    entry = f"{reverse('enter')}?{urlencode({'next': back})}"
    is_part = request.META.get("HTTP_HX_REQUEST") == "true"
    if not wants_json(request) and not is_part:
        response = HttpResponseRedirect(entry)
        response.status_code = 303
        return response
    problem = Problem(
        status=401,
        title=_("Not allowed"),
        reason=_("This server asks for its token."),
        fix=_("send it in the header: Authorization: Bearer TOKEN"),
        code="token",
    )
    headers = {"WWW-Authenticate": 'Bearer realm="dinoseek"'}
    if is_part:
        headers["HX-Redirect"] = f"{reverse('enter')}?{urlencode({'next': '/'})}"
    return tell(request, problem, rejected="token", headers=headers)


def _not_told(request: HttpRequest) -> HttpResponseBase:
    reason = _("Only this machine, and who shows the token, may see it.")
    problem = Problem(status=403, title=_("Not allowed"), reason=reason, code="metrics")
    return tell(request, problem, rejected="token")
