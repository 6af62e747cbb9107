"""Coming in with the server's token, where it has one."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from dinoseek.web.finder.views.preferences import local_path
from dinoseek.web.middleware.gate import enter_with
from dinoseek.web.tries import check_tries, forget_tries


@require_http_methods(["GET", "HEAD", "POST"])
def enter(request: HttpRequest) -> HttpResponse:
    """Asks for the server's token, and keeps in a cookie that it was known."""
    wanted = local_path(request.POST.get("next") or request.GET.get("next", ""))
    error = ""
    if request.method == "POST":
        check_tries(request, "token")
        response = redirect(wanted)
        if enter_with(request, response, request.POST.get("token", "")):
            forget_tries(request, "token")
            return response
        error = _("That is not the token.")
    status = 403 if error else 200
    return render(request, "finder/enter.html", {"error": error, "next": wanted}, status=status)
