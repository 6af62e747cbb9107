"""Rows of JSON Lines: one object each, whose names are the columns."""

import json
from collections.abc import Iterator
from itertools import chain, islice

from dinoseek.errors import UsageError
from dinoseek.ingest.lines import MAX_ROW, Lines, RowTooLongError
from dinoseek.ingest.rows import BadRow, Columns, Row, RowError, jsonable

_SAMPLE = 100  # objects that show which columns there are: not each has all


def json_rows(lines: Lines, columns: Columns) -> Iterator[Row | BadRow]:
    """The rows of a text with an object on each line; blank lines are left out.

    Raises UsageError csv.column, csv.encoding, csv.format.
    """
    objects = _objects(lines)
    sample = list(islice(objects, _SAMPLE))
    names = list(dict.fromkeys(key for each in sample if isinstance(each, dict) for key in each))
    layout = columns.layout(names, lines.subject) if names else None
    for number, each in enumerate(chain(sample, objects), start=1):
        if isinstance(each, RowError):
            yield each.row(number)
            continue
        if layout is None:
            layout = columns.layout(list(each), lines.subject)
        yield layout.row(number, each, jsonable)


def _objects(lines: Lines) -> Iterator[dict[str, object] | RowError]:
    row = 1
    while True:
        lines.begin(row)
        try:
            line = next(lines)
            lines.check_decoded()
            if not line.strip():
                continue
            if row == 1 and line.strip() in ("[", "{", "[{"):
                raise _one_document(lines)
            yield _object(line)
        except StopIteration:
            return
        except RowTooLongError:
            _to_end_of_line(lines)
            yield RowError("csv.cell_too_large", f"it has more than {MAX_ROW:,} characters")
        except RowError as fault:
            yield fault
        row += 1


def _object(line: str) -> dict[str, object]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as exc:
        raise RowError("csv.syntax", f"it is not JSON ({exc})") from None
    if not isinstance(value, dict):
        raise RowError("csv.syntax", f"it is a {type(value).__name__}, not a JSON object")
    return value


def _one_document(lines: Lines) -> UsageError:
    reason = "it is one JSON document over many lines, not an object on each line"
    return UsageError("csv.format", lines.subject, reason, fix="jq -c '.[]' makes JSON Lines of it")


def _to_end_of_line(lines: Lines) -> None:
    piece = lines.pieces[-1]
    while piece and not piece.endswith(("\n", "\r")):
        piece = lines.more()
