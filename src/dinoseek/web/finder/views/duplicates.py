"""Looking through duplicates, group by group: keep, discard, undo. No file is touched from here."""

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.views.decorators.http import require_POST, require_safe

from dinoseek.errors import DinoseekError, UsageError
from dinoseek.web.finder import groups, people
from dinoseek.web.finder.views.errors import forbidden
from dinoseek.web.now import service

_LOOK_AGAIN = 2  # seconds, while groups are being found
_TRY_AGAIN = 5


@require_safe
def show(request: HttpRequest) -> HttpResponse:
    """One group of a level: the one that is asked for, or the first that is not decided."""
    return _page(request, request.GET.get("level"), request.GET.get("group"))


@require_POST
def decide(request: HttpRequest) -> HttpResponse:
    """Keeps what is said of a file, or of a whole group, and goes on to what comes next."""
    if not people.may_decide(request):
        return forbidden(request, PermissionError())
    said = request.POST
    level = groups.level_of(said.get("level"))
    owner = people.owner_of(request)
    try:
        place = groups.decide(owner, level, said.get("choice", ""), said.get("key", "")[:100])
    except DinoseekError as exc:
        return _page(request, level, said.get("group"), exc)
    return _to(request, groups.address(level, place))


@require_POST
def undo(request: HttpRequest) -> HttpResponse:
    """Takes back the last thing that this person said, and shows its group."""
    if not people.may_decide(request):
        return forbidden(request, PermissionError())
    level, place = groups.level_of(request.POST.get("level")), 1
    try:
        level, place = service().review.undo(people.owner_of(request)) or (level, place)
    except DinoseekError as exc:
        return _page(request, level, request.POST.get("group"), exc)
    return _to(request, groups.address(level, place))


def _page(
    request: HttpRequest, level: str | None, group: str | None, problem: DinoseekError | None = None
) -> HttpResponse:
    shown = groups.duplicates_shown(
        groups.level_of(level),
        _place(group),
        who=people.owner_of(request),
        can_decide=people.may_decide(request),
        problem=problem,
    )
    status = 200 if not shown.error else 409 if isinstance(problem, UsageError) else 503
    response = render(request, "finder/duplicates.html", {"duplicates": shown}, status=status)
    if shown.is_computing and problem is None:
        response["Refresh"] = str(_LOOK_AGAIN)
    if status == 503:
        response["Retry-After"] = str(_TRY_AGAIN)
    people.remember(request, response)
    return response


def _to(request: HttpRequest, address: str) -> HttpResponse:
    response = HttpResponseRedirect(address, status=303)
    people.remember(request, response)
    return response


def _place(text: str | None) -> int | None:
    if text and text.isascii() and text.isdigit() and len(text) <= 9:
        return int(text)
    return None
