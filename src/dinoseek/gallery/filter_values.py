"""What a field may be compared with: numbers, text, dates, and for metadata also true and false."""

from collections.abc import Sequence

from dinoseek.gallery.dates import Span, span
from dinoseek.gallery.filter_tokens import (
    Token,
    mistake,
    number_in,
    number_of,
    text_of,
)
from dinoseek.gallery.filter_tree import Comparison, Field, Value

_ORDER = ("<", "<=", ">", ">=")
_PATTERNS = ("like", "contains")
OPERATORS = {
    "number": ("=", "!=", *_ORDER, "in", "between"),
    "date": ("=", "!=", *_ORDER, "in", "between"),
    "text": ("=", "!=", "in", *_PATTERNS),
    "metadata": ("=", "!=", *_ORDER, "in", "between", *_PATTERNS),
}
_FIRST, _LAST = -(1 << 63), (1 << 63) - 1  # of the integers that SQLite has


def comparison(field: Field, operator: str, given: Sequence[Token], source: str) -> Comparison:
    """The comparison of a field with what was written; UsageError where it makes no sense."""
    for token in given:
        if token.kind not in ("text", "number") and not token.is_one_of("true", "false"):
            fix = f'put text in quotes: "{token.written}"' if token.kind == "word" else ""
            raise mistake(source, token.start, "a value", fix)
    if field.kind == "date":
        spans = [_span(field, token, source) for token in given]
        return Comparison(field, "within", _within(operator, spans))
    values = tuple(_value(field, operator, token, source) for token in given)
    return Comparison(field, "=" if operator == "in" else operator, values)


def _value(field: Field, operator: str, token: Token, source: str) -> Value:
    match field.kind:
        case "number":
            return _number(field, token, source)
        case "text":
            return _text(f"text in quotes, as {field.name} is text", token, source)
    if operator in _PATTERNS:
        return _text(f"text in quotes after {operator}", token, source)
    if token.kind == "word":
        if operator not in ("=", "in"):
            raise mistake(source, token.start, "a number or text, as true and false have no order")
        return token.is_one_of("true")
    return text_of(token) if token.kind == "text" else number_of(token, source)


def _number(field: Field, token: Token, source: str) -> Value:
    digits = number_in(text_of(token)) if token.kind == "text" else None
    if digits is not None:
        return digits
    if token.kind != "number":
        raise mistake(source, token.start, f"a number, as {field.name} is one")
    return number_of(token, source)


def _text(expected: str, token: Token, source: str) -> str:
    if token.kind != "text":
        raise mistake(source, token.start, expected)
    return text_of(token)


def _span(field: Field, token: Token, source: str) -> Span:
    found = span(text_of(token) if token.kind == "text" else token.written)
    if found is None:
        example = 'such as "2024", "2024-05-31" or "2024-05-31T18:30"'
        raise mistake(source, token.start, f"a date {example}, as {field.name} is one")
    start, end = (min(max(each, _FIRST), _LAST) for each in found)
    return start, end


def _within(operator: str, spans: Sequence[Span]) -> tuple[int, ...]:
    """The stretches of time that compare so with dates, which are stretches themselves."""
    start, end = spans[0][0], spans[-1][1]
    match operator:
        case "<":
            return _FIRST, start
        case "<=":
            return _FIRST, end
        case ">":
            return end, _LAST
        case ">=":
            return start, _LAST
        case "between":
            return start, end
    return tuple(edge for each in spans for edge in each)
