"""What the pages show, as plain values: the templates read these and nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias

Sign: TypeAlias = Literal["plus", "minus"]


@dataclass(frozen=True, kw_only=True)
class Tile:
    """An image of the gallery in a grid; without a query it has no rank and score.

    `score` is the cosine. `thumb`, `item`, `similar`, `plus` and `minus` are addresses on this
    site: its thumbnail, its page, the search for what is like it, and the present search refined
    by it. `link` is its address on the web, http or https. `width` and `height` are the original's.
    """

    id: int
    name: str
    place: str
    caption: str | None
    width: int
    height: int
    thumb: str
    item: str
    similar: str
    link: str | None = None
    rank: int | None = None
    score: float | None = None
    percentile: str | None = None
    copies: int = 0
    is_weak: bool = False
    plus: str | None = None
    minus: str | None = None


@dataclass(frozen=True, kw_only=True)
class Part:
    """A picture of the query. `image` is its address, None once it has expired.

    `item` is the page of an image of the gallery; `remove` the search without this part, None for
    the first, which cannot be taken away.
    """

    label: str
    sign: Sign
    image: str | None
    item: str | None
    remove: str | None


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One of several values to choose from."""

    value: str
    label: str
    is_chosen: bool = False
    count: int | None = None


@dataclass(frozen=True, kw_only=True)
class Facet:
    """A column of metadata to filter by: by one of few values, or by a range of numbers.

    `field` is the form field's name; for a range there are `least` and `most` with what was said.
    """

    name: str
    field: str
    values: Sequence[Choice] = ()
    is_range: bool = False
    least_field: str = ""
    most_field: str = ""
    least: str = ""
    most: str = ""
    least_hint: str = ""
    most_hint: str = ""


@dataclass(frozen=True, kw_only=True)
class Search:
    """A search and one page of what it found.

    `address` is the page's own path without parameters (the form's action); `hidden` are fields
    that the form carries along (plus, minus). `region` is "x%,y%,w%,h%" or "". `cut` is what was
    said of the least score: "" none, "auto", or a number; `cut_score` its value. `all_matches` is
    the same search without cut-off. `milliseconds` is how long it took.
    """

    address: str
    hidden: Sequence[tuple[str, str]]
    parts: Sequence[Part]
    tiles: Sequence[Tile]
    page: int
    before: int
    next: str | None
    previous: str | None
    sizes: Sequence[Choice]
    where: str
    where_error: str | None
    where_notes: Sequence[str]
    columns: Sequence[str]
    facets: Sequence[Facet]
    region: str
    can_crop: bool
    cut: str
    cut_score: float | None
    all_matches: str | None
    fold: bool
    milliseconds: int
    error: str | None = None

    @property
    def shown(self) -> int:
        """How many hits there are up to the end of this page."""
        return self.before + len(self.tiles)


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One line about an image: what it is, and its value as text."""

    name: str
    value: str


@dataclass(frozen=True, kw_only=True)
class Item:
    """An image of the gallery on its own page: `large` is a picture of up to 1280 pixels.

    `original` is the file itself, where the server gives it out. `copies` are places of further
    files with the same bytes. `problem` says why there is no picture.
    """

    tile: Tile
    large: str
    original: str | None
    facts: Sequence[Fact]
    copies: Sequence[str]
    neighbours: Sequence[Tile]
    previous: str | None
    next: str | None


@dataclass(frozen=True, kw_only=True)
class Browse:
    """A page of the gallery, in order or at random (`again` is then the address of other ones)."""

    tiles: Sequence[Tile]
    total: int
    page: int
    pages: int
    next: str | None
    previous: str | None
    again: str | None = None


@dataclass(frozen=True, kw_only=True)
class Visit:
    """A search in the history: `address` opens it again, `number` names it to forget it."""

    number: int
    address: str
    label: str
    detail: str
    when: datetime
    image: str | None


@dataclass(frozen=True, kw_only=True)
class Twin:
    """One file of a group of duplicates. `why` says why it is kept or can go, `alike` how alike.

    `choice` is what a person said of it: "keep", "discard" or nothing yet.
    """

    key: str
    id: int
    name: str
    place: str
    thumb: str
    item: str
    facts: str
    keep: bool
    why: str
    alike: str
    choice: Literal["", "keep", "discard"] = ""


@dataclass(frozen=True, kw_only=True)
class Duplicates:
    """One group of duplicates to decide on; no `twins` if there is none at this level.

    To decide, a form posts `level`, `group` (the position), `choice` and `key`: keep or discard and
    a file's, or keep-all and that of the `group`. While it `is_computing` there are none.
    `is_decided` says that every file of the group has a choice; `hidden` files more are shown once
    those before are decided. `error` is why the last choice was not kept.
    """

    level: str
    levels: Sequence[Choice]
    twins: Sequence[Twin]
    group: str
    position: int
    total: int
    next: str | None
    previous: str | None
    can_undo: bool
    can_decide: bool
    discarded: int
    command: str
    is_computing: bool = False
    is_decided: bool = False
    hidden: int = 0
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class Job:
    """An indexing run: `state` is running, done, stopped, failed or interrupted."""

    number: int
    source: str
    state: str
    started: datetime
    finished: datetime | None
    total: int | None
    done: int
    stored: int
    skipped: int
    duplicates: int
    failed: int
    failures: Sequence[tuple[str, str, str]] = ()
    error: str = ""
    percent: int | None = None


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """What is searched, for the head and foot of each page."""

    name: str
    images: int
    model: str
    index_command: str


@dataclass(frozen=True, kw_only=True)
class May:
    """What this person may do here."""

    search_by_url: bool = False
    index: bool = False
    decide: bool = False
    register: bool = False
    log_in: bool = False
    log_out: bool = False


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something that went wrong, for a person: what, why, what to do; `command` is one to copy."""

    status: int
    title: str
    reason: str
    fix: str = ""
    code: str = ""
    request_id: str = ""
    retry_after: int | None = None
    links: Sequence[tuple[str, str]] = field(default=())
    command: str = ""


@dataclass(frozen=True, kw_only=True)
class Operation:
    """What a program can ask: `example` is a command that asks it."""

    method: str
    path: str
    summary: str = ""
    description: str = ""
    parameters: Sequence[Fact] = ()
    example: str = ""
