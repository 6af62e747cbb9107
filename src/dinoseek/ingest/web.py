"""Addresses on their way through the network: fetched side by side, in no order."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from dinoseek.errors import FetchError
from dinoseek.images.limits import Limits
from dinoseek.ingest.fetch import Fetcher, FetchOptions
from dinoseek.ingest.hosts import fetch_all
from dinoseek.ingest.prepare import fetch_step
from dinoseek.ingest.steps import Broken, Step, Task


@dataclass(frozen=True, kw_only=True)
class WebOptions:
    """How addresses are fetched: how many at once, at most how many of one host, and how each.

    In `keep`, if it is set, the fetched files are kept.
    """

    fetch: FetchOptions = field(default_factory=FetchOptions)
    workers: int = 20
    per_host: int = 4
    keep: Path | None = None

    def __post_init__(self) -> None:
        if self.workers < 1 or self.per_host < 1:
            raise ValueError("workers and per_host must be at least 1")


def fetched(steps: Iterator[Step], limits: Limits, web: WebOptions) -> Iterator[Step]:
    """Reads the files and fetches the addresses of Tasks; other steps pass. In no order."""
    fetcher = Fetcher(web.fetch)
    fetch = partial(fetch_step, limits=limits, fetcher=fetcher)
    counts = {"workers": web.workers, "per_host": web.per_host}
    done = fetch_all(steps, fetch, _host, **counts, stop=fetcher.close)
    try:
        for step, result in done:
            yield _broken(step, result) if isinstance(result, FetchError) else result
    finally:
        done.close()


def _host(step: Step) -> str:
    """The host that a step asks; "" for those that ask none."""
    url = step.item.url if isinstance(step, Task) else None
    return urlsplit(url).netloc if url else ""


def _broken(step: Step, error: FetchError) -> Broken:
    if not isinstance(step, Task):
        raise TypeError(f"{step} cannot fail to be fetched")
    reason = f"{error.reason}; {error.fix}" if error.fix else error.reason
    return Broken(task=step, code=error.code, reason=reason)
