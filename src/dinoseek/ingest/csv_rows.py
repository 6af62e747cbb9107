"""Rows of CSV: strict about quotes, so that one that is not closed cannot swallow what follows."""

import csv
from collections.abc import Iterable, Iterator
from itertools import chain

from dinoseek.errors import UsageError
from dinoseek.ingest.lines import MAX_CELL, Lines, RowTooLongError
from dinoseek.ingest.rows import BadRow, Columns, Layout, Row, RowError, number_or_text
from dinoseek.ingest.sources import SUFFIXES

_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_FLAGS = {",": ",", ";": "';'", "\t": "tab", "|": "'|'"}  # as one writes them in a shell
_PLAIN, _START, _QUOTED, _CLOSING = range(4)  # in a cell, before one, in quotes, after a quote


def csv_rows(
    lines: Lines, columns: Columns, delimiter: str, *, guessed: bool
) -> Iterator[Row | BadRow]:
    """The rows of a text whose cells `delimiter` separates; `guessed`: nobody said that it does.

    Blank lines are left out, and lines that begin with "#" where they cannot be rows. Raises
    UsageError csv.column, csv.delimiter, csv.syntax, csv.encoding, csv.format.
    """
    records = _records(lines, delimiter)
    first = next((each for each in records if not _is_remark(each)), None)
    if first is None:
        return
    if isinstance(first, RowError):
        raise UsageError(first.code, lines.subject, f"in its first row, {first.reason}")
    if guessed:
        _check_delimiter(first, delimiter, lines.subject)
    names = _names(first, columns, lines.subject)
    layout = columns.layout(names, lines.subject)
    records = records if columns.header else chain([first], records)
    for cells in records:
        if isinstance(cells, list) and _is_comment(cells, names, layout):
            continue
        yield _row(lines.row, cells, names, layout)
        lines.row += 1


def _row(
    number: int, cells: list[str] | RowError, names: list[str], layout: Layout
) -> Row | BadRow:
    if isinstance(cells, RowError):
        return cells.row(number)
    if len(cells) != len(names):
        reason = f"it has {len(cells)} cells, the table has {len(names)} columns"
        return BadRow(number=number, code="csv.columns", reason=reason)
    return layout.row(number, dict(zip(names, cells, strict=True)), number_or_text)


def _records(lines: Lines, delimiter: str) -> Iterator[list[str] | RowError]:
    """The cells of each row that is not blank, or why it is no good."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        lines.begin(lines.row)
        try:
            cells = next(reader)
            lines.check_decoded()
        except StopIteration:
            return
        except (csv.Error, RowTooLongError):
            yield _passed_over(lines, delimiter)
        except RowError as fault:
            yield fault
        else:
            if not _is_blank(cells):
                yield _too_large() if any(len(cell) > MAX_CELL for cell in cells) else cells


def _is_blank(cells: list[str]) -> bool:
    return not cells or (len(cells) == 1 and cells[0].isspace())


def _too_large() -> RowError:
    return RowError("csv.cell_too_large", f"it has a cell of more than {MAX_CELL:,} characters")


def _passed_over(lines: Lines, delimiter: str) -> RowError:
    """Goes to the end of a row that is too long to keep; UsageError if its quotes are wrong."""
    first, state = lines.first, _START
    for piece in chain(lines.pieces, iter(lines.more, "")):
        try:
            state = _state_after(piece, state, delimiter)
        except RowError as fault:
            raise _syntax(lines, first, fault.reason) from None
        if piece.endswith(("\n", "\r")) and state != _QUOTED:
            return _too_large()
    if state == _QUOTED:
        raise _syntax(lines, first, "a quote that opens in it is never closed")
    return _too_large()


def _syntax(lines: Lines, first: int, reason: str) -> UsageError:
    where = f"row {lines.row:,} (line {first:,})"
    fix = "in a quoted cell quotes are doubled; --delimiter says what separates cells"
    return UsageError("csv.syntax", lines.subject, f"{where}: {reason}", fix=fix)


def _state_after(text: str, state: int, delimiter: str) -> int:
    """Where in a row one is after `text`, which has no end of a row but at its own end."""
    at = 0
    while at < len(text):
        if state in (_QUOTED, _PLAIN):
            at = text.find('"' if state == _QUOTED else delimiter, at) + 1
            if not at:
                return state
            state = _CLOSING if state == _QUOTED else _START
            continue
        if text[at] == '"':
            state = _QUOTED
        elif text[at] == delimiter:
            state = _START
        elif state == _CLOSING and text[at] not in "\r\n":
            raise RowError("csv.syntax", "a quoted cell goes on after its closing quote")
        else:
            state = _PLAIN
        at += 1
    return state


def _check_delimiter(cells: list[str], delimiter: str, subject: object) -> None:
    """Refuses to take a row for one cell if another delimiter would make several of it."""
    other = next((each for each in _DELIMITERS if len(cells) == 1 and each in cells[0]), None)
    if other is None:
        return
    reason = f"no {_DELIMITERS[delimiter]} separate its first row, but {_DELIMITERS[other]} may"
    fix = f"--delimiter {_FLAGS[other]} if so, --delimiter {_FLAGS[delimiter]} if it has one column"
    raise UsageError("csv.delimiter", subject, reason, fix=fix)


def _names(first: list[str], columns: Columns, subject: object) -> list[str]:
    """The names of the columns; those without one are column0, column1 and so on."""
    if not columns.header:
        return [f"column{number}" for number in range(len(first))]
    if data := next((cell for cell in first if _is_data(cell)), None):
        reason = f"its first row should have the columns' names, but has {data[:80]!r}"
        raise UsageError("csv.column", subject, reason, fix="--no-header says that it has none")
    names = [cell.strip() or f"column{number}" for number, cell in enumerate(first)]
    if twice := next((name for name in names if names.count(name) > 1), None):
        reason = f"two columns are called {twice[:80]!r}"
        raise UsageError("csv.column", subject, reason, fix="rename one of them")
    return names


def _is_data(cell: str) -> bool:
    """Whether a cell is more likely an address or a file than the name of a column."""
    return "://" in cell or cell.lower().encode("utf-8", "replace").endswith(SUFFIXES)


def _is_remark(cells: list[str] | RowError) -> bool:
    return isinstance(cells, list) and cells[0].startswith("#")


def _is_comment(cells: list[str], names: Iterable[str], layout: Layout) -> bool:
    """Whether a line is a comment: "#" does not begin an address, nor is a row a single cell."""
    first, *others = names
    alone = bool(others) and len(cells) == 1
    return _is_remark(cells) and (alone or layout.url == first)
