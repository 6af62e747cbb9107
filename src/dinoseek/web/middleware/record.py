"""Each request gets a number, a line in the log, and its times."""

import logging
import secrets
import time
from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase

from dinoseek.web.access_line import access_line, blurred
from dinoseek.web.now import service

logger = logging.getLogger("dinoseek.web.access")

_MONITORED = ("/healthz", "/readyz", "/metrics")  # every few seconds, for ever

View = Callable[[HttpRequest], HttpResponseBase]


def record(get_response: View) -> View:
    """Numbers and logs requests; the number is `request.request_id` and in X-Request-ID."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        request.request_id = secrets.token_hex(8)  # type: ignore[attr-defined]
        start = time.perf_counter()
        held = service()
        stages = held.timings.begin() if held is not None else {}
        response = get_response(request)
        seconds = time.perf_counter() - start
        response["X-Request-ID"] = request.request_id  # type: ignore[attr-defined]
        response["Server-Timing"] = server_timing({**stages, "total": seconds})
        if held is not None:
            method = request.method or ""
            held.timings.count_request(_route(request), method, response.status_code, seconds)
        _log(request, response, seconds)
        return response

    return middleware


def server_timing(stages: dict[str, float]) -> str:
    """Seconds by stage as browsers show them: `decode;dur=12.3, total;dur=45.6`."""
    return ", ".join(f"{stage};dur={seconds * 1e3:.1f}" for stage, seconds in stages.items())


def _route(request: HttpRequest) -> str:
    """The pattern of the address, of which there are few, unlike addresses."""
    found = request.resolver_match
    return str(found.route) or "home" if found is not None else "none"


def _log(request: HttpRequest, response: HttpResponseBase, seconds: float) -> None:
    level = logging.DEBUG if request.path in _MONITORED else logging.INFO
    if not logger.isEnabledFor(level):
        return
    line = access_line(
        {
            "id": request.request_id,  # type: ignore[attr-defined]
            "address": blurred(request.META.get("REMOTE_ADDR", "")),
            "method": request.method or "",
            "path": request.path,
            "status": response.status_code,
            "ms": round(seconds * 1e3, 1),
            "agent": request.META.get("HTTP_USER_AGENT", ""),
        }
    )
    logger.log(level, "%s", line)
