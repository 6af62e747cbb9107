"""From sources into a gallery: read, decode, embed, commit; what happened comes out as values.

    scan > plan > [read] > resolve > [decode] > embed > commit > outcomes      [in threads, ahead]

A list goes the same way, but what it names is fetched side by side and overtakes what is slow. All
that touches the gallery happens in the caller's thread. An outcome that changed the gallery is
yielded after its commit: whoever has seen it can rely on it.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from dinoseek.embedder import BATCH_SIZE, Embedder
from dinoseek.errors import UsageError
from dinoseek.gallery.ledger import FileState
from dinoseek.gallery.sqlite_gallery import SqliteGallery
from dinoseek.gallery.writer import Writer
from dinoseek.images.ahead import ahead
from dinoseek.images.pool import DecoderPool
from dinoseek.ingest.archives import ArchiveSource, archive_steps
from dinoseek.ingest.commit import Committer
from dinoseek.ingest.lists import FailedBefore, ListSource, failed_steps, list_steps
from dinoseek.ingest.outcomes import Item, Outcome, Removed
from dinoseek.ingest.plan import Options, Plan, is_empty
from dinoseek.ingest.prepare import Keep, decode_step, read_step
from dinoseek.ingest.sources import Source, scan
from dinoseek.ingest.steps import Broken, Ready, Settled, Step, Task
from dinoseek.ingest.web import WebOptions, fetched
from dinoseek.vit.blas import core_count

AnySource: TypeAlias = Source | ListSource | ArchiveSource | FailedBefore

_READERS, _READ_AHEAD = 1, 4
# Half of the cores, as on a quick engine a large photograph takes as long to decode as to encode.
_FEWEST_DECODERS, _MOST_DECODERS = 2, 8
_COMMIT_AT_ONCE = 256  # files, where few of them need the engine


@dataclass(frozen=True, kw_only=True)
class _Run:
    """What one run works with."""

    gallery: SqliteGallery
    writer: Writer
    embedder: Embedder
    pool: DecoderPool
    committer: Committer
    options: Options
    web: WebOptions
    batch_size: int


def ingest(
    sources: AnySource | Iterable[AnySource],
    gallery: SqliteGallery,
    *,
    verify: bool = False,
    retry_failed: bool = False,
    refresh: bool = False,
    web: WebOptions | None = None,
    batch_size: int = BATCH_SIZE,
) -> Iterator[Outcome]:
    """Brings the gallery up to date with its sources, and yields what became of each image.

    New and changed files are embedded and stored, a batch at a time; renamed files and copies are
    linked to the image they are; of folders, files that are gone are forgotten at the end. Files of
    the same size and time as before are not read, unless `verify`; addresses that were fetched are
    not fetched again, unless `refresh`; what failed for good is not tried again until it changes,
    unless `retry_failed`. `web` says how addresses are fetched. Each image is Stored, Skipped,
    Duplicate or Failed; then come the Removed.

    Interrupted at any point, the gallery is whole and keeps all that was yielded; running again
    does the rest. Raises MachineError if a source is missing or another process writes to the
    gallery, and UsageError where a list breaks off.
    """
    if gallery.embedder is None:
        reason = "it was opened without an embedder, so nothing can be added"
        raise UsageError("gallery.no_embedder", gallery.path, reason)
    chosen = [sources] if isinstance(sources, AnySource) else list(sources)
    for source in chosen:
        source.check()
    options = Options(verify=verify, retry_failed=retry_failed, refresh=refresh)
    return _outcomes(chosen, gallery, gallery.embedder, options, web or WebOptions(), batch_size)


def _outcomes(
    sources: list[AnySource],
    gallery: SqliteGallery,
    embedder: Embedder,
    options: Options,
    web: WebOptions,
    batch_size: int,
) -> Iterator[Outcome]:
    folders = [source for source in sources if isinstance(source, Source)]
    # what does not lie in a file of its own must be shown without one
    pool = DecoderPool(
        embedder.preset,
        embedder.limits,
        thumbnail=len(folders) < len(sources),
        workers=_decoders(core_count()),
    )
    with gallery.writing() as writer, pool:
        run = _Run(
            gallery=gallery,
            writer=writer,
            embedder=embedder,
            pool=pool,
            committer=Committer(writer, embedder, batch_size),
            options=options,
            web=web,
            batch_size=batch_size,
        )
        gone: list[tuple[str, FileState]] = []
        for source, root, prefix in _placed(folders, writer):
            yield from _of_folder(run, source, root, prefix, gone)
        for other in sources:
            if not isinstance(other, Source):
                yield from _worked(run, _steps(run, other))
        yield from _forgotten(gone, writer)
        writer.prune()
        writer.settle()


def _of_folder(
    run: _Run, source: Source, root: str, prefix: bytes, gone: list[tuple[str, FileState]]
) -> Iterator[Outcome]:
    """Everything that happens to the files of a folder; those that are gone are added to `gone`."""
    found = scan(source, root, prefix, run.gallery.path)
    states = partial(run.writer.states, root)
    plan = Plan(found, states, _compared(source, prefix), run.options)
    read = partial(read_step, limits=run.embedder.limits)
    yield from _worked(run, ahead(read, plan, workers=_READERS, depth=_READ_AHEAD))
    lost = [state for state in plan.gone if source.whole]
    doubtful = any(state.digest for state in lost) and not run.options.verify
    if doubtful and is_empty(source.folder):
        yield from run.committer.commit([_unmounted(root, prefix)])
    else:
        gone += [(root, state) for state in lost]


def _steps(run: _Run, source: ListSource | ArchiveSource | FailedBefore) -> Iterator[Step]:
    """What a list or an archive has, read or fetched."""
    match source:
        case ArchiveSource():
            return archive_steps(source, run.writer, run.embedder.limits, run.options)
        case ListSource():
            steps = list_steps(source, run.writer, run.options)
        case FailedBefore():
            steps = failed_steps(run.writer)
    return fetched(steps, run.embedder.limits, run.web)


def _placed(sources: list[Source], writer: Writer) -> list[tuple[Source, str, bytes]]:
    """Each source with its root and its path inside it; twice, as later ones take over roots."""
    for source in sources:
        writer.place(source.folder, whole=source.whole)
    return [(source, *writer.place(source.folder, whole=source.whole)) for source in sources]


def _compared(source: Source, prefix: bytes) -> bytes:
    """How paths begin that are compared: for a single file, its path but the last byte."""
    return prefix + os.fsencode(source.name)[:-1] if source.name else prefix


def _worked(run: _Run, steps: Iterable[Step]) -> Iterator[Outcome]:
    """Everything that happens to what was read."""
    resolved = run.committer.resolve(steps)
    decode = partial(
        decode_step, limits=run.embedder.limits, pool=run.pool, keep=_keep(run.web, run.writer)
    )
    decoded = ahead(decode, resolved, workers=run.pool.workers, depth=2 * run.batch_size)
    waiting: list[Step] = []
    try:
        for step in decoded:
            if isinstance(step, Settled):
                yield from step.outcomes
                continue
            waiting.append(step)
            ready = sum(isinstance(each, Ready) for each in waiting)
            if ready == run.batch_size or len(waiting) == _COMMIT_AT_ONCE:
                yield from run.committer.commit(waiting)
                waiting = []
    except UsageError:  # a list breaks off: what came before counts
        yield from run.committer.commit(waiting)
        raise
    yield from run.committer.commit(waiting)


def _decoders(cores: int) -> int:
    return min(max(cores // 2, _FEWEST_DECODERS), _MOST_DECODERS)


def _keep(web: WebOptions, writer: Writer) -> Keep | None:
    """Where what is fetched is kept, if it is."""
    if web.keep is None:
        return None
    root, prefix = writer.place(web.keep, whole=False)
    return Keep(root=root, prefix=prefix)


def _unmounted(root: str, prefix: bytes) -> Broken:
    """A folder that had images and is empty: a disk that is away, rather than all deleted."""
    task = Task(item=Item(root=root, path=prefix + b"./"))
    reason = (
        "the folder is empty but had images: is its disk there? nothing was forgotten; "
        "--verify-files forgets them"
    )
    return Broken(task=task, code="path.empty", reason=reason)


def _forgotten(gone: list[tuple[str, FileState]], writer: Writer) -> Iterator[Removed]:
    for start in range(0, len(gone), _COMMIT_AT_ONCE):
        chunk = gone[start : start + _COMMIT_AT_ONCE]
        with writer.batch():
            for root, state in chunk:
                writer.forget(root, state.path)
        for root, state in chunk:
            if state.digest:  # else it was only known as a failure
                item = Item(root=root, path=state.path, size=state.size, mtime_ns=state.mtime_ns)
                yield Removed(item)
