"""The searches of this browser or account: open one again, forget one, forget all."""

from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from dinoseek.web.finder import people
from dinoseek.web.finder.models import KeptQuery, Visit
from dinoseek.web.finder.pages import recent
from dinoseek.web.finder.question import is_id

_SIZE = 40


@require_safe
def show(request: HttpRequest) -> HttpResponse:
    """A page of past searches, the latest first."""
    text = request.GET.get("page", "1")
    page = min(max(int(text), 1), 10_000) if text.isascii() and text.isdigit() else 1
    first = (page - 1) * _SIZE
    visits = recent(people.owner_of(request), _SIZE + 1, first)
    context = {
        "visits": visits[:_SIZE],
        "next": _page(page + 1) if len(visits) > _SIZE else None,
        "previous": _page(page - 1) if page > 1 else None,
    }
    return render(request, "finder/history.html", context)


@require_POST
def forget(request: HttpRequest) -> HttpResponse:
    """Forgets one search, and its picture if no other search of this person has it."""
    number = request.POST.get("number", "")
    owner = people.owner_of(request)
    if number.isascii() and number.isdigit() and len(number) <= 18:
        visit = Visit.objects.filter(owner=owner, pk=int(number)).first()
        if visit is not None:
            visit.delete()
            if not is_id(visit.key) and not Visit.objects.filter(key=visit.key).exists():
                KeptQuery.objects.filter(owner=owner, key=visit.key).delete()
    return _back()


@require_POST
def clear(request: HttpRequest) -> HttpResponse:
    """Forgets all searches of this person, and the pictures."""
    owner = people.owner_of(request)
    Visit.objects.filter(owner=owner).delete()
    KeptQuery.objects.filter(owner=owner).delete()
    return _back()


def _back() -> HttpResponse:
    response = redirect("history")
    response.status_code = 303
    return response


def _page(number: int) -> str:
    return f"{reverse('history')}?{urlencode({'page': number})}"
