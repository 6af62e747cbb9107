"""What is wrong with a record: everything in it that can be proven right or wrong is.

Its pages and references, its tables, each vector by its checksum, the kind of every value, and
whatever follows from something else in it. Nothing can be proven of a caption or a path: SQLite
keeps no checksums of its own.
"""

import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from dinoseek.errors import ImageError
from dinoseek.gallery import background, schema
from dinoseek.gallery.connection import is_of_machine
from dinoseek.gallery.descriptions import attributes, values_of
from dinoseek.gallery.spaces import fault_of, spaces_of
from dinoseek.images.decode import decode

ATTRIBUTES = "attributes.differ"
COUNTERS = "space.counter"

_SHOWN = 20  # of one kind
_ROWS_AT_ONCE = 4096
_ROUNDING = 0.01  # of a vector's length, by float16
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong: a stable code for programs, a sentence for people.

    `repairable` says that it follows from the rest of the record, and can be made again.
    """

    code: str
    text: str

    @property
    def repairable(self) -> bool:
        return self.code in (ATTRIBUTES, COUNTERS)


def problems(connection: sqlite3.Connection) -> list[Problem]:
    """What is wrong with a record; of each kind the first few, and how many more there are."""
    return [
        problem for code, check in _CHECKS.items() for problem in _first(code, check, connection)
    ]


def _first(
    code: str, check: Callable[[sqlite3.Connection], Iterator[str]], connection: sqlite3.Connection
) -> list[Problem]:
    found: list[Problem] = []
    try:
        texts = check(connection)
        shown = dict.fromkeys(islice(texts, _SHOWN))
        found += [Problem(code=code, text=text) for text in shown]
        if more := sum(1 for _ in texts):
            found.append(Problem(code=code, text=f"and {more:,} more like these"))
    except (sqlite3.DatabaseError, UnicodeDecodeError) as exc:
        if is_of_machine(exc):
            raise
        found.append(Problem(code="record.unreadable", text=f"a part cannot be read ({exc})"))
    return found


def _pages(connection: sqlite3.Connection) -> Iterator[str]:
    for (row,) in connection.execute("PRAGMA integrity_check"):
        if row != "ok":
            yield str(row)


def _tables(connection: sqlite3.Connection) -> Iterator[str]:
    """Whether tables, indexes and triggers are those that this version makes."""
    made = sqlite3.connect(":memory:", isolation_level=None)
    try:
        schema.migrate(made)
        expected, found = _statements(made), _statements(connection)
    finally:
        made.close()
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            yield f"{name} is not what this version makes"


def _statements(connection: sqlite3.Connection) -> dict[str, str]:
    query = "SELECT type || ' ' || name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite\\_%'"
    return dict(connection.execute(query + " ESCAPE '\\'"))


def _references(connection: sqlite3.Connection) -> Iterator[str]:
    for table, *_ in connection.execute("PRAGMA foreign_key_check"):
        yield f"a row of {table} refers to one that is not there"


def _spaces(connection: sqlite3.Connection) -> Iterator[str]:
    for space in spaces_of(connection):
        background.load(connection, space)
    newest = (
        "SELECT id FROM spaces JOIN changes ON space_id = id AND changes.version = spaces.version"
        " WHERE changes.stamp <> spaces.stamp"
    )
    for (id,) in connection.execute(newest):
        yield f"the log of changes of space {id} ends with another stamp"


def _counters(connection: sqlite3.Connection) -> Iterator[str]:
    for id, said, there in connection.execute(
        "SELECT id, vectors, (SELECT count(*) FROM vectors WHERE space_id = spaces.id) FROM spaces"
    ):
        if said != there:
            yield f"space {id} says that it has {said} vectors, but there are {there}"


def _vectors(connection: sqlite3.Connection) -> Iterator[str]:
    for id, dim in connection.execute("SELECT id, dim FROM spaces ORDER BY id").fetchall():
        cursor = connection.execute(
            "SELECT image_id, vector, checksum FROM vectors WHERE space_id = ? ORDER BY image_id",
            (id,),
        )
        while rows := cursor.fetchmany(_ROWS_AT_ONCE):
            faults = [fault_of(id, blob, checksum, dim) for id, blob, checksum in rows]
            yield from filter(None, faults)
            whole = [row for row, fault in zip(rows, faults, strict=True) if not fault]
            yield from _not_unit(whole, dim)


def _not_unit(rows: list[tuple[int, bytes, int]], dim: int) -> Iterator[str]:
    """The checksum is right, but no vector was ever written like this."""
    values = np.frombuffer(b"".join(blob for _, blob, _ in rows), "<f2").reshape(-1, dim)
    lengths = np.linalg.norm(values.astype(np.float32), axis=1)
    for row in np.flatnonzero(~(np.abs(lengths - 1) <= _ROUNDING)):  # also what is not finite
        yield f"the vector of image {rows[row][0]} is not of unit length"


# What columns hold; SQLite would keep anything in any of them.
_VALUES = {
    "roots": "typeof(absolute) = 'blob' AND typeof(relative) IN ('blob', 'null')",
    "images": "typeof(digest) = 'text' AND typeof(width) = 'integer' AND width >= 0"
    " AND typeof(height) = 'integer' AND height >= 0 AND typeof(bytes) = 'integer' AND bytes >= 0"
    " AND typeof(format) = 'text' AND typeof(caption) IN ('text', 'null')"
    " AND typeof(metadata) = 'text' AND (look IS NULL OR typeof(look) = 'blob')"
    " AND typeof(described_by) IN ('blob', 'null')"
    " AND typeof(described_row) IN ('integer', 'null')",
    "files": "typeof(path) = 'blob' AND typeof(size) = 'integer' AND size >= 0"
    " AND typeof(mtime_ns) = 'integer'",
    "failures": "typeof(path) = 'blob' AND typeof(code) = 'text' AND typeof(reason) = 'text'",
    "decisions": "typeof(first) = 'text' AND typeof(second) = 'text' AND first < second",
    "choices": "typeof(path) = 'blob' AND typeof(digest) = 'text'"
    " AND typeof(instead) IN ('text', 'null')",
    "thumbnails": "typeof(jpeg) = 'blob'",
    "attributes": "typeof(name) = 'text' AND typeof(value) IN ('text', 'integer', 'real')",
}


def _values(connection: sqlite3.Connection) -> Iterator[str]:
    for table, condition in _VALUES.items():
        (count,) = connection.execute(
            f"SELECT count(*) FROM {table} WHERE NOT ({condition})"
        ).fetchone()
        if count:
            yield f"{count} rows of {table} have values that are never written"


def _images(connection: sqlite3.Connection) -> Iterator[str]:
    for id, digest, metadata in connection.execute("SELECT id, digest, metadata FROM images"):
        if not _DIGEST.fullmatch(str(digest)):
            yield f"the digest of image {id} is none"
        try:
            values_of(metadata)
        except (sqlite3.DatabaseError, TypeError, RecursionError):
            yield f"the metadata of image {id} cannot be read"


def _attributes(connection: sqlite3.Connection) -> Iterator[str]:
    """What filters look up against what the images' metadata says."""
    gather_attributes(connection)
    there, expected = (
        f"SELECT name, value, image_id FROM {table}"
        for table in ("attributes", "temp.expected_attributes")
    )
    for query, text in (
        (f"{there} EXCEPT {expected}", "filters find image {} by {}, which it does not have"),
        (f"{expected} EXCEPT {there}", "filters do not find image {} by its {}"),
    ):
        for name, _, image_id in connection.execute(query):
            yield text.format(image_id, json.dumps(name, ensure_ascii=False, default=str))


def gather_attributes(connection: sqlite3.Connection) -> None:
    """Fills temp.expected_attributes with what `attributes` has to be.

    Of another name: a temporary table comes before one of the record that is called the same.
    """
    connection.execute("DROP TABLE IF EXISTS temp.expected_attributes")
    # on the disk rather than in memory: there may be tens of millions
    connection.execute(
        "CREATE TEMP TABLE expected_attributes"
        " (name, value, image_id, PRIMARY KEY (name, value, image_id)) WITHOUT ROWID"
    )
    rows = connection.execute("SELECT id, metadata FROM images WHERE metadata <> '{}'")
    connection.executemany(
        "INSERT OR IGNORE INTO temp.expected_attributes VALUES (?, ?, ?)",
        (
            (name, value, id)
            for id, metadata in rows
            for name, value in attributes(values_of(metadata))
        ),
    )


def _thumbnails(connection: sqlite3.Connection) -> Iterator[str]:
    for id, jpeg in connection.execute("SELECT image_id, jpeg FROM thumbnails"):
        try:
            decode(jpeg)
        except (ImageError, TypeError):
            yield f"the thumbnail of image {id} is no picture"


_CHECKS: dict[str, Callable[[sqlite3.Connection], Iterator[str]]] = {
    "record.pages": _pages,
    "record.tables": _tables,
    "record.references": _references,
    "record.values": _values,
    "image.damaged": _images,
    "space.damaged": _spaces,
    COUNTERS: _counters,
    "vector.damaged": _vectors,
    ATTRIBUTES: _attributes,
    "thumbnail.damaged": _thumbnails,
}
