"""Pages in parts: a file whose parts begin at comments "part: name", filled in by name."""

import re
from collections.abc import Iterable
from functools import cache
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from dinoseek.errors import MachineError, printable


def write_pieces(path: Path, pieces: Iterable[str]) -> None:
    """Writes a page that comes in pieces; MachineError report.unwritable where it cannot be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", errors="backslashreplace") as page:
            page.writelines(pieces)
    except OSError as exc:
        raise MachineError("report.unwritable", path, exc.strerror or str(exc)) from exc


def fill(page: str, part: str, **values: object) -> str:
    """The named part of a page with `values` in it as text: nothing in them becomes markup."""
    return fill_raw(page, part, **{name: as_text(value) for name, value in values.items()})


def fill_raw(page: str, part: str, **values: str) -> str:
    """The named part of a page with `values` in it as they are."""
    return _parts(page)[part].substitute(values)


def as_text(value: object) -> str:
    """A value as text that no page takes for markup."""
    return escape(printable(value))


@cache
def _parts(page: str) -> dict[str, Template]:
    text = files("dinoseek.report").joinpath(page).read_text(encoding="utf-8")
    _, *pieces = re.split(r"<!-- part: (\w+) -->\n", text)
    return {name: Template(text) for name, text in zip(pieces[::2], pieces[1::2], strict=True)}
