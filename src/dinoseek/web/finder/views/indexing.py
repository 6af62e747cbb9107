"""Having a folder or a list on the server indexed, and watching how it goes."""

import os
from pathlib import Path

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from dinoseek.errors import DinoseekError, UsageError
from dinoseek.web.finder import people
from dinoseek.web.finder.forms import SourceForm
from dinoseek.web.finder.runs import as_shown, latest, now_running, start
from dinoseek.web.finder.views.errors import forbidden
from dinoseek.web.now import config, service


@require_http_methods(["GET", "HEAD", "POST"])
def show(request: HttpRequest) -> HttpResponse:
    """The form, the run that goes on, and the last ones."""
    if not people.may_index(request):
        return forbidden(request, PermissionError())
    error, source = "", request.POST.get("source", "")[:4096]
    if request.method == "POST":
        try:
            start(_allowed(source))
            response = redirect("indexing")
            response.status_code = 303
            return response
        except DinoseekError as exc:
            error = str(exc)
    context = {
        "job": now_running(),
        "jobs": [as_shown(run) for run in latest(10)],
        "roots": [str(folder) for folder in config().indexing_below or ()],
        "error": error,
        "source": source,
    }
    return render(request, "finder/indexing.html", context, status=422 if error else 200)


@require_safe
def progress(request: HttpRequest) -> HttpResponse:
    """How the run is getting on: a part of the page that is asked for again and again."""
    if not people.may_index(request):
        return forbidden(request, PermissionError())
    return render(request, "finder/_job.html", {"job": now_running()})


@require_POST
def stop(request: HttpRequest) -> HttpResponse:
    """Ends the run after the batch that is being worked on; nothing is lost."""
    if not people.may_index(request):
        return forbidden(request, PermissionError())
    service().jobs.stop()
    response = redirect("indexing")
    response.status_code = 303
    return response


def _allowed(text: str) -> Path:
    """The folder or list that a form names; UsageError if it is not there, or not allowed."""
    form = SourceForm({"source": text})
    if not form.is_valid() or "\0" in text:
        raise UsageError(
            "index.source", _("the source"), _("name a folder or a list on the server")
        )
    named = Path(form.cleaned_data["source"]).expanduser()
    path = Path(os.path.realpath(named))
    below = [Path(os.path.realpath(folder)) for folder in config().indexing_below or ()]
    if not any(path.is_relative_to(folder) for folder in below):
        fix = _("allowed are folders below %(folders)s") % {"folders": ", ".join(map(str, below))}
        raise UsageError("index.not_allowed", named, _("it may not be indexed from here"), fix=fix)
    if not path.exists():
        raise UsageError("path.vanished", named, _("there is no such file or folder"))
    return path
