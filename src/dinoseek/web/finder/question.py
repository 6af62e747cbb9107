"""A search as its address says it: which pictures, how many hits, which images count."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

from django.http import QueryDict
from django.urls import reverse

from dinoseek.errors import UsageError
from dinoseek.images.region import Region

SIZES = (20, 40, 100)
MOST_HITS = 1_000  # by paging on: a person has seen enough, and each page ranks all before it
MOST_PARTS = 16
_MOST_TEXT = 2_000
_NUMBERS, _EVERYTHING = "numbers", "0%,0%,100%,100%"
FACET_PREFIXES = ("is-", "min-", "max-")


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked. `key` names the first picture: the digits of an id, or a kept query's key.

    `plus` and `minus` are further keys. `min` is "", "auto" or a number as text; `facets` are the
    form's fields of metadata. Numbers out of range are brought into it.
    """

    key: str
    plus: tuple[str, ...] = ()
    minus: tuple[str, ...] = ()
    region: Region | None = None
    k: int = SIZES[0]
    page: int = 1
    where: str = ""
    min: str = ""
    fold: bool = False
    facets: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, key: str, given: QueryDict) -> "Question":
        """The question of an address; UsageError for a region that is none."""
        text = _region_of(given)
        k = _whole(given.get("k"), SIZES[0], 1, SIZES[-1])
        return cls(
            key=key,
            plus=tuple(dict.fromkeys(filter(is_key, given.getlist("plus"))))[:MOST_PARTS],
            minus=tuple(dict.fromkeys(filter(is_key, given.getlist("minus"))))[:MOST_PARTS],
            region=Region.parse(text[:_MOST_TEXT]) if text else None,
            k=k,
            page=_whole(given.get("page"), 1, 1, MOST_HITS // k),
            where=given.get("where", "").strip()[:_MOST_TEXT],
            min=_least(given.get("min", "").strip()),
            fold=given.get("fold", "") in ("1", "on", "true"),
            facets={
                name: value.strip()[:_MOST_TEXT]
                for name, value in given.items()
                if name.startswith(FACET_PREFIXES) and isinstance(value, str) and value.strip()
            },
        )

    @property
    def keys(self) -> tuple[str, ...]:
        """All its pictures' keys, the first first."""
        return (self.key, *self.plus, *self.minus)

    @property
    def path(self) -> str:
        """Its address without parameters."""
        return reverse("results", args=[self.key])

    def parameters(self) -> str:
        """Its parameters, always in the same order, without those that are as usual."""
        return urlencode(list(self._pairs()))

    def address(self, **changes: Any) -> str:
        """Its address, or that of the question with some changes."""
        changed = replace(self, **changes)
        text = changed.parameters()
        return f"{changed.path}?{text}" if text else changed.path

    def with_part(self, sign: str, key: str) -> str:
        """The address of this question refined by one more picture, from its first page."""
        parts = {"plus": self.plus, "minus": self.minus}
        for name in parts:
            parts[name] = tuple(each for each in parts[name] if each != key)
        parts[sign] = (*parts[sign], key)
        return self.address(page=1, **parts)

    def without_part(self, key: str) -> str:
        """The address of this question without a picture, from its first page."""
        plus = tuple(each for each in self.plus if each != key)
        minus = tuple(each for each in self.minus if each != key)
        return self.address(page=1, plus=plus, minus=minus)

    def _pairs(self) -> Iterator[tuple[str, str]]:
        for name, keys in (("plus", self.plus), ("minus", self.minus)):
            for key in keys:
                yield name, key
        if self.region:
            yield "region", str(self.region)
        if self.k != SIZES[0]:
            yield "k", str(self.k)
        yield from ((name, self.facets[name]) for name in sorted(self.facets))
        if self.where:
            yield "where", self.where
        if self.min:
            yield "min", self.min
        if self.fold:
            yield "fold", "1"
        if self.page > 1:
            yield "page", str(self.page)


def is_key(text: object) -> bool:
    """Whether it can name a picture: an id of up to 18 digits, or what `new_key` makes."""
    if not isinstance(text, str) or not text.isascii():
        return False
    if text.isdigit():
        return len(text) <= 18
    return 20 <= len(text) <= 32 and text.replace("-", "").replace("_", "").isalnum()


def is_id(key: str) -> bool:
    """Whether a key is an image of the gallery."""
    return key.isdigit()


def _region_of(given: QueryDict) -> str:
    """The region's text, also where a form has it in four fields; "" for the whole picture."""
    text = given.get("region", "").strip()
    if text == _NUMBERS:
        text = ",".join(f"{given.get(f'region-{side}', '').strip()}%" for side in "xywh")
    return "" if text == _EVERYTHING else text


def _whole(text: str | None, usual: int, least: int, most: int) -> int:
    """The whole number that a text is, brought between two others."""
    try:
        return min(max(int((text or "").strip()[:20]), least), most)
    except ValueError:
        return usual


def _least(text: str) -> str:
    """A least score as an address says it; UsageError for one that is no cosine."""
    if text in ("", "auto"):
        return text
    try:
        score = float(text[:20])
    except ValueError:
        score = float("nan")
    if not -1 <= score <= 1:
        reason = "the least similarity is a number from -1 to 1, or auto"
        raise UsageError("search.min_score", text[:40], reason)
    return f"{score:g}"
