"""How often one address may ask, and send pictures."""

import math
from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase
from django.utils.translation import gettext as _

from dinoseek.web.access_line import network
from dinoseek.web.buckets import Buckets
from dinoseek.web.finder.shown import Problem
from dinoseek.web.middleware.admission import is_upload
from dinoseek.web.middleware.telling import tell
from dinoseek.web.now import config

_FREE = ("/healthz", "/readyz", "/metrics")

View = Callable[[HttpRequest], HttpResponseBase]


def rates(get_response: View) -> View:
    """Answers 429 to an address that asks more often than it may; static files come before this."""
    requests, uploads = Buckets(config().requests), Buckets(config().uploads)

    def middleware(request: HttpRequest) -> HttpResponseBase:
        if request.path in _FREE:
            return get_response(request)
        client = network(request.META.get("REMOTE_ADDR", ""))
        wait = requests.take(client)
        if not wait and is_upload(request):
            wait = uploads.take(client)
        return _refusal(request, wait) if wait else get_response(request)

    return middleware


def _refusal(request: HttpRequest, wait: float) -> HttpResponseBase:
    problem = Problem(
        status=429,
        title=_("Too many requests"),
        reason=_("More requests come from your address than one may send."),
        code="rate",
        retry_after=math.ceil(wait),
    )
    return tell(request, problem, rejected="rate")
