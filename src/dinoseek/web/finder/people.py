"""Who is asking: an account, or a browser that is known by a random number in a signed cookie."""

import ipaddress
import secrets

from django.http import HttpRequest, HttpResponseBase

from dinoseek.web.now import config

_COOKIE, _SALT = "browser", "dinoseek.browser"
_YEAR = 31_536_000  # seconds


def owner_of(request: HttpRequest) -> str:
    """Whose history this is: "u:7" for an account, else "b:" and the browser's number.

    A browser without a number gets one; `remember` sends it.
    """
    user = getattr(request, "user", None)
    if user is not None and user.is_authenticated:
        return f"u:{user.pk}"
    known = getattr(request, "browser", None)
    if known is None:
        known = request.get_signed_cookie(_COOKIE, "", salt=_SALT, max_age=_YEAR)
        if not known:
            known = request.new_browser = secrets.token_hex(16)  # type: ignore[attr-defined]
        request.browser = known  # type: ignore[attr-defined]
    return f"b:{known}"


def remember(request: HttpRequest, response: HttpResponseBase) -> None:
    """Gives a new browser its number."""
    new = getattr(request, "new_browser", None)
    if new:
        response.set_signed_cookie(
            _COOKIE,
            new,
            salt=_SALT,
            max_age=_YEAR,
            httponly=True,
            samesite="Lax",
            secure=config().is_https,
        )


def name_of(request: HttpRequest) -> str:
    """The account's name; "" for people without."""
    user = getattr(request, "user", None)
    return str(user.get_username()) if user is not None and user.is_authenticated else ""


def may_operate(request: HttpRequest) -> bool:
    """Whether this person runs the server: is named as an operator, or, without accounts, is in."""
    if config().accounts:
        return name_of(request) in config().operators
    return not config().is_exposed or config().token is not None


def may_decide(request: HttpRequest) -> bool:
    """Whether this person may say which duplicates to keep."""
    return may_operate(request)


def may_index(request: HttpRequest) -> bool:
    """Whether this person may have folders indexed."""
    return config().indexing_below is not None and may_operate(request)


def is_near(request: HttpRequest) -> bool:
    """Whether the request comes from this very machine."""
    try:
        return ipaddress.ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False
