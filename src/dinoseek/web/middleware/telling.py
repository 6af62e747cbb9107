"""How middleware tells a problem: with the number of the request, and counted."""

from dataclasses import replace

from django.http import HttpRequest, HttpResponse

from dinoseek.web.finder.shown import Problem
from dinoseek.web.finder.views.errors import problem_response
from dinoseek.web.now import service


def tell(
    request: HttpRequest,
    problem: Problem,
    *,
    rejected: str = "",
    headers: dict[str, str] | None = None,
) -> HttpResponse:
    """The answer that tells a problem; `rejected` says what it is counted as."""
    held = service()
    if rejected and held is not None:
        held.timings.count_rejected(rejected)
    number = getattr(request, "request_id", "")
    response = problem_response(request, replace(problem, request_id=number), headers)
    mark_told(response)
    return response


def mark_told(response: HttpResponse) -> None:
    """Keeps Django from logging an answer of 500 and above once more, as an error."""
    response._has_been_logged = True  # type: ignore[attr-defined]
