"""What went wrong, as a page, as part of one, or as JSON."""

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.translation import gettext as _

from dinoseek.web.finder.shown import Problem


def problem_response(
    request: HttpRequest, problem: Problem, headers: dict[str, str] | None = None
) -> HttpResponse:
    """The answer that tells a problem: JSON to programs, a page to people."""
    response: HttpResponse
    if wants_json(request):
        response = JsonResponse({"error": _as_dict(problem)}, status=problem.status)
    else:
        context = {"problem": problem}
        response = render(request, "finder/error.html", context, status=problem.status)
    if problem.retry_after is not None:
        response["Retry-After"] = str(problem.retry_after)
    for name, value in (headers or {}).items():
        response[name] = value
    return response


def wants_json(request: HttpRequest) -> bool:
    """Whether a program asks: by the address, or by what it accepts."""
    accepted = request.META.get("HTTP_ACCEPT", "")
    return request.path.startswith("/api/") or (
        "application/json" in accepted and "text/html" not in accepted
    )


def _as_dict(problem: Problem) -> dict[str, Any]:
    return {
        "status": problem.status,
        "code": problem.code,
        "title": problem.title,
        "reason": problem.reason,
        "fix": problem.fix,
        "request_id": problem.request_id,
    }


def _of(request: HttpRequest, status: int, title: str, reason: str, fix: str = "") -> HttpResponse:
    problem = Problem(
        status=status,
        title=title,
        reason=reason,
        fix=fix,
        request_id=getattr(request, "request_id", ""),
    )
    return problem_response(request, problem)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """400: Django refuses what it cannot take."""
    return _of(request, 400, _("Bad request"), _("The server does not understand the request."))


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """403: not for this person."""
    return _of(request, 403, _("Not allowed"), _("You may not do this here."))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """404: there is no such page."""
    return _of(request, 404, _("Not found"), _("There is nothing at this address."))


def broken(request: HttpRequest) -> HttpResponse:
    """500: a fault of ours; the log has what, the page only the number to find it by."""
    reason = _("Something went wrong on our side. The number below finds it in the server's log.")
    return _of(request, 500, _("A fault in dinoseek"), reason)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """403: the form is not from this site, or too old."""
    return _of(
        request,
        403,
        _("The form has expired"),
        _("It was not sent from a page of this site, or cookies are blocked."),
        _("Load the page again, and send it once more."),
    )
