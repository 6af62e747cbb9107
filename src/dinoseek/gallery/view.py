"""A space as it is now: its matrix at some version, and what changed since, searched exactly.

Rows of the matrix whose image changed are dead; the vectors those images have now, and the new
ones, are the tail, read from the record. So nothing that was added, changed or removed is ever
missing or out of date, and a large matrix is not written anew for each of them.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from dinoseek.errors import UsageError
from dinoseek.gallery import matrix_cache
from dinoseek.gallery.delta import bearable, changed_since
from dinoseek.gallery.exact import Found, Ids, Mask, merged, top_k
from dinoseek.gallery.id_sets import NONE, are_in
from dinoseek.gallery.matrix_cache import Matrix, MatrixKey
from dinoseek.gallery.spaces import Space, read_matrix, read_rows
from dinoseek.vit.ops import Array

_GATHERED = 1 / 8  # of a matrix's rows: so many are quicker read one by one than searched around
_ROWS_AT_ONCE = 1 << 15  # gathered at once


@dataclass(frozen=True, kw_only=True)
class View:
    """Vectors of a space at the version `key`: the base's but for the `dead` rows, and the tail's.

    `dead` are places (n,) in the base, `tail_ids` (t,) ids; both ascend. `tail` is (t, d).
    """

    key: MatrixKey
    base: Matrix
    dead: Ids
    tail_ids: Ids
    tail: Array

    @property
    def changes(self) -> int:
        """How many images are not as the base has them."""
        return len(self.dead) + int(np.count_nonzero(~self.base.find(self.tail_ids)[1]))

    @cached_property
    def alive(self) -> Mask | None:
        """Which rows of the base count, as a mask (m,); None: all."""
        if not len(self.dead):
            return None
        mask = np.ones(len(self.base.ids), np.bool_)
        mask[self.dead] = False
        return mask

    def places(self, allowed: Ids) -> Ids:
        """The places (n,) in the base, ascending, of those of some images that are alive there."""
        found, known = self.base.find(allowed)
        places = found[known]
        return places if self.alive is None else places[self.alive[places]]

    def search(self, queries: Array, k: int, allowed: Ids | None = None) -> list[Found]:
        """The k nearest of each of queries (q, d) among images (ascending ids), or among all."""
        places = None if allowed is None else self.places(allowed)
        return self.with_tail(self.search_base(queries, k, places), queries, k, allowed)

    def gathers(self, places: Ids) -> bool:
        """Whether so few rows are read one by one instead of searching around the others."""
        return len(places) <= _GATHERED * len(self.base.ids)

    def search_base(self, queries: Array, k: int, places: Ids | None) -> list[Found]:
        """The k nearest among the base's rows at some places, or among all that are alive."""
        if places is not None and self.gathers(places):
            return self._gathered(queries, k, places)
        mask = self.alive
        if places is not None:
            mask = np.zeros(len(self.base.ids), np.bool_)
            mask[places] = True
        rows, scores = top_k(queries, self.base.whole(), k, mask)
        return [(self.base.ids[row], score) for row, score in zip(rows, scores, strict=True)]

    def _gathered(self, queries: Array, k: int, places: Ids) -> list[Found]:
        parts: list[list[Found]] = [[(NONE, np.empty(0, np.float32))] for _ in queries]
        for start in range(0, len(places), _ROWS_AT_ONCE):
            some = places[start : start + _ROWS_AT_ONCE]
            rows, scores = top_k(queries, self.base.rows(some), k)
            for part, row, score in zip(parts, rows, scores, strict=True):
                part.append((self.base.ids[some[row]], score))
        return [merged(part, k) for part in parts]

    def with_tail(
        self, found: Sequence[Found], queries: Array, k: int, allowed: Ids | None
    ) -> list[Found]:
        """What was found in the base, and the tail's nearest among it."""
        ids, tail = self.tail_ids, self.tail
        if allowed is not None:
            chosen = are_in(ids, allowed)
            ids, tail = ids[chosen], tail[chosen]
        if not len(ids):
            return list(found)
        rows, scores = top_k(queries, tail, k)
        return [
            merged([each, (ids[row], score)], k)
            for each, row, score in zip(found, rows, scores, strict=True)
        ]

    def vectors(self, wanted: Ids) -> Array:
        """The vectors (n, d) of images by id; UsageError for an id without one."""
        found = np.empty((len(wanted), self.key.dim), np.float32)
        late = are_in(wanted, self.tail_ids)
        found[late] = self.tail[np.searchsorted(self.tail_ids, wanted[late])]
        early = ~late
        places, known = self.base.find(wanted[early])
        known[known] = ~are_in(places[known], self.dead)
        if not known.all():
            unknown = wanted[early][~known][0]
            reason = "no image with a vector in this space has it"
            raise UsageError("id.unknown", f"id {unknown}", reason)
        found[early] = self.base.rows(places)
        return found


def current(
    connection: sqlite3.Connection, space: Space, folder: Path, before: View | None
) -> View:
    """The space as it is now, from the least work: what is loaded, the file, or the record.

    A base of which too much changed is made anew, in the file's place if that can be written.
    """
    if before is not None and before.key == space.key:
        return before
    view = _advanced(connection, space, before) if before is not None else None
    return view or _opened(connection, space, folder) or renewed(connection, space, folder)


def _opened(connection: sqlite3.Connection, space: Space, folder: Path) -> View | None:
    """The space from its file; None where that is not of use any more."""
    base = matrix_cache.load(folder, space.key.space)
    view = None
    try:
        if base is not None:
            view = _advanced(connection, space, as_it_was(base))
    finally:
        if base is not None and view is None:
            base.close()
    return view


def as_it_was(base: Matrix) -> View:
    """The space at the version of a matrix of it."""
    none = np.empty((0, base.key.dim), np.float32)
    return View(key=base.key, base=base, dead=NONE, tail_ids=NONE, tail=none)


def _advanced(connection: sqlite3.Connection, space: Space, before: View) -> View | None:
    """A view brought from its version to that of the space; None if it must be made anew."""
    changed = changed_since(connection, space, before.key)
    if changed is None or len(changed) > bearable(len(before.base.ids)):
        return None
    ids, rows = read_rows(connection, space, changed)
    kept = ~are_in(before.tail_ids, changed)
    tail_ids = np.concatenate([before.tail_ids[kept], ids])
    order = np.argsort(tail_ids)
    places, known = before.base.find(changed)
    view = View(
        key=space.key,
        base=before.base,
        dead=np.union1d(before.dead, places[known]),
        tail_ids=tail_ids[order],
        tail=np.concatenate([before.tail[kept], rows])[order],
    )
    whole = len(view.base.ids) - len(view.dead) + len(view.tail_ids) == space.key.rows
    return view if whole and view.changes <= bearable(len(view.base.ids)) else None


def renewed(connection: sqlite3.Connection, space: Space, folder: Path) -> View:
    """The space read from the record, and its file written; sqlite3.DatabaseError if damaged."""
    ids, vectors = read_matrix(connection, space)
    if matrix_cache.store(folder, space.key, ids, vectors):
        base = matrix_cache.load(folder, space.key.space)
        if base is not None and base.key == space.key:  # its pages need not stay in memory
            return as_it_was(base)
        if base is not None:  # another wrote there meanwhile
            base.close()
    return as_it_was(Matrix.in_memory(space.key, ids, vectors))
