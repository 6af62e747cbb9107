"""The vectors of a gallery as they are searched: loaded once, brought up to date as they change."""

import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from dinoseek.gallery import view
from dinoseek.gallery.exact import Ids
from dinoseek.gallery.matrix_cache import DamagedError
from dinoseek.gallery.spaces import Space
from dinoseek.gallery.view import View
from dinoseek.vit.ops import Array

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Nearest:
    """Searches the spaces of one record. `folder` is where what is derived from it is kept."""

    def __init__(self, connection: sqlite3.Connection, folder: Path) -> None:
        self._connection = connection
        self._folder = folder
        self._view: View | None = None

    def search(
        self, space: Space, queries: Array, k: int, allowed: Ids | None = None
    ) -> list[tuple[Ids, Array]]:
        """The k nearest images of each of queries (q, d): their ids (k',) and scores (k',).

        Best first, equal scores by lower id. With `allowed`, image ids (n,) in ascending order,
        only among those; ids without a vector are passed over. In a transaction.
        """
        return self._certain(space, lambda view: view.search(queries, k, allowed))

    def vectors(self, space: Space, wanted: Ids) -> Array:
        """The vectors (n, d) of images by id, as searched; UsageError for an id without one."""
        return self._certain(space, lambda view: view.vectors(wanted))

    def close(self) -> None:
        """Lets go of what is loaded."""
        if self._view is not None:
            self._view.base.close()
        self._view = None

    def _certain(self, space: Space, ask: Callable[[View], T]) -> T:
        """What a view answers; from the record if a derived file turns out to be damaged."""
        try:
            return ask(self._current(space))
        except (DamagedError, OSError) as exc:
            logger.warning("a cached file of %s is damaged, and made anew: %s", self._folder, exc)
            return ask(self._show(view.renewed(self._connection, space, self._folder)))

    def _current(self, space: Space) -> View:
        if self._view is not None and self._view.key == space.key:
            return self._view
        return self._show(view.current(self._connection, space, self._folder, self._view))

    def _show(self, new: View) -> View:
        if self._view is not None and new.base is not self._view.base:
            self._view.base.close()
        self._view = new
        return new
