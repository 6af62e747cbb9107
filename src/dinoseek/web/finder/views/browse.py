"""The gallery without a query: page by page, or some images at random."""

import random
from dataclasses import replace

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from dinoseek.web.finder.pages import at_random as some
from dinoseek.web.finder.pages import browse_shown

_SIZE = 60
_MOST = 10**12
_SEEDS = 1_000_000


@require_safe
def in_order(request: HttpRequest) -> HttpResponse:
    """A page of all images."""
    browse = browse_shown(_number(request.GET.get("page"), 1, least=1), _SIZE)
    is_fragment = bool(getattr(request, "htmx", False))
    template = "finder/_browse_page.html" if is_fragment else "finder/browse.html"
    return render(request, template, {"browse": browse})


@require_safe
def at_random(request: HttpRequest) -> HttpResponse:
    """Some images at random; the seed is in the address, so that Back shows the same ones."""
    if "seed" not in request.GET:
        return redirect(_with_seed())
    seed = _number(request.GET.get("seed"), 0, least=0)
    browse = replace(
        browse_shown(1, 1), tiles=some(_SIZE, seed), next=None, previous=None, again=_with_seed()
    )
    return render(request, "finder/browse.html", {"browse": browse})


def _with_seed() -> str:
    return f"{reverse('random')}?seed={random.randrange(_SEEDS)}"


def _number(text: str | None, usual: int, *, least: int) -> int:
    try:
        return min(max(int((text or "")[:20]), least), _MOST)
    except ValueError:
        return usual
