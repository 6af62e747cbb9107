"""Which images a filter holds for: each comparison asks the record, the rest is sets of ids."""

import json
import math
import sqlite3
from collections.abc import Sequence
from difflib import get_close_matches

from dinoseek.errors import printable
from dinoseek.gallery.connection import typed
from dinoseek.gallery.exact import Ids
from dinoseek.gallery.filter_lookups import Lookup, lookups
from dinoseek.gallery.filter_syntax import parse
from dinoseek.gallery.filter_tree import FACTS, Comparison, Condition, Filter, Not, Or, fields
from dinoseek.gallery.id_sets import NONE, are_in, read_ids, united

__all__ = ["Filter", "matching", "names_of_metadata", "parse", "unknown_names"]

# Above so many images it is quicker to look up all for which a condition holds.
_FEW = 30_000


def matching(connection: sqlite3.Connection, where: Filter) -> Ids:
    """The ids (n,) of the images for which a filter holds, ascending."""
    return _holding(connection, where.condition, None)


def _holding(connection: sqlite3.Connection, condition: Condition, among: Ids | None) -> Ids:
    """The ids (n,) for which a condition holds, ascending; only those `among` some, if given."""
    if among is not None and not len(among):
        return NONE
    match condition:
        case Comparison():
            return _comparing(connection, condition, among)
        case Not(other):
            every = read_ids(connection, "SELECT id FROM images") if among is None else among
            return every[~are_in(every, _holding(connection, other, among))]
        case Or(parts):
            return united([_holding(connection, part, among) for part in parts])
    for part in sorted(condition.parts, key=lambda part: _estimate(connection, part)):
        among = _holding(connection, part, among)
    return NONE if among is None else among


def _comparing(connection: sqlite3.Connection, comparison: Comparison, among: Ids | None) -> Ids:
    ways = lookups(connection, comparison)
    if among is not None and len(among) <= _FEW and all(way.is_quick_for_one for way in ways):
        return united([_found_among(connection, way, among) for way in ways])
    found = united([_found(connection, way) for way in ways])
    return found if among is None else among[are_in(among, found)]


def _found(connection: sqlite3.Connection, way: Lookup) -> Ids:
    query = f"SELECT {way.id} AS id FROM {way.table} WHERE {way.condition}"
    return read_ids(connection, query, way.values)


def _found_among(connection: sqlite3.Connection, way: Lookup, among: Ids) -> Ids:
    query = (
        "SELECT one.value AS id FROM json_each(?) AS one WHERE EXISTS"
        f" (SELECT 1 FROM {way.table} WHERE {way.id} = one.value AND {way.condition})"
    )
    return read_ids(connection, query, (json.dumps(among.tolist()), *way.values))


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
    known = names_of_metadata(connection)
    return [_unknown(name, known) for name in dict.fromkeys(asked) if name not in known]


def names_of_metadata(connection: sqlite3.Connection) -> list[str]:
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
