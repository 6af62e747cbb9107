"""For those who run it: is the process there, can it answer, and where does the time go."""

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe

from dinoseek.web.finder import people
from dinoseek.web.middleware.telling import mark_told
from dinoseek.web.now import config, service

_NOT_READY = 503


@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """The process answers."""
    return HttpResponse("ok\n", content_type="text/plain")


@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """The gallery and the model can answer; what is wrong is only told to this machine."""
    problems = service().readiness()
    body: dict[str, object] = {"ready": not problems}
    if people.is_near(request) and config().trusted_proxy is None:
        body["problems"] = problems
    response = JsonResponse(body, status=_NOT_READY if problems else 200)
    mark_told(response)
    return response


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Counts and times for Prometheus."""
    text = service().timings.text()
    return HttpResponse(text, content_type="text/plain; version=0.0.4; charset=utf-8")
