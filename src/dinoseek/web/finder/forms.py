"""What people send: one picture, as a file or by its address."""

from django import forms
from django.http import HttpRequest
from django.utils.translation import gettext as _

from dinoseek.errors import FetchError, UsageError
from dinoseek.images.limits import check_bytes
from dinoseek.web.now import config, service


class SourceForm(forms.Form):
    """A folder or list on the server."""

    source = forms.CharField(max_length=4096, strip=True)


def picture_in(request: HttpRequest) -> tuple[bytes, str]:
    """The bytes of the picture that a form sends, and its name.

    Raises UsageError if there is none, ImageError if it is too large, FetchError for an address
    that cannot be fetched.
    """
    file = request.FILES.get("image")
    if file is not None:
        data = file.read()
        if data or not request.POST.get("url"):  # an empty field of a form is sent as well
            check_bytes(len(data), _("the picture"), config().limits)
            return data, file.name or ""
    address = request.POST.get("url", "").strip()
    if not address:
        reason, fix = _("no picture was sent"), _("choose a file")
        raise UsageError("search.no_picture", _("this search"), reason, fix=fix)
    return fetched(address)


def fetched(address: str) -> tuple[bytes, str]:
    """A picture from the web, if that is allowed here, and its address."""
    fetcher = service().fetcher
    if fetcher is None:
        reason = _("this server does not fetch pictures from the web")
        raise FetchError("url.not_allowed", address[:200], reason, fix=_("send the file"))
    return fetcher.fetch(address).data, address
