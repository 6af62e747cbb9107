"""Filters from a form: the columns that can be chosen from, and what was chosen as a condition."""

from collections.abc import Iterator, Mapping, Sequence

from dinoseek.errors import UsageError
from dinoseek.gallery import facets as columns
from dinoseek.gallery.filter_syntax import parse
from dinoseek.gallery.filter_tree import And, Comparison, Condition, Field, Filter
from dinoseek.web.finder.shown import Choice, Facet

_MOST_FACETS = 12


def condition_of(where: str, chosen: Mapping[str, str]) -> Filter | None:
    """What both a text and a form's fields hold for; None for all images.

    Raises UsageError for a text that is no filter, and for a bound that is no number.
    """
    written = parse(where) if where else None
    parts: list[Condition] = [_comparison(name, value) for name, value in sorted(chosen.items())]
    if written:
        parts.append(written.condition)
    if not parts:
        return None
    return Filter(where, parts[0] if len(parts) == 1 else And(tuple(parts)))


def _comparison(name: str, value: str) -> Comparison:
    kind, _, column = name.partition("-")
    field = Field(column, "metadata")
    if kind == "is":
        return Comparison(field, "=", (value,))  # text that reads as a number finds that, too
    try:
        bound = float(value)
    except ValueError as exc:
        raise UsageError("filter.number", column, f"{value[:40]} is no number") from exc
    return Comparison(field, ">=" if kind == "min" else "<=", (bound,))


def shown_facets(known: Sequence[columns.Facet], chosen: Mapping[str, str]) -> list[Facet]:
    """The form's fields for the columns that a person can choose from."""
    return list(_facets(known, chosen))[:_MOST_FACETS]


def _facets(known: Sequence[columns.Facet], chosen: Mapping[str, str]) -> Iterator[Facet]:
    for column in known:
        if len(column.values) > 1:
            yield _of_values(column, chosen.get(f"is-{column.name}", ""))
        elif column.span and column.span[0] < column.span[1]:
            least, most = column.span
            yield Facet(
                name=column.name,
                field=column.name,
                is_range=True,
                least_field=f"min-{column.name}",
                most_field=f"max-{column.name}",
                least=chosen.get(f"min-{column.name}", ""),
                most=chosen.get(f"max-{column.name}", ""),
                least_hint=f"{least:g}",
                most_hint=f"{most:g}",
            )


def _of_values(column: columns.Facet, chosen: str) -> Facet:
    values = [
        Choice(value=str(value), label=str(value), is_chosen=str(value) == chosen, count=count)
        for value, count in column.values
    ]
    return Facet(name=column.name, field=f"is-{column.name}", values=values)
