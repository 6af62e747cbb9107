"""Which files must be read: what a source has, compared with what the gallery knows."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TypeAlias

from dinoseek.gallery.ledger import Failure, FileState
from dinoseek.ingest.answers import is_transient
from dinoseek.ingest.outcomes import Failed, Item, Outcome, Skipped
from dinoseek.ingest.sources import Link, Unreadable
from dinoseek.ingest.steps import Broken, Settled, Task

Found: TypeAlias = Item | Link | Unreadable
# (after, upto) -> what is known of the paths between them, sorted
States: TypeAlias = Callable[[bytes, bytes | None], Iterator[FileState]]

_AT_ONCE = 256
# Not worth remembering: quick to find again, and a limit or a permission may have changed.
_TRIED_AGAIN = (
    *("path.", "image.too_", "image.format_not_allowed", "image.decode_oom"),
    *("url.port", "url.blocked_address"),
)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What is read although nothing seems to have changed.

    `verify`: every file; `retry_failed`: those that failed; `refresh`: every address.
    """

    verify: bool = False
    retry_failed: bool = False
    refresh: bool = False


@dataclass
class Plan:
    """Goes through a source once: iterate it, then `gone` has the known files not there."""

    found: Iterable[Found]
    states: States
    prefix: bytes
    options: Options
    gone: list[FileState] = field(default_factory=list)
    _unknown: list[bytes] = field(default_factory=list)  # how paths begin that could not be seen

    def __iter__(self) -> Iterator[Settled | Task | Broken]:
        after = self.prefix
        for chunk in _chunks(self.found):
            yield from self._chunk(chunk, after, chunk[-1].path)
            after = chunk[-1].path
        self._compare(set(), after, None)

    def _chunk(
        self, chunk: list[Found], after: bytes, upto: bytes
    ) -> Iterator[Settled | Task | Broken]:
        self._unknown += [entry.below for entry in chunk if isinstance(entry, Unreadable)]
        present = {entry.path for entry in chunk if isinstance(entry, Item)}
        known = self._compare(present, after, upto)
        settled: list[Outcome] = []
        for entry in chunk:
            step = self._step(entry, known)
            if isinstance(step, Skipped | Failed):
                settled.append(step)
            else:
                yield step
        if settled:
            yield Settled(outcomes=settled)

    def _compare(
        self, present: set[bytes], after: bytes, upto: bytes | None
    ) -> dict[bytes, FileState]:
        """What is known of the files that are present; the others that were to be seen are gone."""
        known = {}
        for state in self.states(after, upto):
            if not state.path.startswith(self.prefix):
                break  # sorted: what follows belongs to other folders
            if state.path in present:
                known[state.path] = state
            elif not state.path.startswith(tuple(self._unknown)):
                self.gone.append(state)
        return known

    def _step(
        self, entry: Found, known: dict[bytes, FileState]
    ) -> Skipped | Failed | Task | Broken:
        match entry:
            case Link(item=item):
                return Skipped(item, "link")
            case Unreadable(item=item, code=code, reason=reason):
                return Broken(task=Task(item=item), code=code, reason=reason)
            case Item(path=path):
                return of_file(entry, known.get(path), self.options)


def of_file(item: Item, state: FileState | None, options: Options) -> Skipped | Failed | Task:
    """What to do with a file, by what is known of it."""
    if state is None or options.verify:
        return Task(item=item, state=state)
    now = (item.size, item.mtime_ns)
    if state.embedded and (state.size, state.mtime_ns) == now:
        return Skipped(item, "unchanged")
    failure = state.failure
    if failure and (failure.size, failure.mtime_ns) == now:
        return _once_failed(item, state, failure, options)
    return Task(item=item, state=state)


def of_address(item: Item, state: FileState | None, options: Options) -> Skipped | Failed | Task:
    """What to do with an address, by what is known of it: it is fetched once, unless it failed."""
    if state is None or options.refresh:
        return Task(item=item, state=state)
    if state.embedded:
        return Skipped(item, "unchanged")
    if state.failure:
        return _once_failed(item, state, state.failure, options)
    return Task(item=item, state=state)


def _once_failed(item: Item, state: FileState, failure: Failure, options: Options) -> Failed | Task:
    if options.retry_failed or not is_lasting(failure.code):
        return Task(item=item, state=state)
    return Failed(item, failure.code, failure.reason, known=True)


def is_lasting(code: str) -> bool:
    """Whether what failed with this code fails again as long as it does not change."""
    return not (code.startswith(_TRIED_AGAIN) or is_transient(code))


def _chunks(found: Iterable[Found]) -> Iterator[list[Found]]:
    iterator = iter(found)
    while chunk := list(islice(iterator, _AT_ONCE)):
        yield chunk


def is_empty(folder: Path) -> bool:
    """Whether there is nothing at all in a folder, as in one where no disk is mounted."""
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is None
    except OSError:
        return True
