"""Searching: the first page, a picture that is sent, and what was found."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from dinoseek.errors import UsageError
from dinoseek.web.finder import kept, people
from dinoseek.web.finder.answering import answer
from dinoseek.web.finder.forms import picture_in
from dinoseek.web.finder.pages import at_random, recent, search_shown
from dinoseek.web.finder.question import Question, is_id
from dinoseek.web.now import service

_SAMPLE = 12


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """The search field, a few images to begin with, and the latest searches."""
    sample = at_random(_SAMPLE, None)
    visits = recent(people.owner_of(request), 6)
    return render(request, "finder/home.html", {"sample": sample, "visits": visits})


@require_POST
def send(request: HttpRequest) -> HttpResponseBase:
    """Takes a picture, keeps it for a while, and leads to what is like it."""
    data, name = picture_in(request)
    picture = service().pictures.read(data, name, is_wanted=is_wanted(request))
    owner = people.owner_of(request)
    question = Question.of(kept.keep_picture(owner, picture, name), request.POST)
    response: HttpResponseBase
    if "application/json" in request.headers.get("Accept", ""):
        response = JsonResponse({"location": question.address()}, status=201)
    else:
        response = redirect(question.address())
        response.status_code = 303
    people.remember(request, response)
    return response


@require_safe
def results(request: HttpRequest, key: str) -> HttpResponse:
    """What is like a picture, page by page; for htmx only the page's tiles."""
    question = Question.of(key, request.GET)
    try:
        found, problem = answer(question, is_wanted(request)), None
    except UsageError as exc:
        if not _is_of_filter(exc):
            raise
        found, problem = None, exc
    search = search_shown(question, found, problem)
    is_fragment = bool(getattr(request, "htmx", False))
    template = "finder/_page.html" if is_fragment else "finder/results.html"
    with service().timings.stage("render"):
        response = render(request, template, {"search": search})
    if question.page == 1 and not is_fragment and found is not None:
        _note(request, question, search.parts[0].label)
        people.remember(request, response)
    return response


@require_safe
def help_page(request: HttpRequest) -> HttpResponse:
    """The keys, and what can be done."""
    return render(request, "finder/help.html")


def is_wanted(request: HttpRequest) -> Callable[[], bool]:
    """Whether the client still waits, as far as the server can tell."""
    has_left = request.META.get("waitress.client_disconnected")
    return (lambda: not has_left()) if has_left else (lambda: True)


def _is_of_filter(exc: UsageError) -> bool:
    """Whether it is a slip in the filter, which the page shows beside it."""
    return exc.code.startswith(("filter.", "search.vanished"))


def _note(request: HttpRequest, question: Question, label: str) -> None:
    if is_id(question.key) or kept.kept(question.key):
        owner = people.owner_of(request)
        kept.note_visit(owner, question.key, question.parameters(), label)
