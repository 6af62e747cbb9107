"""Which metadata a gallery can be filtered by: columns of few values, and columns of numbers."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from dinoseek.gallery.connection import typed
from dinoseek.gallery.filters import names_of_metadata
from dinoseek.gallery.sqlite_gallery import SqliteGallery

Value: TypeAlias = int | float | str

MOST_VALUES = 24


@dataclass(frozen=True, kw_only=True)
class Facet:
    """A column: its values with how many images have each, or its least and greatest number.

    `values` is empty where there are more than `MOST_VALUES`; `span` is None where not all of them
    are numbers.
    """

    name: str
    values: tuple[tuple[Value, int], ...] = ()
    span: tuple[float, float] | None = None


def facets(gallery: SqliteGallery) -> list[Facet]:
    """All columns of metadata by name, those of free text with neither values nor span."""
    with gallery.reading():
        connection = gallery._connection
        return [_facet(connection, name) for name in names_of_metadata(connection)]


def _facet(connection: sqlite3.Connection, name: str) -> Facet:
    values = list(_distinct(connection, name))
    if len(values) <= MOST_VALUES:
        return Facet(
            name=name, values=tuple((each, _count(connection, name, each)) for each in values)
        )
    query = "SELECT min(value), max(value) FROM attributes WHERE name = ?"
    least, most = connection.execute(query, (name,)).fetchone()
    # numbers come before text in SQLite's order, so a greatest that is one has no text below it
    is_number = isinstance(most, int | float) and isinstance(least, int | float)
    return Facet(name=name, span=(least, most) if is_number else None)


def _distinct(connection: sqlite3.Connection, name: str) -> Iterator[Value]:
    """The values of a column, up to one more than count as few: a look into the key for each."""
    rows = connection.execute(
        "WITH RECURSIVE known (value) AS ("
        " SELECT min(value) FROM attributes WHERE name = :name UNION ALL"
        " SELECT (SELECT min(value) FROM attributes WHERE name = :name AND value > known.value)"
        " FROM known WHERE known.value IS NOT NULL LIMIT :most)"
        " SELECT value FROM known WHERE value IS NOT NULL",
        {"name": name, "most": MOST_VALUES + 1},
    )
    return (value for (value,) in typed(rows, int | float | str))


def _count(connection: sqlite3.Connection, name: str, value: Value) -> int:
    query = "SELECT count(*) FROM attributes WHERE name = ? AND value = ?"
    (count,) = connection.execute(query, (name, value)).fetchone()
    return int(count)
