"""Metadata as columns: which names there are, of which kind, and how each value is written."""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from dinoseek.gallery.base import JSON

Kind = Literal["text", "bool", "int", "float", "json", "all"]

MOST_COLUMNS = 500  # more names are no columns: they go into one, as JSON, of the kind "all"

_INT64 = range(-(1 << 63), 1 << 63)
_KINDS: dict[type, Kind] = {str: "text", bool: "bool", int: "int", float: "float"}


@dataclass(frozen=True, kw_only=True)
class Column:
    """How one name of metadata is written: under which heading, and as what."""

    name: str
    column: str
    kind: Kind

    def value(self, metadata: Mapping[str, JSON]) -> Any:
        """The cell of an image; None where it has no such name."""
        if self.kind == "all":
            return json.dumps(dict(metadata), ensure_ascii=False) if metadata else None
        if self.name not in metadata:
            return None
        value = metadata[self.name]
        return json.dumps(value, ensure_ascii=False) if self.kind == "json" else value

    def restored(self, cell: Any) -> dict[str, JSON]:
        """The metadata that was written as this cell; ValueError if it is damaged."""
        if cell is None:
            return {}
        if self.kind != "all":
            return {self.name: json.loads(cell) if self.kind == "json" else cell}
        everything = json.loads(cell)
        if not isinstance(everything, dict):
            raise ValueError("metadata that is no object")
        return everything


def columns_of(metadata: Iterable[Mapping[str, JSON]], taken: Collection[str]) -> list[Column]:
    """The columns for all metadata, as they were met; none has a heading that is `taken`.

    A name whose values are all of one kind has a column of that kind, another is JSON text.
    """
    kinds: dict[str, Kind] = {}
    for each in metadata:
        for name, value in each.items():
            kind = _kind(value)
            kinds[name] = kind if kinds.setdefault(name, kind) == kind else "json"
        if len(kinds) > MOST_COLUMNS:
            return [Column(name="", column=_heading("metadata", set(taken)), kind="all")]
    headings = {name.lower() for name in taken}
    return [Column(name=name, column=_heading(name, headings), kind=kinds[name]) for name in kinds]


def _kind(value: JSON) -> Kind:
    if isinstance(value, int) and value not in _INT64:
        return "json"
    return _KINDS.get(type(value), "json")


def _heading(name: str, taken: set[str]) -> str:
    """The name, or one like it that is free; DuckDB knows no upper and lower case."""
    heading = name or "metadata"
    while heading.lower() in taken:
        heading = f"metadata_{heading}"
    taken.add(heading.lower())
    return heading
