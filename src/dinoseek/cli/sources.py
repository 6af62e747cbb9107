"""What a user may name to be indexed, and the flags that say how lists are read and fetched."""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dinoseek.cli.options import setting
from dinoseek.errors import UsageError

if TYPE_CHECKING:
    from dinoseek.ingest.pipeline import AnySource
    from dinoseek.ingest.rows import Columns

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True)
class ListChoice:
    """How lists are to be read; None where the user said nothing."""

    url_column: str | None = None
    path_column: str | None = None
    caption_column: str | None = None
    no_header: bool = False
    delimiter: str | None = None
    encoding: str | None = None
    encoding_errors: Any = "strict"

    def columns(self) -> "Columns":
        """Which columns are what."""
        from dinoseek.ingest.rows import Columns

        return Columns(
            url=self.url_column,
            path=self.path_column,
            caption=self.caption_column,
            header=not self.no_header,
        )


_LIST_OPTIONS = (
    click.option("--url-column", metavar="NAME", help="Column with addresses: name, or 0, 1, ..."),
    click.option("--path-column", metavar="NAME", help="Column with paths."),
    click.option("--caption-column", metavar="NAME", help="Column with captions."),
    click.option("--no-header", is_flag=True, help="The first row is an image, not names."),
    click.option("--delimiter", metavar="CHAR", help="Between cells.  [default: , or tab in .tsv]"),
    click.option("--encoding", metavar="NAME", help="Of the text.  [default: UTF-8]"),
    click.option(
        "--encoding-errors",
        type=click.Choice(["strict", "skip", "replace"]),
        default="strict",
        show_default=True,
        help="What to do about bytes that are no text.",
    ),
)

_WEB_OPTIONS = (
    setting("--workers", type=click.IntRange(1, 256), help="Addresses at once.  [default: 20]"),
    setting("--per-host", type=click.IntRange(1, 256), help="Of one host at once.  [default: 4]"),
    setting(
        "--timeout",
        type=click.FloatRange(0.1, 3600),
        help="Seconds for one address in all.  [default: 20]",
    ),
    click.option(
        "--keep-images",
        type=click.Path(path_type=Path, file_okay=False),
        help="Keep what is fetched in this folder.",
    ),
    click.option("--refresh", is_flag=True, help="Fetch again what was fetched before."),
    click.option(
        "--ignore-optout",
        is_flag=True,
        help="Take images whose server says X-Robots-Tag: noai.",
    ),
    click.option("--robots-txt", is_flag=True, help="Fetch only what robots.txt allows."),
    click.option(
        "--port",
        "ports",
        type=click.IntRange(1, 65535),
        multiple=True,
        help="Allow this port besides 80 and 443.",
    ),
)


def list_options(command: F) -> F:
    """Adds the flags that say how lists are read; the command gets them as `lists`."""

    @wraps(command)
    def with_lists(**values: Any) -> Any:
        lists = ListChoice(**{name: values.pop(name) for name in ListChoice.__annotations__})
        return command(lists=lists, **values)

    return _with(with_lists, _LIST_OPTIONS)


def web_options(command: F) -> F:
    """Adds the flags that say how addresses are fetched; the command gets them as `web`."""
    names = (
        "workers",
        "per_host",
        "timeout",
        "keep_images",
        "ignore_optout",
        "robots_txt",
        "ports",
    )

    @wraps(command)
    def with_web(**values: Any) -> Any:
        given = {name: values.pop(name) for name in names}
        return command(web=_web(**given), **values)

    return _with(with_web, _WEB_OPTIONS)


def _with(command: Callable[..., Any], options: Sequence[Callable[[F], F]]) -> Any:
    for option in reversed(options):
        command = option(command)
    return command


def _web(
    *,
    workers: int | None,
    per_host: int | None,
    timeout: float | None,
    keep_images: Path | None,
    ignore_optout: bool,
    robots_txt: bool,
    ports: tuple[int, ...],
) -> Callable[[float | None], Any]:
    """Makes the options when they are needed: importing what they are made of takes its time."""

    def make(max_megabytes: float | None) -> Any:
        from dinoseek.ingest.fetch import FetchOptions
        from dinoseek.ingest.web import WebOptions

        usual = FetchOptions()
        fetch = FetchOptions(
            total=timeout or usual.total,
            max_bytes=round(max_megabytes * 1e6) if max_megabytes else usual.max_bytes,
            ports=(*usual.ports, *ports),
            allow_private=allows_private_hosts(),
            honour_optout=not ignore_optout,
            honour_robots_txt=robots_txt,
        )
        return WebOptions(
            fetch=fetch, workers=workers or 20, per_host=per_host or 4, keep=keep_images
        )

    return make


def sources_of(words: Sequence[str], lists: ListChoice, *, retry: bool) -> "list[AnySource]":
    """What the words name: folders, images, lists, archives, addresses, - for stdin."""
    from dinoseek.ingest.lists import FailedBefore, from_addresses

    if not words:
        if retry:
            return [FailedBefore()]
        fix = "name a folder, a list or an archive; see dinoseek index --help"
        raise UsageError("index.source", "dinoseek index", "there is nothing to index", fix=fix)
    addresses = [word for word in words if is_address(word)]
    found = [_source(word, lists) for word in words if not is_address(word)]
    return [*found, *([from_addresses(addresses)] if addresses else [])]


def allows_private_hosts() -> bool:
    """Whether addresses inside a network may be fetched, for closed networks and for tests."""
    return os.environ.get("DINOSEEK_ALLOW_PRIVATE_HOSTS") == "1"


def is_address(word: str) -> bool:
    """Whether a word is an address rather than a path."""
    return word.lower().startswith(("http://", "https://"))


def _source(word: str, lists: ListChoice) -> "AnySource":
    from dinoseek.ingest.archives import from_archive
    from dinoseek.ingest.lists import LIST_SUFFIXES, from_stream, from_table
    from dinoseek.ingest.shards import SHARD_SUFFIXES
    from dinoseek.ingest.sources import from_folder

    if word == "-":
        if sys.stdin is None or sys.stdin.isatty():
            fix = "pipe a list in: find photos -name '*.jpg' | dinoseek index - --gallery x.dino"
            raise UsageError("index.stdin", "-", "there is no list on stdin", fix=fix)
        return from_stream(sys.stdin.buffer, columns=lists.columns())
    name = word.lower()
    if Path(word).is_dir():
        return from_folder(word)
    if name.endswith(SHARD_SUFFIXES):
        return from_archive(word)
    if name.endswith(LIST_SUFFIXES):
        return from_table(
            word,
            columns=lists.columns(),
            delimiter=lists.delimiter,
            encoding=lists.encoding,
            encoding_errors=lists.encoding_errors,
        )
    return from_folder(word)
