"""The vectors of a gallery as they are searched: loaded once, brought up to date as they change."""

import logging
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from dinoseek.gallery import ann_plan, approximate, delta, index_key, matrix_cache, view
from dinoseek.gallery.ann import Ann
from dinoseek.gallery.ann_plan import Plan
from dinoseek.gallery.connection import transaction
from dinoseek.gallery.exact import Ids
from dinoseek.gallery.indexing import Indexes
from dinoseek.gallery.matrix_cache import DamagedError, Matrix
from dinoseek.gallery.spaces import Space, count_rows, spaces_of
from dinoseek.gallery.view import View
from dinoseek.vit.ops import Array

logger = logging.getLogger(__name__)

T = TypeVar("T")

_STALE_MATRIX = 0.02  # of its rows that may have changed when a run of indexing ends
_STALE_INDEX = 0.1  # the same where an index is built on it, which takes minutes


class Nearest:
    """Searches the spaces of one record. `folder` is where what is derived from it is kept.

    `key_file` holds the secret that proves who wrote an index, by default that of this user;
    spaces of more than `threshold` vectors get an index unless told otherwise.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        folder: Path,
        *,
        key_file: Path | None = None,
        threshold: int = ann_plan.FROM,
    ) -> None:
        self._connection = connection
        self._folder = folder
        self._indexes = Indexes(folder, key_file, threshold)
        self._view: View | None = None
        self._ann: Ann | None = None
        self._ann_of: Matrix | None = None

    def search(
        self, space: Space, queries: Array, k: int, allowed: Ids | None = None
    ) -> list[tuple[Ids, Array]]:
        """The k nearest images of each of queries (q, d): their ids (k',) and scores (k',).

        Best first, equal scores by lower id; where the space has an index, some may be missing.
        With `allowed`, image ids (n,) in ascending order, only among those; ids without a vector
        are passed over. In a transaction.
        """

        def ask(view: View) -> list[tuple[Ids, Array]]:
            ann = self._ann_for(view)
            if ann is None:
                return view.search(queries, k, allowed)
            return approximate.search(view, ann, queries, k, allowed)

        return self._certain(space, ask)

    def vectors(self, space: Space, wanted: Ids) -> Array:
        """The vectors (n, d) of images by id, as searched; UsageError for an id without one."""
        return self._certain(space, lambda view: view.vectors(wanted))

    def build(self, space: Space, kind: str | None = None) -> dict[str, Any]:
        """Makes anew what too much changed since, and says as `status` what there is then.

        `kind` is one of ann_plan.KINDS, and remembered; None: as before. UsageError if that needs
        faiss and it is not installed.
        """
        asked = kind or (self._indexes.facts(space.key.space) or {}).get("asked", "auto")
        base, plan = self._fresh_base(space.id, asked)
        if matrix_cache.stored_key(self._folder, base.key.space) != base.key:
            logger.warning("no index is kept, because nothing can be written to %s", self._folder)
        elif self._indexes.is_due(asked, plan, base.key):
            self._build(asked, plan, base)
        return self.status(space)

    def _build(self, asked: str, plan: Plan | None, base: Matrix) -> None:
        self._ann, self._ann_of = None, base  # the old one goes before the new one comes
        try:
            self._ann = self._indexes.build(asked, plan, base)
        except (DamagedError, OSError) as exc:
            logger.warning("no index is kept in %s: %s", self._folder, exc)

    def _fresh_base(self, id: int, asked: str) -> tuple[Matrix, Plan | None]:
        """The matrix of a space, of which little changed, and the index that it should have.

        Only for that is the record needed.
        """
        with transaction(self._connection, "DEFERRED"):
            space = next(each for each in spaces_of(self._connection) if each.id == id)
            plan = self._indexes.plan(asked, space.key)
            now = self._certain(space, _checked)
            if now.changes > (_STALE_INDEX if plan else _STALE_MATRIX) * len(now.base.ids):
                now = self._show(view.renewed(self._connection, space, self._folder))
            return now.base, plan

    def status(self, space: Space) -> dict[str, Any]:
        """What searches use: the kind and its parameters, how much they cover, the recall.

        `rows` are in the matrix; `tombstones` of them changed since, and `tail` vectors are
        searched beside it. Only headers are read.
        """
        base = matrix_cache.stored_key(self._folder, space.key.space)
        with transaction(self._connection, "DEFERRED"):
            changed = delta.changed_since(self._connection, space, base) if base else None
            tail = 0 if changed is None else count_rows(self._connection, space, changed)
        if base is None or changed is None:  # the next search reads the record
            base, tail = replace(space.key, rows=0), space.key.rows
        facts = self._indexes.facts(space.key.space) or {}
        plan = facts.get("plan") if facts.get("stamp") == base.stamp.hex() else None
        return {
            "kind": plan["kind"] if plan else "exact",
            "asked": facts.get("asked", "auto"),
            "rows": base.rows,
            "tail": tail,
            "tombstones": base.rows + tail - space.key.rows,
            "params": {name: plan[name] for name in ("size", "effort")} if plan else None,
            "recall": facts.get("recall") if plan else None,
            "bytes": (matrix_cache.size_of(base) if base.rows else 0) + facts.get("bytes", 0),
        }

    def use_key(self, key_file: Path) -> None:
        """From now on indexes are proven by the secret in another file."""
        self._indexes.key_file = key_file

    def index_is_whole(self, space: str) -> bool:
        """Whether the index of a space is as it was written; true where nobody can tell."""
        return index_key.read(self._indexes.key_file) is None or self._indexes.is_whole(space)

    def close(self) -> None:
        """Lets go of what is loaded."""
        if self._view is not None:
            self._view.base.close()
        self._view = self._ann = self._ann_of = None

    def _ann_for(self, view: View) -> Ann | None:
        """The index of a view's base; looked for once."""
        if self._ann_of is not view.base:
            self._ann, self._ann_of = None, view.base
            self._ann = self._indexes.load(view.base.key)
        return self._ann

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


def _checked(now: View) -> View:
    now.base.whole()
    return now
