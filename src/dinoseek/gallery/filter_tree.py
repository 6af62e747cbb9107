"""What a filter says, as a tree of conditions, and the fields that they can be about."""

from dataclasses import dataclass
from typing import TypeAlias

Value: TypeAlias = bool | int | float | str

FACTS = {
    "id": "number",
    "width": "number",
    "height": "number",
    "bytes": "number",
    "aspect": "number",
    "megapixels": "number",
    "format": "text",
    "caption": "text",
    "path": "text",
    "folder": "text",
    "url": "text",
    "modified": "date",
}
_MAY_BE_MISSING = ("caption", "url")


@dataclass(frozen=True)
class Field:
    """What is asked about: a file fact, of the kind number, text or date; or metadata."""

    name: str
    kind: str

    @property
    def is_always_there(self) -> bool:
        """Whether every image has it."""
        return self.kind != "metadata" and self.name not in _MAY_BE_MISSING


@dataclass(frozen=True)
class Comparison:
    """Holds where one of a field's values compares so with one of `values`.

    The operators are = < <= > >= like contains, `between` with two values, `exists` with none, and
    for dates `within`, whose values are stretches of time one after the other: start, end, start,
    end; an end is no longer inside.
    """

    field: Field
    operator: str
    values: tuple[Value, ...] = ()


@dataclass(frozen=True)
class Not:
    """Holds where the other condition does not."""

    other: "Condition"


@dataclass(frozen=True)
class And:
    """Holds where all parts do."""

    parts: "tuple[Condition, ...]"


@dataclass(frozen=True)
class Or:
    """Holds where any part does."""

    parts: "tuple[Condition, ...]"


Condition: TypeAlias = Comparison | Not | And | Or


@dataclass(frozen=True)
class Filter:
    """A condition on images, as it was written and as it was understood; made by `parse`."""

    text: str
    condition: Condition


def fields(condition: Condition) -> list[Field]:
    """The fields that a condition is about, from left to right."""
    if isinstance(condition, Comparison):
        return [condition.field]
    if isinstance(condition, Not):
        return fields(condition.other)
    return [field for part in condition.parts for field in fields(part)]
