"""Accounts: coming in with a name and a password, a new account, going out."""

from django.contrib.auth import login, logout
from django.contrib.auth.forms import AuthenticationForm, UserCreationForm
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from dinoseek.web.finder import kept, people
from dinoseek.web.finder.views.preferences import local_path
from dinoseek.web.tries import check_tries, forget_tries


@require_http_methods(["GET", "HEAD", "POST"])
def log_in(request: HttpRequest) -> HttpResponse:
    """Name and password; what this browser searched before goes to the account."""
    wanted = local_path(request.POST.get("next") or request.GET.get("next", ""))
    if request.method == "POST":
        name = request.POST.get("username", "")[:150]
        check_tries(request, f"login {name}")
        form = AuthenticationForm(request, data=request.POST, label_suffix="")
        if form.is_valid():
            forget_tries(request, f"login {name}")
            return _come_in(request, form.get_user(), wanted)
    else:
        form = AuthenticationForm(request, label_suffix="")
    return render(request, "finder/login.html", {"form": form, "next": wanted})


@require_http_methods(["GET", "HEAD", "POST"])
def register(request: HttpRequest) -> HttpResponse:
    """A new account, by the rules for passwords."""
    wanted = local_path(request.POST.get("next") or request.GET.get("next", ""))
    form: UserCreationForm[User] = UserCreationForm(
        request.POST if request.method == "POST" else None, label_suffix=""
    )
    if request.method == "POST":
        check_tries(request, "register")
        if form.is_valid():
            user = form.save()
            user.backend = "django.contrib.auth.backends.ModelBackend"
            return _come_in(request, user, wanted)
    return render(request, "finder/register.html", {"form": form, "next": wanted})


@require_POST
def log_out(request: HttpRequest) -> HttpResponse:
    """Ends the session."""
    logout(request)
    response = redirect("home")
    response.status_code = 303
    return response


def _come_in(request: HttpRequest, user: object, wanted: str) -> HttpResponse:
    browser = people.owner_of(request)
    login(request, user)  # type: ignore[arg-type]
    if browser.startswith("b:"):
        kept.hand_over(browser, people.owner_of(request))
    response = redirect(wanted)
    response.status_code = 303
    return response
