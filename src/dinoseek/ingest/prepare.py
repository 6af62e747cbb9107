"""From a file to an image ready for the engine: what runs in threads, ahead of it."""

import hashlib
import logging
from collections.abc import Callable

from dinoseek.embedder import Embedder
from dinoseek.errors import DinoseekError, ImageError
from dinoseek.gallery.base import Record
from dinoseek.images.decode import decode
from dinoseek.images.read import read_bytes
from dinoseek.ingest.steps import Broken, Read, Ready, Step, Task

logger = logging.getLogger(__name__)

# Larger files are read twice, so that what waits to be decoded cannot fill the memory.
_KEPT_BYTES = 8_000_000


def read_step(step: Step, embedder: Embedder) -> Step:
    """Reads the file of a Task; other steps pass."""
    if not isinstance(step, Task):
        return step
    return _isolated(step, None, lambda: _read(step, embedder))


def decode_step(step: Step, embedder: Embedder) -> Step:
    """Decodes and prepares what was read; other steps pass."""
    if not isinstance(step, Read):
        return step
    return _isolated(step.task, step.digest, lambda: _decode(step, embedder))


def _isolated(task: Task, digest: str | None, work: Callable[[], Step]) -> Step:
    """Does the work; whatever goes wrong with one file is a value, so that the others go on."""
    try:
        return work()
    except DinoseekError as exc:
        return Broken(task=task, code=exc.code, reason=exc.reason, digest=digest)
    except Exception as exc:  # a fault of ours, and no reason to lose a night's work
        logger.exception("%s", task.item)
        reason = f"unexpected {type(exc).__name__}: {exc}"
        return Broken(task=task, code="path.unexpected", reason=reason, digest=digest)


def _read(task: Task, embedder: Embedder) -> Read:
    data = read_bytes(task.item.file, embedder.limits)
    digest = hashlib.sha256(data).hexdigest()
    kept = data if len(data) <= _KEPT_BYTES else None
    return Read(task=task, digest=digest, size=len(data), data=kept)


def _decode(read: Read, embedder: Embedder) -> Ready:
    item = read.task.item
    data = read.data if read.data is not None else read_bytes(item.file, embedder.limits)
    if read.data is None and hashlib.sha256(data).hexdigest() != read.digest:
        raise ImageError("path.changed", item.file, "it changed while it was read")
    image = decode(
        data, subject=item.file, limits=embedder.limits, faithful=embedder.preset.faithful
    )
    record = Record(
        path=item.path,
        root=item.root,
        digest=read.digest,
        width=image.width,
        height=image.height,
        bytes=read.size,
        mtime_ns=item.mtime_ns,
        format=image.format or "",
    )
    return Ready(task=read.task, record=record, prepared=embedder.prepare(image))
