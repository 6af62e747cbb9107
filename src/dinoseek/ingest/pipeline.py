"""From sources into a gallery: read, decode, embed, commit; what happened comes out as values.

    scan > plan > [read] > resolve > [decode] > embed > commit > outcomes      [in threads, ahead]

All that touches the gallery happens in the caller's thread. An outcome that changed the gallery is
yielded after its commit: whoever has seen it can rely on it.
"""

import os
from collections.abc import Iterable, Iterator
from functools import partial

from dinoseek.embedder import BATCH_SIZE, Embedder
from dinoseek.errors import UsageError
from dinoseek.gallery.ledger import FileState
from dinoseek.gallery.sqlite_gallery import SqliteGallery
from dinoseek.gallery.writer import Writer
from dinoseek.images.ahead import ahead
from dinoseek.ingest.commit import Committer
from dinoseek.ingest.outcomes import Item, Outcome, Removed
from dinoseek.ingest.plan import Options, Plan, is_empty
from dinoseek.ingest.prepare import decode_step, read_step
from dinoseek.ingest.sources import Source, scan
from dinoseek.ingest.steps import Broken, Ready, Settled, Step, Task

_READERS, _READ_AHEAD = 1, 4
_DECODERS = 2
_COMMIT_AT_ONCE = 256  # files, where few of them need the engine


def ingest(
    sources: Source | Iterable[Source],
    gallery: SqliteGallery,
    *,
    verify: bool = False,
    retry_failed: bool = False,
    batch_size: int = BATCH_SIZE,
) -> Iterator[Outcome]:
    """Brings the gallery up to date with its sources, and yields what became of each file.

    New and changed files are embedded and stored, a batch at a time; renamed files and copies are
    linked to the image they are; files that are gone are forgotten at the end. Files of the same
    size and time as before are not read, unless `verify`; files that failed are not tried again
    until they change, unless `retry_failed`. Each file is Stored, Skipped, Duplicate or Failed;
    then come the Removed.

    Interrupted at any point, the gallery is whole and keeps all that was yielded; running again
    does the rest. Raises MachineError if a source is missing or another process writes to the
    gallery.
    """
    if gallery.embedder is None:
        reason = "it was opened without an embedder, so nothing can be added"
        raise UsageError("gallery.no_embedder", gallery.path, reason)
    chosen = [sources] if isinstance(sources, Source) else list(sources)
    for source in chosen:
        source.check()
    options = Options(verify=verify, retry_failed=retry_failed)
    return _run(chosen, gallery, gallery.embedder, options, batch_size)


def _run(
    sources: list[Source],
    gallery: SqliteGallery,
    embedder: Embedder,
    options: Options,
    batch_size: int,
) -> Iterator[Outcome]:
    with gallery.writing() as writer:
        committer = Committer(writer, embedder, batch_size)
        gone: list[tuple[str, FileState]] = []
        for source, root, prefix in _placed(sources, writer):
            found = scan(source, root, prefix, gallery.path)
            states = partial(writer.states, root)
            plan = Plan(found, states, _compared(source, prefix), options)
            yield from _outcomes(plan, committer, embedder, batch_size)
            lost = [state for state in plan.gone if source.whole]
            doubtful = any(state.digest for state in lost) and not options.verify
            if doubtful and is_empty(source.folder):
                yield from committer.commit([_unmounted(root, prefix)])
            else:
                gone += [(root, state) for state in lost]
        yield from _forgotten(gone, writer)
        writer.prune()


def _placed(sources: list[Source], writer: Writer) -> list[tuple[Source, str, bytes]]:
    """Each source with its root and its path inside it; twice, as later ones take over roots."""
    for source in sources:
        writer.place(source.folder, whole=source.whole)
    return [(source, *writer.place(source.folder, whole=source.whole)) for source in sources]


def _compared(source: Source, prefix: bytes) -> bytes:
    """How paths begin that are compared: for a single file, its path but the last byte."""
    return prefix + os.fsencode(source.name)[:-1] if source.name else prefix


def _outcomes(
    plan: Plan, committer: Committer, embedder: Embedder, batch_size: int
) -> Iterator[Outcome]:
    """Everything that happens to the files of one source."""
    read = ahead(partial(read_step, embedder=embedder), plan, workers=_READERS, depth=_READ_AHEAD)
    resolved = committer.resolve(read)
    decode = partial(decode_step, embedder=embedder)
    waiting: list[Step] = []
    for step in ahead(decode, resolved, workers=_DECODERS, depth=2 * batch_size):
        if isinstance(step, Settled):
            yield from step.outcomes
            continue
        waiting.append(step)
        ready = sum(isinstance(each, Ready) for each in waiting)
        if ready == batch_size or len(waiting) == _COMMIT_AT_ONCE:
            yield from committer.commit(waiting)
            waiting = []
    yield from committer.commit(waiting)


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
