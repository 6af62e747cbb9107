"""The words of a filter: names, text in quotes, numbers and signs, and where each stands."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from dinoseek.errors import UsageError, printable

LONGEST = 10_000  # characters
_AROUND = 40  # characters shown on either side of a mistake

_TOKEN = re.compile(
    r"""\s*(?:
    (?P<text> "(?:[^"]|"")*" | '(?:[^']|'')*' )
  | (?P<number> [-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?[^\W0-9_]* )
  | (?P<quoted> (?:meta\.)?(?:`[^`]+`|\[[^]]+\]) )
  | (?P<word> [^\W0-9][\w.-]* )
  | (?P<sign> <=|>=|==|!=|<>|[=<>(),] )
  | (?P<end> $ )
    )""",
    re.VERBOSE,
)
_DIGITS = re.compile(r"[-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?")
_CANONICAL = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
_UNITS = {
    "": 1,
    "b": 1,
    **{f"{letter}b": 1000**power for power, letter in enumerate("kmgt", 1)},
    **{f"{letter}ib": 1024**power for power, letter in enumerate("kmgt", 1)},
}


@dataclass(frozen=True, kw_only=True)
class Token:
    """A word of a filter: its kind, how it is written, and the place of its first character."""

    kind: str  # text, number, quoted, word, sign or end
    written: str
    start: int

    def is_one_of(self, *words: str) -> bool:
        """Whether it is one of these signs or keywords, in any case."""
        return self.kind in ("sign", "word") and self.written.lower() in words


def tokens(source: str) -> Iterator[Token]:
    """The words of a filter, the last of kind "end"; UsageError for what is none."""
    _check_characters(source)
    end = 0
    while True:
        found = _TOKEN.match(source, end)
        if found is None:
            raise _unreadable(source, end)
        kind = found.lastgroup or ""
        yield Token(kind=kind, written=found[kind], start=found.start(kind))
        if kind == "end":
            return
        end = found.end()


def _check_characters(source: str) -> None:
    if len(source) > LONGEST:
        reason = f"it has {len(source)} characters, at most {LONGEST} are read"
        raise UsageError("filter.too_long", "filter", reason)
    try:
        source.encode()
    except UnicodeEncodeError as exc:
        raise mistake(source, exc.start, "text in Unicode") from exc
    if "\0" in source:  # SQLite would see the end of the text there
        raise mistake(source, source.index("\0"), "text without NUL characters")


def _unreadable(source: str, end: int) -> UsageError:
    start = len(source) - len(source[end:].lstrip())
    closing = {"[": "]"}.get(source[start], source[start])
    if source[start] in "\"'`[":
        return mistake(source, start, f"a closing {closing} after this {source[start]}")
    return mistake(source, start, "a name, a value or a sign")


def mistake(source: str, start: int, expected: str, fix: str = "") -> UsageError:
    """What is wrong with a filter: what was expected at a place in it, which HERE--> shows."""
    before = source[max(0, start - _AROUND) : start]
    after = source[start : start + _AROUND]
    left = "..." if start > _AROUND else ""
    right = "..." if start + _AROUND < len(source) else ""
    place = "the end" if start == len(source) else f"character {start + 1}"
    reason = f"expected {expected} at {place}: {left}{before}HERE-->{after}{right}"
    return UsageError("filter.syntax", "filter", printable(reason), fix=fix)


def name_of(token: Token) -> tuple[str, bool]:
    """The name that a token is, and whether it can only be one of metadata."""
    forced = token.written.startswith("meta.") and len(token.written) > len("meta.")
    name = token.written.removeprefix("meta.") if forced else token.written
    return (name[1:-1] if token.kind == "quoted" else name), forced


def text_of(token: Token) -> str:
    """The text between a token's quotes; a quote is written twice inside them."""
    quote = token.written[0]
    return token.written[1:-1].replace(2 * quote, quote)


def number_of(token: Token, source: str) -> int | float:
    """The number that a token is, with its unit of bytes; UsageError for another unit."""
    found = _DIGITS.match(token.written)
    digits = found[0] if found else ""
    unit = token.written[len(digits) :].lower()
    if unit not in _UNITS:
        raise mistake(source, token.start, "a number, with kb, mb, gb, kib, mib, gib or no unit")
    return _number(digits, _UNITS[unit])


def number_in(text: str) -> int | float | None:
    """The number that text says, if it is written as lists of images write numbers."""
    return _number(text) if _CANONICAL.fullmatch(text) else None


def _number(digits: str, unit: int = 1) -> int | float:
    """An integer where it is one that SQLite has, else a float."""
    whole = re.fullmatch(r"[-+]?[0-9]{1,20}", digits)
    exact = int(digits) * unit if whole else float(digits) * unit
    return exact if abs(exact) < 1 << 63 else float(exact)
