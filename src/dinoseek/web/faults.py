"""What a request is answered when something goes wrong in it: the one place that decides."""

import errno
from collections.abc import Iterator

from django.core.exceptions import RequestDataTooBig
from django.db.utils import OperationalError
from django.http import UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from django.utils.translation import gettext as _

from dinoseek.errors import DinoseekError, FetchError, ImageError, MachineError, UsageError
from dinoseek.web.finder.shown import Problem
from dinoseek.web.live.busy import Busy, Gone
from dinoseek.web.now import config
from dinoseek.web.tries import TooManyTriesError

GONE = 499  # nobody reads it; the number is nginx's
_SUBJECT = 100  # characters of a name that are shown
_STATUSES = {
    "image.too_large_bytes": 413,
    "image.format_not_allowed": 415,
    "image.unsupported": 415,
    "image.unrecognised": 415,
    "image.decode_oom": 503,  # the decoder was killed, and a smaller picture or a later try works
    "id.unknown": 404,
    "query.expired": 410,
    "url.not_allowed": 403,
    "url.too_large": 413,
    "url.rate_limited": 503,
}


def problem_of(exc: BaseException) -> Problem:
    """The problem that an exception is for the client; status 500 for one that nobody foresaw."""
    if isinstance(exc, Busy):
        reason = _("More pictures arrive than can be looked at.")
        return _soon(503, _("Busy"), reason, "busy", exc.retry_after)
    if isinstance(exc, TooManyTriesError):
        reason = _("There were too many wrong tries from your address.")
        return _soon(429, _("Too many tries"), reason, "tries", exc.retry_after)
    if isinstance(exc, Gone):
        return Problem(status=GONE, title=_("Nobody waits"), reason="", code="gone")
    if _is_full(exc):
        reason = _("The server has no disk space left for this.")
        return Problem(status=507, title=_("No space left"), reason=reason, code="disk.full")
    if isinstance(exc, OperationalError):  # locked for long, or not writable
        return _unavailable("store")
    if isinstance(exc, RequestDataTooBig):
        reason = _("The request is larger than the limit.")
        return Problem(status=413, title=_("Too large"), reason=reason, code="request.too_large")
    if isinstance(exc, MultiPartParserError | UnreadablePostError):
        reason = _("The form did not arrive as a whole.")
        return Problem(status=400, title=_("Bad request"), reason=reason, code="request.form")
    if isinstance(exc, DinoseekError):
        return _of_ours(exc)
    reason = _("Something went wrong on our side. The number below finds it in the server's log.")
    return Problem(status=500, title=_("A fault in dinoseek"), reason=reason, code="fault")


def _of_ours(exc: DinoseekError) -> Problem:
    if isinstance(exc, ImageError) and exc.code.startswith("path."):
        reason = _("The file of this image is not there, or cannot be read.")
        return Problem(status=404, title=_("Not found"), reason=reason, code=exc.code)
    if not isinstance(exc, ImageError | FetchError | UsageError):
        return _unavailable(exc.code)  # what they say names folders of this machine
    status = _STATUSES.get(exc.code, 400 if isinstance(exc, UsageError) else 422)
    return Problem(
        status=status,
        title=_title(status),
        reason=f"{exc.subject[:_SUBJECT]}: {exc.reason}",
        fix=_fix(exc, status),
        code=exc.code,
        retry_after=5 if status == 503 else None,
    )


def _fix(exc: DinoseekError, status: int) -> str:
    """What to do; options of the command line are for whoever runs the server."""
    if exc.fix and "--" not in exc.fix:
        return exc.fix
    if status == 415:
        return _("take a file of %(formats)s") % {"formats": ", ".join(config().limits.formats)}
    return ""


def _title(status: int) -> str:
    return {
        403: _("Not allowed"),
        404: _("Not found"),
        410: _("Expired"),
        413: _("Too large"),
        415: _("Not a picture of a known format"),
        422: _("The picture cannot be used"),
        503: _("Not at the moment"),
    }.get(status) or _("That does not work")


def _unavailable(code: str) -> Problem:
    reason = _("The server cannot do this at the moment. Its log says why.")
    return _soon(503, _("Not at the moment"), reason, code, 5)


def _soon(status: int, title: str, reason: str, code: str, seconds: int) -> Problem:
    return Problem(status=status, title=title, reason=reason, code=code, retry_after=seconds)


def _is_full(exc: BaseException) -> bool:
    """Whether the disk is full, by itself or as the cause of something else."""
    return any(
        (isinstance(each, OSError) and each.errno in (errno.ENOSPC, errno.EDQUOT))
        or (not isinstance(each, MachineError) and "disk is full" in str(each)[:200])
        for each in _causes(exc)
        if isinstance(each, OSError | OperationalError) or type(each).__module__ == "sqlite3"
    )


def _causes(exc: BaseException) -> Iterator[BaseException]:
    found: BaseException | None = exc
    for _number in range(10):
        if found is None:
            return
        yield found
        found = found.__cause__ or found.__context__
