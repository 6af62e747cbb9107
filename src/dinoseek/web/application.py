"""The WSGI application: Django, its tables and static files in place, checked before it runs."""

import logging
from io import StringIO
from typing import TYPE_CHECKING

from django.core.handlers.wsgi import WSGIHandler
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.core.wsgi import get_wsgi_application

from dinoseek.errors import MachineError
from dinoseek.web.config import ServeConfig
from dinoseek.web.settings import configure

if TYPE_CHECKING:
    from dinoseek.web.live.service import Service

logger = logging.getLogger(__name__)


def make_application(config: ServeConfig, service: "Service | None") -> WSGIHandler:
    """Sets Django up for this process and returns its application.

    Raises MachineError where the folder of its state cannot be used, or a check of Django's for
    deployed sites fails.
    """
    configure(config, service)
    prepare()
    return get_wsgi_application()


def prepare() -> None:
    """Makes or migrates the tables, gathers the static files, and runs Django's checks."""
    from dinoseek.web.finder.runs import interrupt_old  # noqa: PLC0415 - models need settings

    check()
    call_command("migrate", verbosity=0, interactive=False)
    call_command("collectstatic", verbosity=0, interactive=False, clear=True)
    interrupt_old()


def check() -> None:
    """Runs Django's own checks for sites that strangers reach; MachineError if one complains."""
    told = StringIO()
    try:
        call_command("check", deploy=True, fail_level="WARNING", stdout=told, stderr=told)
    except SystemCheckError as exc:
        reason = " ".join(str(exc).split())
        raise MachineError("serve.check", "the settings", f"they are not safe: {reason}") from exc
