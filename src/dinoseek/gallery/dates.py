"""Dates as people write them, each a stretch of time: a year, month, day, minute or second."""

import re
from datetime import datetime, timedelta
from typing import TypeAlias

Span: TypeAlias = tuple[int, int]  # from, and up to but without: nanoseconds since 1970

_DATE = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d))?)?)?)?(Z|[-+]\d\d:?\d\d)?"
)
_UNITS = {3: timedelta(days=1), 5: timedelta(minutes=1), 6: timedelta(seconds=1)}


def span(text: str) -> Span | None:
    """The time that an ISO date names, from the year to the second; None if it is none.

    Without an offset from UTC it is local time, as the machine's clock has it.
    """
    found = _DATE.fullmatch(text.strip())
    if found is None:
        return None
    *parts, offset = found.groups()
    given = [int(part) for part in parts if part is not None]
    try:
        start = datetime(*[*given, 1, 1][: max(3, len(given))])  # type: ignore[arg-type]
        return _nanoseconds(start, offset), _nanoseconds(_end(start, len(given)), offset)
    except (ValueError, OverflowError):
        return None


def _end(start: datetime, parts: int) -> datetime:
    if parts == 1:
        return start.replace(year=start.year + 1)
    if parts == 2:
        return (start + timedelta(days=31)).replace(day=1)
    return start + _UNITS[parts]


def _nanoseconds(naive: datetime, offset: str | None) -> int:
    aware = naive.astimezone() if offset is None else _at(naive, offset)
    return int(aware.timestamp()) * 10**9


def _at(naive: datetime, offset: str) -> datetime:
    return datetime.fromisoformat(naive.isoformat() + offset)
