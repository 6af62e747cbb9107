"""What this process serves: its configuration, and what is held for it."""

from typing import TYPE_CHECKING

from django.conf import settings

from dinoseek.web.config import ServeConfig

if TYPE_CHECKING:
    from dinoseek.web.live.service import Service


def config() -> ServeConfig:
    """How the server was started."""
    found: ServeConfig = settings.SERVE_CONFIG
    return found


def service() -> "Service":
    """The gallery, the model and all that belongs to them."""
    found: Service = settings.SERVE_SERVICE
    return found
