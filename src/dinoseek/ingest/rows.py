"""What a row of a list says: where an image is, its caption, and whatever else is known of it."""

import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import partial

from dinoseek.errors import UsageError
from dinoseek.gallery.base import JSON

# What columns are usually called; earlier names are preferred.
URL_NAMES = ("image_url", "img_url", "imageurl", "image_link", "url", "uri", "href", "link")
PATH_NAMES = ("image_path", "path", "filepath", "file_path", "file_name", "filename", "file")
EITHER_NAMES = ("image", "img", "picture", "photo", "src")  # each cell shows which it is
CAPTION_NAMES = ("caption", "text", "title", "description", "alt", "alt_text")

MAX_CAPTION = 2_000  # characters; what follows is cut off
_MAX_DEPTH = 32  # of lists and objects inside each other
_MAX_NAMES = 20  # that an error lists

ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?")
_UNDECODED = re.compile("[\ud800-\udfff]")
_PADDING = " \t\r\n"  # round addresses and paths; other control characters are left to be refused


@dataclass(frozen=True, kw_only=True)
class Row:
    """One image of a list, the `number`-th, counted from 1: it has a `url` or a `path`, not both.

    A relative path is relative to the list's folder. Cells of CSV that are written as numbers
    usually are, such as -3 or 0.5, are numbers in `metadata`; empty ones are not in it.
    """

    number: int
    url: str | None = None
    path: str | None = None
    caption: str | None = None
    metadata: Mapping[str, JSON] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class BadRow:
    """A row that names no image, and why; the others are not affected.

    Codes: csv.empty, csv.columns, csv.cell_too_large, csv.encoding, csv.syntax, csv.value.
    """

    number: int
    code: str
    reason: str


class RowError(Exception):
    """Why a row is no good."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(code, reason)
        self.code, self.reason = code, reason

    def row(self, number: int) -> BadRow:
        """The row that it spoils."""
        return BadRow(number=number, code=self.code, reason=self.reason)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Which column is what; a cell of `either` is an address if it begins like one, else a path."""

    url: str | None = None
    path: str | None = None
    either: str | None = None
    caption: str | None = None

    def row(
        self, number: int, values: Mapping[str, object], read: Callable[[object], JSON]
    ) -> Row | BadRow:
        """The row with these cells; `read` makes metadata of a cell, None of an empty one."""
        try:
            url, path = self._place(values)
            caption = values.get(self.caption) if self.caption is not None else None
            used = {self.either, self.path if path else None, self.url if url else None}
            if not isinstance(caption, list):  # of several, the others are metadata
                used.add(self.caption)
            metadata = {
                cleaned(name): kept
                for name, value in values.items()
                if name not in used and (kept := read(value)) is not None
            }
        except RowError as fault:
            return fault.row(number)
        return Row(
            number=number, url=url, path=path, caption=caption_of(caption), metadata=metadata
        )

    def _place(self, values: Mapping[str, object]) -> tuple[str | None, str | None]:
        """The address or the path; where there are both, the path."""
        url, path = _text(values, self.url), _text(values, self.path)
        if either := _text(values, self.either):
            url, path = (either, None) if ADDRESS.match(either) else (None, either)
        if path:
            return None, _checked_path(path)
        if not url:
            raise RowError("csv.empty", "it has neither an address nor a path")
        if _UNDECODED.search(url):
            raise RowError("csv.encoding", "its address has bytes that are no text")
        return url, None


@dataclass(frozen=True, kw_only=True)
class Columns:
    """What the user says of the columns: their names, or their numbers from 0.

    Where neither `url` nor `path` is given, the usual names are looked for, and so for `caption`.
    Without a `header` the columns are named column0, column1 and so on.
    """

    url: str | None = None
    path: str | None = None
    caption: str | None = None
    header: bool = True

    def layout(self, names: Sequence[str], subject: object) -> Layout:
        """Which of the columns `names` is what; raises UsageError where that is not clear."""
        find = partial(_given, names=names, subject=subject)
        url, path = find(self.url), find(self.path)
        caption = find(self.caption) or _usual(names, CAPTION_NAMES)
        if url or path:
            return Layout(
                url=url, path=path, caption=caption if caption not in {url, path} else None
            )
        return self._guessed(names, caption, subject)

    def _guessed(self, names: Sequence[str], caption: str | None, subject: object) -> Layout:
        url, path = _usual(names, URL_NAMES), _usual(names, PATH_NAMES)
        either = None if url or path else _usual(names, EITHER_NAMES)
        if not self.header and len(names) == 1:
            either = names[0]
        if url and path:
            reason = f"{url} may have addresses and {path} files"
            fix = f"--url-column {url} or --path-column {path} says which to take"
            raise UsageError("csv.column", subject, reason, fix=fix)
        if not (url or path or either):
            reason = f"no column is known to have addresses or paths; it has {listed(names)}"
            fix = "--url-column or --path-column names it, or gives its number from 0"
            raise UsageError("csv.column", subject, reason, fix=fix)
        return Layout(url=url, path=path, either=either, caption=caption)


def listed(names: Sequence[str]) -> str:
    """The names of columns for a message."""
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return (", ".join(repr(name[:80]) for name in names[:_MAX_NAMES]) or "no columns") + more


def _given(wanted: str | None, names: Sequence[str], subject: object) -> str | None:
    """The column that the user named or numbered."""
    if wanted is None:
        return None
    same = [name for name in names if name == wanted] or [
        name for name in names if name.lower() == wanted.strip().lower()
    ]
    if len(same) == 1:
        return same[0]
    if not same and wanted.isascii() and wanted.isdigit() and int(wanted) < len(names):
        return names[int(wanted)]
    reason = f"{len(same) or 'no'} column{'s' * (len(same) > 1)} {wanted!r}"
    raise UsageError(
        "csv.column", subject, f"there {'are' if same else 'is'} {reason}; it has {listed(names)}"
    )


def _usual(names: Sequence[str], usual: Sequence[str]) -> str | None:
    """The column with the most preferred of the usual names."""
    plain = [re.sub(r"[ -]+", "_", name.strip().lower()) for name in names]
    return next((names[plain.index(name)] for name in usual if name in plain), None)


def _text(values: Mapping[str, object], name: str | None) -> str | None:
    value = values.get(name) if name is not None else None
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if not isinstance(value, str):
        raise RowError("csv.value", f"{name} has {str(value)[:80]!r}, which is no text")
    return value.strip(_PADDING)


def _checked_path(path: str) -> str:
    if "\0" in path:
        raise RowError("csv.value", "its path has a null byte")
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        raise RowError(
            "csv.encoding", "its path cannot be written in this system's bytes"
        ) from None
    return path


def caption_of(value: object) -> str | None:
    """The caption as it stands; of several the first. A number is one too."""
    if isinstance(value, list):
        value = next((each for each in value if isinstance(each, str) and each), None)
    if isinstance(value, bool | int | float) and value == value:
        value = str(value)
    return cleaned(value)[:MAX_CAPTION] if isinstance(value, str) and value else None


def cleaned(text: str) -> str:
    """`text` with U+FFFD for what was not decoded, which no database takes."""
    return text if text.isascii() else _UNDECODED.sub("\ufffd", text)


def number_or_text(cell: object) -> JSON:
    """What a cell of a CSV file says: a number if it is written as one, None if it is empty."""
    text = str(cell)
    number = _NUMBER.fullmatch(text)
    if number is None or len(text) > 300:
        return cleaned(text) or None
    if number[2]:
        return float(text)
    return _integer(int(text))


def jsonable(value: object, depth: int = 0) -> JSON:
    """`value` as JSON has it: dates as text, None for NaN, infinity and bytes."""
    if depth > _MAX_DEPTH:
        raise RowError("csv.value", f"lists or objects are nested more than {_MAX_DEPTH} deep")
    match value:
        case None | bool():
            return value
        case str():
            return cleaned(value) if value or depth else None
        case int():
            return _integer(value)
        case float() | Decimal():
            return float(value) if math.isfinite(value) else None
        case Mapping():
            return {cleaned(str(key)): jsonable(each, depth + 1) for key, each in value.items()}
        case list() | tuple():
            return [jsonable(each, depth + 1) for each in value]
        case datetime() | date() | time():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case bytes():
            return None
    return cleaned(str(value))


def _integer(value: int) -> JSON:
    return value if -(2**63) <= value < 2**63 else str(value)  # SQLite has no more bits
