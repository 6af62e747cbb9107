"""What every page shows around its own contents."""

from typing import Any

from django.http import HttpRequest
from django.utils.translation import get_language

from dinoseek.errors import DinoseekError
from dinoseek.web.finder import people, shown
from dinoseek.web.live.busy import Busy
from dinoseek.web.now import config, service

THEMES = ("auto", "light", "dark")
_ACCEPT = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "BMP": "image/bmp",
    "TIFF": "image/tiff",
}


def around(request: HttpRequest) -> dict[str, Any]:
    """The variables of all templates."""
    settings = config()
    theme = request.COOKIES.get("theme", "auto")
    return {
        "gallery": gallery_shown(),
        "may": may(request),
        "theme": theme if theme in THEMES else "auto",
        "language": get_language(),
        "user_name": people.name_of(request),
        "path": request.get_full_path(),
        "max_bytes": settings.limits.max_bytes,
        "max_megabytes": f"{settings.limits.max_bytes / 1e6:g}",
        "formats": ", ".join(settings.limits.formats),
        "accept": ",".join(_ACCEPT[name] for name in settings.limits.formats),
        "config_accounts": settings.accounts,
    }


def gallery_shown() -> shown.Gallery:
    """What is searched."""
    try:
        images, model = service().galleries.summary()
    except (DinoseekError, Busy):  # a page that says so needs its frame all the same
        images, model = 0, ""
    path = config().gallery
    command = f"dinoseek index PHOTOS --gallery {path.name}"
    return shown.Gallery(name=path.stem, images=images, model=model, index_command=command)


def may(request: HttpRequest) -> shown.May:
    """What this person may do."""
    settings, is_known = config(), bool(people.name_of(request))
    return shown.May(
        search_by_url=settings.allow_urls,
        index=people.may_index(request),
        decide=people.may_decide(request),
        register=settings.accounts and settings.registration and not is_known,
        log_in=settings.accounts and not is_known,
        log_out=is_known,
    )
