"""The stage that knows which images the gallery has: decides what to decode, commits what was."""

import os.path
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from dinoseek.embedder import Embedder
from dinoseek.errors import GalleryError
from dinoseek.gallery.descriptions import Description
from dinoseek.gallery.ledger import Failure
from dinoseek.gallery.writer import Writer
from dinoseek.ingest.outcomes import Duplicate, Failed, Item, Outcome, Skipped, Stored
from dinoseek.ingest.steps import Broken, Described, Known, Read, Ready, Step, Task
from dinoseek.vit.ops import Array

# what stays of a file if its image was removed from the gallery while it was on its way
_REMOVED = Broken(
    task=Task(item=Item(root="", path=b"")),
    code="path.changed",
    reason="its image was removed meanwhile",
)


class Committer:
    """Remembers, for one run, which images are on their way and which turned out to be broken."""

    def __init__(self, writer: Writer, embedder: Embedder, batch_size: int) -> None:
        self._writer = writer
        self._embedder = embedder
        self._batch_size = batch_size
        self._on_their_way: set[str] = set()
        self._broken: dict[str, Broken] = {}

    def resolve(self, steps: Iterable[Step]) -> Iterator[Step]:
        """Lets images through to be decoded that are neither in the gallery nor on their way."""
        for step in steps:
            if not isinstance(step, Read):
                yield step
            elif step.digest in self._on_their_way or self._writer.known(step.digest):
                yield Known(task=step.task, digest=step.digest, size=step.size)
            else:
                self._on_their_way.add(step.digest)
                yield step

    def commit(self, steps: Sequence[Step]) -> list[Outcome]:
        """Embeds what is ready, commits everything at once, and says what became of each file."""
        vectors = self._embed([step for step in steps if isinstance(step, Ready)])
        with self._writer.batch():
            outcomes = [self._committed(step, vectors) for step in steps]
        self._on_their_way -= {_digest(step) for step in steps}
        return outcomes

    def _embed(self, ready: list[Ready]) -> dict[str, Array]:
        prepared = ((step.record.digest, step.prepared) for step in ready)
        return dict(self._embedder.stream(prepared, self._batch_size))

    def _committed(self, step: Step, vectors: dict[str, Array]) -> Outcome:
        match step:
            case Ready():
                return self._store(step, vectors[step.record.digest])
            case Known():
                return self._link(step)
            case Described(task=task):
                self._describe(task.item)
                return Skipped(task.item, "described")
            case Broken():
                return self._fail(step)
        raise ValueError(f"{step} cannot be committed")

    def _store(self, ready: Ready, vector: Array) -> Outcome:
        try:
            (id,) = self._writer.add([ready.record], np.asarray(vector)[None])
        except GalleryError as exc:  # the model gave NaN, infinity or nothing for this image
            digest = ready.record.digest
            return self._fail(
                Broken(task=ready.task, code=exc.code, reason=exc.reason, digest=digest)
            )
        if ready.kept:
            record = ready.record
            self._writer.link(*ready.kept, record.digest, record.bytes, record.mtime_ns)
        return Stored(ready.task.item, id)

    def _describe(self, item: Item) -> None:
        if said := _said(item):
            self._writer.describe(item.root, item.path, said)

    def _link(self, known: Known) -> Outcome:
        item, state = known.task.item, known.task.state
        if not self._writer.known(known.digest):  # the file before it was broken, so this is too
            return self._fail(replace(self._broken.get(known.digest, _REMOVED), task=known.task))
        files = self._writer.files_of(known.digest)
        self._writer.link(item.root, item.path, known.digest, known.size, item.mtime_ns)
        self._describe(item)
        if state and state.embedded and state.digest == known.digest:
            same = item.url or (state.size, state.mtime_ns) == (item.size, item.mtime_ns)
            return Skipped(item, "unchanged" if same else "touched")
        own = {str(item), item.file} if item.url is None else {item.url}
        other = next((f for f in files if f not in own and _is_there(f)), None)
        return Duplicate(item, other) if other else Skipped(item, "renamed")

    def _fail(self, broken: Broken) -> Failed:
        item = broken.task.item
        if broken.digest:
            self._broken[broken.digest] = broken
        failure = Failure(
            size=item.size,
            mtime_ns=item.mtime_ns,
            code=broken.code,
            reason=broken.reason,
            said=_said(item),
        )
        self._writer.fail(item.root, item.path, failure, replaced=_is_replaced(broken))
        return Failed(item, broken.code, broken.reason)


def _said(item: Item) -> Description | None:
    """What a list says of an item; None if it is from none."""
    if item.row is None:
        return None
    return Description(caption=item.caption, metadata=item.metadata, row=item.row)


def _is_there(file: Path | str) -> bool:
    """Whether a file is where it was; an address or a member of an archive is taken to be."""
    return isinstance(file, str) or os.path.lexists(file)


def _digest(step: Step) -> str | None:
    match step:
        case Ready(record=record):
            return record.digest
        case Broken(digest=digest):
            return digest
    return None


def _is_replaced(broken: Broken) -> bool:
    """Whether the file no longer holds the image that it held."""
    item, state = broken.task.item, broken.task.state
    if state is None or state.digest is None:
        return False
    if item.url:  # what was there once is worth more than the error page that is there now
        return False
    if broken.code.startswith("path."):  # all but one may be over next time
        return broken.code == "path.not_regular"
    if broken.digest is not None:
        return broken.digest != state.digest
    return (item.size, item.mtime_ns) != (state.size, state.mtime_ns)
