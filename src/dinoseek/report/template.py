"""Pages in parts: a file whose parts begin at comments "part: name", filled in by name."""

import re
from functools import cache
from html import escape
from importlib.resources import files
from string import Template

from dinoseek.errors import printable


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
