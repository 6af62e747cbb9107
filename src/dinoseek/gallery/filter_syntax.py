"""The language of filters: `width > 800 and label in ("cat", "dog")` becomes a tree of conditions.

    condition   = conjunction {"or" conjunction}
    conjunction = negation {"and" negation}
    negation    = "not" negation | "(" condition ")" | "exists" name | comparison
    comparison  = name ("=" | "==" | "!=" | "<>" | "<" | "<=" | ">" | ">=") value
                | name "is" ["not"] "null"
                | name ["not"] ("in" "(" value {"," value} ")" | "between" value "and" value
                                | "like" text | "contains" text)
    name        = ["meta."] (word | "`" any "`" | "[" any "]")
    value       = number | text in single or double quotes | "true" | "false"

A name is a file fact or else one of metadata; "meta." says that it is metadata. Keywords may be
written in any case. `!=` and `not in` hold where there is a value, and none that is equal.
"""

from collections.abc import Callable

from dinoseek.errors import UsageError
from dinoseek.gallery.filter_tokens import Token, mistake, name_of, tokens
from dinoseek.gallery.filter_tree import FACTS, And, Comparison, Condition, Field, Filter, Not, Or
from dinoseek.gallery.filter_values import OPERATORS, comparison

_DEEPEST = 50
_SAME = {"==": "=", "<>": "!="}
_SIGNS = ("=", "==", "!=", "<>", "<", "<=", ">", ">=")
_WORDS = ("in", "between", "like", "contains")
_KEYWORDS = ("and", "or", "not", *_WORDS, "is", "null", "exists", "true", "false")


def parse(text: str) -> Filter:
    """Reads a filter; UsageError `filter.syntax` says where it went wrong and what was expected."""
    return Filter(text, _Parser(text).whole())


class _Parser:
    """Reads one text from left to right; each method reads what it is named for."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._tokens = list(tokens(source))
        self._at = 0
        self._depth = 0

    def whole(self) -> Condition:
        condition = self._condition()
        if self._next.kind != "end":
            raise self._mistake('"and", "or" or the end')
        return condition

    def _condition(self) -> Condition:
        return self._joined("or", self._conjunction, Or)

    def _conjunction(self) -> Condition:
        return self._joined("and", self._negation, And)

    def _joined(
        self, word: str, part: Callable[[], Condition], kind: type[And] | type[Or]
    ) -> Condition:
        parts = [part()]
        while self._take(word):
            parts.append(part())
        return parts[0] if len(parts) == 1 else kind(tuple(parts))

    def _negation(self) -> Condition:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._mistake(f"at most {_DEEPEST} conditions inside each other")
        condition = self._negated()
        self._depth -= 1
        return condition

    def _negated(self) -> Condition:
        if self._take("not"):
            return Not(self._negation())
        if self._take("exists"):
            return Comparison(self._field(), "exists")
        if self._take("("):
            condition = self._condition()
            self._require(")", '"and", "or" or a closing )')
            return condition
        return self._comparison()

    def _comparison(self) -> Condition:
        field = self._field()
        if self._take("is"):
            negative = self._take("not") is None
            self._require("null", "null")
            return _unless(negative, Comparison(field, "exists"))
        negative = self._take("not") is not None
        operator = self._operator(field, negative)
        if operator == "!=":
            operator, negative = "=", True
        found = comparison(field, operator, self._operands(operator), self._source)
        if negative and not field.is_always_there:
            return And((Comparison(field, "exists"), Not(found)))
        return _unless(negative, found)

    def _field(self) -> Field:
        token = self._next
        is_keyword = token.is_one_of(*_KEYWORDS)
        if token.kind not in ("word", "quoted") or is_keyword:
            raise self._mistake("the name of a field")
        self._at += 1
        name, forced = name_of(token)
        return Field(name, "metadata" if forced else FACTS.get(name, "metadata"))

    def _operator(self, field: Field, negative: bool) -> str:
        token = self._next
        operator = _SAME.get(token.written, token.written.lower())
        allowed = [each for each in OPERATORS[field.kind] if not negative or each in _WORDS]
        if not token.is_one_of(*_SIGNS, *_WORDS) or operator not in allowed:
            after = f"{field.name} not" if negative else field.name
            also = "" if negative else " or is null"
            raise self._mistake(f"{', '.join(allowed)}{also} after {after}")
        self._at += 1
        return operator

    def _operands(self, operator: str) -> list[Token]:
        if operator == "in":
            return self._list()
        first = self._any()
        if operator != "between":
            return [first]
        self._require("and", '"and" and a second value')
        return [first, self._any()]

    def _list(self) -> list[Token]:
        self._require("(", "a list of values in parentheses")
        found = [self._any()]
        while self._take(","):
            found.append(self._any())
        self._require(")", "a comma or a closing )")
        return found

    def _any(self) -> Token:
        """The next word, whatever it is: `comparison` judges what is given as a value."""
        token = self._next
        if token.kind in ("end", "sign"):
            raise self._mistake("a value")
        self._at += 1
        return token

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _take(self, *words: str) -> Token | None:
        """The next word if it is one of these, which then is read."""
        token = self._next
        if not token.is_one_of(*words):
            return None
        self._at += 1
        return token

    def _require(self, word: str, expected: str) -> None:
        if self._take(word) is None:
            raise self._mistake(expected)

    def _mistake(self, expected: str) -> UsageError:
        return mistake(self._source, self._next.start, expected)


def _unless(negative: bool, condition: Condition) -> Condition:
    return Not(condition) if negative else condition
