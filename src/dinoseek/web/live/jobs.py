"""Indexing from the page: one run at a time, in a thread of its own, that can be watched."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeAlias

from dinoseek.embedder import Embedder
from dinoseek.errors import DinoseekError, UsageError
from dinoseek.gallery.factory import open_gallery
from dinoseek.gallery.sqlite_gallery import SqliteGallery
from dinoseek.ingest.archives import from_archive
from dinoseek.ingest.lists import LIST_SUFFIXES, ListSource, Rows, from_table
from dinoseek.ingest.outcomes import Failed, Outcome, Summary
from dinoseek.ingest.pipeline import AnySource, ingest
from dinoseek.ingest.rows import BadRow, Row
from dinoseek.ingest.shards import SHARD_SUFFIXES
from dinoseek.ingest.sources import from_folder
from dinoseek.ingest.web import WebOptions

logger = logging.getLogger(__name__)

State: TypeAlias = Literal["running", "done", "stopped", "failed"]

# Searches go on meanwhile: a small batch does not keep them from the processor for long.
_BATCH_SIZE = 8
_FAILURES = 100


@dataclass(frozen=True, kw_only=True)
class JobState:
    """How a run is getting on, or how it ended.

    `started` and `finished` are seconds since 1970, `total` how many images there are if that is
    known, `failures` the first hundred: what, code, reason. `error` says why it failed.
    """

    source: Path
    state: State = "running"
    started: float = field(default_factory=time.time)
    finished: float | None = None
    total: int | None = None
    summary: Summary = field(default_factory=Summary)
    failures: Sequence[tuple[str, str, str]] = ()
    error: str = ""

    def plus(self, outcome: Outcome) -> "JobState":
        """This state after one outcome more."""
        failures = self.failures
        if isinstance(outcome, Failed) and len(failures) < _FAILURES:
            failures = (*failures, (str(outcome.item), outcome.code, outcome.reason))
        return replace(self, summary=self.summary.plus(outcome), failures=failures)


class Jobs:
    """Indexes into the gallery at `path`.

    `on_change` is called in the thread of a run when that begins and when it has ended. Of what
    lists name only files `below` these folders are read, and addresses as `web` says.
    """

    def __init__(
        self,
        path: Path,
        embedder: Embedder,
        on_change: Callable[[JobState], None] | None = None,
        *,
        below: Sequence[Path] = (),
        web: WebOptions | None = None,
    ) -> None:
        self._path = path
        self._embedder = embedder
        self.on_change = on_change
        self._below = below
        self._web = web
        self._lock = threading.Lock()
        self._state: JobState | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, source: Path) -> JobState:
        """Begins to index a folder, an image file, a list or an archive.

        UsageError index.running if a run goes on already.
        """
        with self._lock:
            if self._thread is not None and self._thread.is_alive():
                reason = "another run goes on"
                raise UsageError("index.running", source, reason, fix="wait for it, or stop it")
            self._stop.clear()
            state = self._state = JobState(source=source)
            self._thread = threading.Thread(
                target=self._run, args=(state,), name="dinoseek-indexing", daemon=True
            )
            self._thread.start()
        return state

    def stop(self) -> None:
        """Ends the run, if there is one, after the batch that it is at."""
        self._stop.set()

    def state(self) -> JobState | None:
        """How the present run is getting on, or how the last one ended; None if there was none."""
        return self._state

    def close(self) -> None:
        """Stops the run and waits until it has ended."""
        self.stop()
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self, state: JobState) -> None:
        self._tell(state)
        try:
            self._index(state.source)
            ended: State = "stopped" if self._stop.is_set() else "done"
            error = ""
        except DinoseekError as exc:
            ended, error = "failed", str(exc)
        except Exception as exc:
            logger.exception("indexing %s", state.source)
            ended, error = "failed", f"unexpected {type(exc).__name__}: {exc}"
        self._show(state=ended, error=error, finished=time.time())
        self._tell(self._state or state)

    def _index(self, path: Path) -> None:
        source = _source(path, self._below)
        with open_gallery(self._path, self._embedder) as gallery:
            self._show(total=source.count(self._path))
            self._fill(source, gallery)
            if not self._stop.is_set():
                gallery.build_index()

    def _fill(self, source: AnySource, gallery: SqliteGallery) -> None:
        outcomes = ingest(source, gallery, batch_size=_BATCH_SIZE, web=self._web)
        try:
            for outcome in outcomes:
                if self._state is not None:
                    self._state = self._state.plus(outcome)
                if self._stop.is_set():
                    return
        finally:
            outcomes.close()  # type: ignore[attr-defined]

    def _show(self, **changes: object) -> None:
        if self._state is not None:
            self._state = replace(self._state, **changes)  # type: ignore[arg-type]

    def _tell(self, state: JobState) -> None:
        if self.on_change is None:
            return
        try:
            self.on_change(state)
        except Exception:
            logger.exception("nobody was told of %s", state.source)


def _source(path: Path, below: Sequence[Path]) -> AnySource:
    """What the path of a folder, image, list or archive means."""
    name = path.name.lower()
    if not path.is_dir() and name.endswith(SHARD_SUFFIXES):
        return from_archive(path)
    if not path.is_dir() and name.endswith(LIST_SUFFIXES):
        listed = from_table(path)
        return ListSource(_RowsBelow(listed.list, listed.folder, below), listed.folder)
    return from_folder(path)


@dataclass(frozen=True)
class _RowsBelow:
    """A list without the files that lie elsewhere: who wrote it may not be who runs the server."""

    list: Rows
    folder: Path
    below: Sequence[Path]

    @property
    def name(self) -> str:
        return self.list.name

    def check(self) -> None:
        """As the list itself."""
        self.list.check()

    def count(self) -> int | None:
        return self.list.count()

    def rows(self) -> Iterable[Row | BadRow]:
        roots = [Path(os.path.realpath(folder)) for folder in self.below]
        for row in self.list.rows():
            path = row.path if isinstance(row, Row) else None
            if path is None or _is_below(self.folder / path, roots):
                yield row
            else:
                reason = "it lies outside the folders that may be indexed from the page"
                yield BadRow(number=row.number, code="path.outside", reason=reason)


def _is_below(file: Path, roots: Sequence[Path]) -> bool:
    try:
        target = Path(os.path.realpath(file))
    except (OSError, ValueError):  # ValueError: a null byte
        return False
    return any(target.is_relative_to(root) for root in roots)
