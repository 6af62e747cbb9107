"""What goes wrong in a form or a view is told to the client, each in its own way."""

import logging
from collections.abc import Callable

from django.core.exceptions import (
    BadRequest,
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
)
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.http.multipartparser import MultiPartParserError

from dinoseek.web.access_line import one_line
from dinoseek.web.faults import GONE, problem_of
from dinoseek.web.live.busy import Busy
from dinoseek.web.middleware.telling import tell

logger = logging.getLogger(__name__)

View = Callable[[HttpRequest], HttpResponseBase]


def faults(get_response: View) -> "Faults":
    """Reads the form before anybody else does, and turns exceptions of views into answers."""
    return Faults(get_response)


class Faults:
    """A middleware, with the second method that Django looks for."""

    def __init__(self, get_response: View) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.method == "POST":
            try:
                # here and not in Django's check of the form's token, where every fault would be 500
                request.POST  # noqa: B018
            except Exception as exc:
                told = self.process_exception(request, exc)
                if told is None:
                    raise
                return told
        return self._get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """The answer to a request that failed; None where Django has one."""
        if isinstance(exception, RequestDataTooBig):
            return tell(request, problem_of(exception))
        if _is_for_django(exception):
            return None
        problem = problem_of(exception)
        if problem.status == GONE:
            return HttpResponse(status=GONE)
        if problem.status >= 500 and not isinstance(exception, Busy):
            number = getattr(request, "request_id", "")
            where = one_line(request.path)
            logger.error("request %s to %s failed", number, where, exc_info=exception)
        return tell(request, problem, rejected="busy" if isinstance(exception, Busy) else "")


def _is_for_django(exc: Exception) -> bool:
    known = (Http404, PermissionDenied, SuspiciousOperation, BadRequest)
    return isinstance(exc, known) and not isinstance(exc, MultiPartParserError)
