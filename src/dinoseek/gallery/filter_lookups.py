"""How images are found for which a comparison holds: one query for each way that it can.

No word of a filter becomes part of a query: names and values are bound.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from dinoseek.gallery.connection import typed
from dinoseek.gallery.filter_tokens import number_in
from dinoseek.gallery.filter_tree import Comparison, Value

Bound: TypeAlias = str | bytes | int | float
Clause: TypeAlias = tuple[str, tuple[Bound, ...]]  # a condition in SQL, and what is bound in it

_AT_ONCE = 400  # values in a query: SQLite allows 999 parameters in older builds
_WEB = b"web:"  # the root of addresses
_COLUMNS = {
    "id": "id",
    "width": "width",
    "height": "height",
    "bytes": "bytes",
    "aspect": "1.0 * width / height",
    "megapixels": "width * height / 1e6",
    "format": "format",
    "caption": "caption",
}
_WITH_INDEX = ("id", "width", "height", "bytes")
_FORMATS = {"JPG": "JPEG", "TIF": "TIFF"}


@dataclass(frozen=True, kw_only=True)
class Lookup:
    """A query for the ids of images: the table it reads, and what it asks for there.

    `is_indexed` says that it reads no more than it finds, `is_quick_for_one` that it costs little
    to ask it about a single image.
    """

    table: str
    id: str
    condition: str
    values: tuple[Bound, ...] = ()
    is_indexed: bool = False
    is_quick_for_one: bool = True


def lookups(connection: sqlite3.Connection, comparison: Comparison) -> list[Lookup]:
    """The queries that together find the images for which a comparison holds."""
    field = comparison.field
    if field.kind == "metadata":
        return list(_of_metadata(comparison))
    if comparison.operator == "exists" and field.is_always_there:
        return [_of_images("TRUE")]
    match field.name:
        case "path" | "folder":
            return list(_of_files(connection, comparison))
        case "url":
            return list(_of_addresses(comparison))
        case "modified":
            return list(_of_times(comparison.values))
        case "format":
            comparison = _with_names_of_formats(comparison)
    is_indexed = field.name in _WITH_INDEX
    return [_of_images(*each, is_indexed) for each in _clauses(comparison, _COLUMNS[field.name])]


def _of_images(condition: str, values: tuple[Bound, ...] = (), is_indexed: bool = True) -> Lookup:
    return Lookup(
        table="images", id="images.id", condition=condition, values=values, is_indexed=is_indexed
    )


def _with_names_of_formats(comparison: Comparison) -> Comparison:
    names = [str(value).upper() for value in comparison.values]
    found = tuple(_FORMATS.get(name, name) for name in names)
    return Comparison(comparison.field, comparison.operator, found)


def _of_metadata(comparison: Comparison) -> Iterator[Lookup]:
    for condition, values in _clauses(comparison, "value"):
        yield Lookup(
            table="attributes",
            id="image_id",
            condition=f"name = ? AND {condition}",
            values=(comparison.field.name, *values),
            is_indexed=comparison.operator not in ("like", "contains"),
            is_quick_for_one=comparison.operator == "=",  # its key ends in the image's id
        )


def _clauses(comparison: Comparison, column: str) -> Iterator[Clause]:
    """The ways in which a column's value can compare as it should; a NULL never does."""
    operator, values = comparison.operator, comparison.values
    match operator:
        case "exists":
            yield f"{column} IS NOT NULL", ()
        case "=":
            yield from _any_of(column, [each for value in values for each in _readings(value)])
        case "like" | "contains":
            yield _alike(column, operator, str(values[0]))
        case "between":
            texts, numbers = zip(*map(_text_and_number, values), strict=True)
            for pair in (texts, numbers):
                if None not in pair:
                    yield f"{column} BETWEEN ? AND ?", pair
        case _:
            yield from _in_order(column, operator, values[0])


def _any_of(column: str, values: Sequence[Bound]) -> Iterator[Clause]:
    for start in range(0, len(values), _AT_ONCE):
        part = tuple(values[start : start + _AT_ONCE])
        yield f"{column} IN ({', '.join('?' * len(part))})", part


def _in_order(column: str, operator: str, value: Value) -> Iterator[Clause]:
    """Numbers only with numbers, texts only with texts: SQLite has all numbers before all texts."""
    text, number = _text_and_number(value)
    upwards = operator in (">", ">=")
    if number is not None:
        yield f"{column} {operator} ?" + (f" AND {column} < ''" if upwards else ""), (number,)
    if text is not None:
        rest = f"{column} < x''" if upwards else f"{column} >= ''"  # a blob is after all texts
        yield f"{column} {operator} ? AND {rest}", (text,)


def _alike(column: str, operator: str, text: str) -> tuple[str, tuple[str]]:
    if operator == "like":
        return f"{column} LIKE ?", (text,)
    return f"{column} LIKE ? ESCAPE '!'", (f"%{_escaped(text)}%",)


def _escaped(text: str) -> str:
    for letter in "!%_":
        text = text.replace(letter, "!" + letter)
    return text


def _readings(value: Value) -> tuple[Bound, ...]:
    """All that equals a value: text also the number that it says, true and false also 1 and 0."""
    if isinstance(value, bool):
        word = str(value)
        return int(value), word, word.lower(), word.upper()
    return tuple(each for each in _text_and_number(value) if each is not None)


def _text_and_number(value: Value) -> tuple[str | None, int | float | None]:
    return (value, number_in(value)) if isinstance(value, str) else (None, value)


def _of_files(connection: sqlite3.Connection, comparison: Comparison) -> Iterator[Lookup]:
    """By the path below the root, and by the root and that path."""
    if comparison.operator != "=":
        yield _of_paths_alike(comparison)
        return
    found = connection.execute("SELECT id, absolute FROM roots ORDER BY id")
    roots = list(typed(found, int, bytes))
    for value in comparison.values:
        path = str(value).encode()
        if comparison.field.name == "path":
            yield _in_roots("path = ?", path)
            yield from (_in_root(root, "path = ?", rest) for root, rest in _below(roots, path))
        else:
            yield from _of_folder(roots, path.rstrip(b"/"))


def _of_folder(roots: Sequence[tuple[int, bytes]], folder: bytes) -> Iterator[Lookup]:
    inside = "path >= ? AND path < ?"
    yield _in_roots(inside, *_bounds(folder))
    for root, rest in _below(roots, folder):
        yield _in_root(root, inside, *_bounds(rest))
    for root, absolute in roots:
        if (absolute + b"/").startswith(folder + b"/") and absolute != _WEB:
            yield _in_root(root, "TRUE")


def _below(roots: Sequence[tuple[int, bytes]], path: bytes) -> Iterator[tuple[int, bytes]]:
    """The roots that a path is in, and what of it is below them."""
    for root, absolute in roots:
        if path.startswith(absolute + b"/") and absolute != _WEB:
            yield root, path[len(absolute) + 1 :]


def _bounds(folder: bytes) -> tuple[bytes, bytes]:
    """The paths of all that is inside a folder are from the first up to the second."""
    return folder + b"/", folder + b"0"  # the sign after "/"


def _in_root(root: int, condition: str, *values: Bound) -> Lookup:
    return _of_table_files(f"root_id = ? AND {condition}", root, *values)


def _in_roots(condition: str, *values: Bound) -> Lookup:
    # naming all roots lets SQLite use the key, which begins with the root
    return _of_table_files(f"root_id IN (SELECT id FROM roots) AND {condition}", *values)


def _of_table_files(condition: str, *values: Bound, is_indexed: bool = True) -> Lookup:
    return Lookup(
        table="files", id="image_id", condition=condition, values=values, is_indexed=is_indexed
    )


def _of_paths_alike(comparison: Comparison) -> Lookup:
    below, (pattern,) = _alike("CAST(path AS TEXT)", comparison.operator, str(comparison.values[0]))
    full = below.replace("path", "absolute || '/' || path")
    if comparison.field.name == "folder":  # a folder is what stands before a "/" of the path
        pattern = f"{pattern}/%"
    return Lookup(
        table="files JOIN roots ON roots.id = root_id",
        id="image_id",
        condition=f"({below} OR {full} AND absolute <> ?)",
        values=(pattern, pattern, _WEB),
    )


def _of_addresses(comparison: Comparison) -> Iterator[Lookup]:
    web = "root_id IN (SELECT id FROM roots WHERE absolute = ?)"
    operator, values = comparison.operator, comparison.values
    if operator == "exists":
        yield _of_table_files(web, _WEB)
    elif operator == "=":
        for condition, paths in _any_of("path", [str(value).encode() for value in values]):
            yield _of_table_files(f"{web} AND {condition}", _WEB, *paths)
    else:
        condition, paths = _alike("CAST(path AS TEXT)", operator, str(values[0]))
        yield _of_table_files(f"{web} AND {condition}", _WEB, *paths, is_indexed=False)


def _of_times(values: Sequence[Value]) -> Iterator[Lookup]:
    for start, end in zip(values[::2], values[1::2], strict=True):
        condition = "mtime_ns >= ? AND mtime_ns < ?"
        yield _of_table_files(condition, start, end, is_indexed=False)
