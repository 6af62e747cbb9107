"""What lists name, on its way here: files in their order, addresses side by side in none."""

from collections import deque
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

_MOST_HELD = 64  # files that were read and wait for one before them


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
    """Reads the files and fetches the addresses of Tasks; other steps pass.

    What is fetched comes as it arrives, all else in the order of `steps`, unless many wait for one.
    """
    fetcher, order = Fetcher(web.fetch), _Order()
    fetch = partial(fetch_step, limits=limits, fetcher=fetcher)
    counts = {"workers": web.workers, "per_host": web.per_host}
    done = fetch_all(order.of(steps), fetch, _host, **counts, stop=fetcher.close)
    try:
        for step, result in done:
            if _host(step):
                yield _broken(step, result) if isinstance(result, FetchError) else result
            else:
                yield from order.ready(step, result)
    finally:
        done.close()


class _Order:
    """The order in which steps that need no network were begun, and what waits to come in it."""

    def __init__(self) -> None:
        self._begun: deque[Step] = deque()
        self._held: dict[int, Step] = {}  # by the step's identity, which `_begun` keeps alive
        self._overtaken: dict[int, Step] = {}

    def of(self, steps: Iterator[Step]) -> Iterator[Step]:
        """The same steps, noted as they are begun."""
        for step in steps:
            if not _host(step):
                self._begun.append(step)
            yield step

    def ready(self, step: Step, result: Step | FetchError) -> Iterator[Step]:
        """What can come now that a step is done."""
        found = _broken(step, result) if isinstance(result, FetchError) else result
        if self._overtaken.pop(id(step), None) is not None:
            yield found
            return
        self._held[id(step)] = found
        while self._begun:
            first = self._begun[0]
            if id(first) in self._held:
                yield self._held.pop(id(self._begun.popleft()))
            elif len(self._held) > _MOST_HELD:
                self._overtaken[id(first)] = self._begun.popleft()
            else:
                return


def _host(step: Step) -> str:
    """The host that a step asks; "" for those that ask none."""
    url = step.item.url if isinstance(step, Task) else None
    return urlsplit(url).netloc if url else ""


def _broken(step: Step, error: FetchError) -> Broken:
    if not isinstance(step, Task):
        raise TypeError(f"{step} cannot fail to be fetched")
    reason = f"{error.reason}; {error.fix}" if error.fix else error.reason
    return Broken(task=step, code=error.code, reason=reason)
