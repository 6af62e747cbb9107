"""Housekeeping while serving: what has been kept long enough goes, run by run of a clock."""

import logging
import threading

from django.conf import settings
from django.core.management import call_command
from django.db import Error, connection

from dinoseek.web.finder.kept import forget_old
from dinoseek.web.finder.runs import now_running

logger = logging.getLogger(__name__)

_EVERY = 60.0  # seconds


class Upkeep:
    """A thread that tidies up once a minute; a context manager that ends it."""

    def __init__(self, every: float = _EVERY) -> None:
        self._every = every
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dinoseek-upkeep", daemon=True)

    def __enter__(self) -> "Upkeep":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._end.is_set():
            try:
                tidy()
            except Error as exc:  # a full disk, say: searches go on, and it is tried again
                logger.warning("old queries could not be removed: %s", exc)
            self._end.wait(self._every)
        connection.close()


def tidy() -> None:
    """Forgets what is old, and writes down how a run of indexing ended."""
    forget_old()
    now_running()
    if "django.contrib.sessions" in settings.INSTALLED_APPS:
        call_command("clearsessions", verbosity=0)
