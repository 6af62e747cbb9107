"""Which images a filter holds for: each comparison asks the record, the rest is sets of ids."""

import json
import math
import sqlite3
from collections.abc import Sequence
from difflib import get_close_matches

import numpy as np

from dinoseek.errors import printable
from dinoseek.gallery.connection import typed
from dinoseek.gallery.exact import Ids
from dinoseek.gallery.filter_lookups import Lookup, lookups
from dinoseek.gallery.filter_syntax import parse
from dinoseek.gallery.filter_tree import FACTS, Comparison, Condition, Filter, Not, Or, fields

__all__ = ["Filter", "matching", "parse", "unknown_names"]

# Above so many images it is quicker to look up all for which a condition holds.
_FEW = 30_000

_NONE = np.empty(0, np.int64)


def matching(connection: sqlite3.Connection, where: Filter) -> Ids:
    """The ids (n,) of the images for which a filter holds, ascending."""
    return _holding(connection, where.condition, None)


def _holding(connection: sqlite3.Connection, condition: Condition, among: Ids | None) -> Ids:
    """The ids (n,) for which a condition holds, ascending; only those `among` some, if given."""
    if among is not None and not len(among):
        return _NONE
    match condition:
        case Comparison():
            return _comparing(connection, condition, among)
        case Not(other):
            every = _ids(connection, "SELECT id FROM images") if among is None else among
            return every[~_are_in(every, _holding(connection, other, among))]
        case Or(parts):
            return _united([_holding(connection, part, among) for part in parts])
    for part in sorted(condition.parts, key=lambda part: _estimate(connection, part)):
        among = _holding(connection, part, among)
    return _NONE if among is None else among


def _comparing(connection: sqlite3.Connection, comparison: Comparison, among: Ids | None) -> Ids:
    ways = lookups(connection, comparison)
    if among is not None and len(among) <= _FEW and all(way.is_quick_for_one for way in ways):
        return _united([_found_among(connection, way, among) for way in ways])
    found = _united([_found(connection, way) for way in ways])
    return found if among is None else among[_are_in(among, found)]


def _found(connection: sqlite3.Connection, way: Lookup) -> Ids:
    query = f"SELECT {way.id} AS id FROM {way.table} WHERE {way.condition}"
    return _ids(connection, query, way.values)


def _found_among(connection: sqlite3.Connection, way: Lookup, among: Ids) -> Ids:
    query = (
        "SELECT one.value AS id FROM json_each(?) AS one WHERE EXISTS"
        f" (SELECT 1 FROM {way.table} WHERE {way.id} = one.value AND {way.condition})"
    )
    return _ids(connection, query, (json.dumps(among.tolist()), *way.values))


def _ids(connection: sqlite3.Connection, query: str, values: Sequence[object] = ()) -> Ids:
    """The ids (n,) that a query finds, as `id`; ascending, each once.

    SQLite joins them to one text: for many ids that is four times as quick as a row for each.
    """
    joined = f"SELECT count(*), group_concat(id) FROM ({query})"
    count, text = connection.execute(joined, values).fetchone()
    digits = (text or "").replace(",", "")
    found = np.fromstring(text, np.int64, sep=",") if digits.isdigit() else _NONE
    if len(found) != count:  # a bit that flipped on the disk can make text of a number
        raise sqlite3.DatabaseError("an image's id that is no number")
    return _each_once(found)


def _each_once(ids: Ids) -> Ids:
    steps = np.diff(ids)
    if (steps > 0).all():
        return ids
    ordered = np.sort(ids)
    return ordered[np.concatenate([[True], np.diff(ordered) > 0])]


def _united(sets: Sequence[Ids]) -> Ids:
    return sets[0] if len(sets) == 1 else _each_once(np.concatenate([_NONE, *sets]))


def _are_in(ids: Ids, others: Ids) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which of ids (n,) are among others (k,), as a mask (n,); both ascend."""
    if not len(others):
        return np.zeros(len(ids), np.bool_)
    places = np.searchsorted(others, ids)
    return np.take(others, places, mode="clip") == ids


def _estimate(connection: sqlite3.Connection, condition: Condition) -> float:
    """About how many images a condition holds for; those that are costly to find out come last."""
    match condition:
        case Comparison():
            ways = lookups(connection, condition)
            return sum(_count(connection, way) if way.is_indexed else math.inf for way in ways)
        case Not():
            return math.inf
    counts = [_estimate(connection, part) for part in condition.parts]
    return sum(counts) if isinstance(condition, Or) else min(counts)


def _count(connection: sqlite3.Connection, way: Lookup) -> int:
    query = f"SELECT 1 FROM {way.table} WHERE {way.condition} LIMIT {_FEW}"
    (count,) = connection.execute(f"SELECT count(*) FROM ({query})", way.values).fetchone()
    return int(count)


def unknown_names(connection: sqlite3.Connection, where: Filter) -> list[str]:
    """A sentence for each name in a filter that no image has, with names that are nearly it."""
    asked = [field.name for field in fields(where.condition) if field.kind == "metadata"]
    known = _names(connection)
    return [_unknown(name, known) for name in dict.fromkeys(asked) if name not in known]


def _names(connection: sqlite3.Connection) -> list[str]:
    """All names of metadata: one look into the key of `attributes` for each."""
    rows = connection.execute(
        "WITH RECURSIVE known (name) AS (SELECT min(name) FROM attributes UNION ALL"
        " SELECT (SELECT min(name) FROM attributes WHERE name > known.name)"
        " FROM known WHERE known.name IS NOT NULL)"
        " SELECT name FROM known WHERE name IS NOT NULL"
    )
    return [name for (name,) in typed(rows, str)]


def _unknown(name: str, known: Sequence[str]) -> str:
    folded = {each.lower(): each for each in [*FACTS, *known]}
    near = [folded[each] for each in get_close_matches(name.lower(), folded)]
    guess = f"; did you mean {' or '.join(f'`{each}`' for each in near)}?" if near else ""
    return printable(f"no image has `{name}`{guess}")
