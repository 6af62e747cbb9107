"""From a file or an address to an image ready for the engine: what runs in threads, ahead of it."""

import errno
import hashlib
import logging
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from dinoseek.errors import DinoseekError, ImageError, MachineError
from dinoseek.gallery.base import Record
from dinoseek.images.limits import Limits
from dinoseek.images.pool import DecoderPool
from dinoseek.images.read import read_bytes
from dinoseek.ingest.fetch import Fetcher
from dinoseek.ingest.steps import Broken, Read, Ready, Step, Task

logger = logging.getLogger(__name__)

# Larger files are read twice, so that what waits to be decoded cannot fill the memory.
_KEPT_BYTES = 8_000_000


@dataclass(frozen=True, kw_only=True)
class Keep:
    """The folder in which what was fetched is kept: a root of the gallery, and a path inside it."""

    root: str
    prefix: bytes


def read_step(step: Step, limits: Limits) -> Step:
    """Reads the file of a Task; other steps pass."""
    if not isinstance(step, Task):
        return step
    return isolated(step, None, lambda: _read(step, limits))


def fetch_step(step: Step, limits: Limits, fetcher: Fetcher) -> Step:
    """Fetches the address of a Task, or reads its file; other steps pass. Raises FetchError."""
    url = step.item.url if isinstance(step, Task) else None
    if not isinstance(step, Task) or url is None:
        return read_step(step, limits)
    return isolated(step, None, lambda: _fetched(step, fetcher.fetch(url).data))


def _fetched(task: Task, data: bytes) -> Read:
    return Read(task=task, digest=hashlib.sha256(data).hexdigest(), size=len(data), data=data)


def decode_step(step: Step, limits: Limits, pool: DecoderPool, keep: Keep | None = None) -> Step:
    """Decodes and prepares what was read, and keeps what was fetched; other steps pass."""
    if not isinstance(step, Read):
        return step
    return isolated(step.task, step.digest, lambda: _decode(step, limits, pool, keep))


def isolated(task: Task, digest: str | None, work: Callable[[], Step]) -> Step:
    """Does the work; whatever goes wrong with one file is a value, so that the others go on."""
    try:
        return work()
    except ImageError as exc:
        return Broken(task=task, code=exc.code, reason=exc.reason, digest=digest)
    except DinoseekError:  # not the file's fault: nothing will work
        raise
    except Exception as exc:  # a fault of ours, and no reason to lose a night's work
        logger.exception("%s", task.item)
        reason = f"unexpected {type(exc).__name__}: {exc}"
        return Broken(task=task, code="path.unexpected", reason=reason, digest=digest)


def _read(task: Task, limits: Limits) -> Read:
    data = read_bytes(task.item.file, limits)
    digest = hashlib.sha256(data).hexdigest()
    kept = data if len(data) <= _KEPT_BYTES else None
    return Read(task=task, digest=digest, size=len(data), data=kept)


def _decode(read: Read, limits: Limits, pool: DecoderPool, keep: Keep | None) -> Ready:
    item = read.task.item
    data = read.data if read.data is not None else read_bytes(item.file, limits)
    if read.data is None and hashlib.sha256(data).hexdigest() != read.digest:
        raise ImageError("path.changed", item.file, "it changed while it was read")
    decoded = pool.decode(data, item)
    record = Record(
        path=item.path,
        root=item.root,
        digest=read.digest,
        width=decoded.width,
        height=decoded.height,
        bytes=read.size,
        mtime_ns=item.mtime_ns,
        format=decoded.format,
        caption=item.caption,
        metadata=item.metadata,
        row=item.row,
        look=decoded.look,
        thumbnail=decoded.thumbnail,
    )
    ready = Ready(task=read.task, record=record, prepared=decoded.prepared)
    if keep is None or item.url is None:
        return ready
    path = keep.prefix + _name(read.digest, decoded.format)
    return replace(ready, kept=_keep(keep, path, data))


def _keep(keep: Keep, path: bytes, data: bytes) -> tuple[str, bytes]:
    """Keeps a fetched file; what goes wrong is the disk's fault, not this image's."""
    try:
        _kept(Path(keep.root, os.fsdecode(path)), data)
    except OSError as exc:
        code = "disk.full" if exc.errno in (errno.ENOSPC, errno.EDQUOT) else "keep.unwritable"
        reason = f"images cannot be kept there ({exc.strerror})"
        raise MachineError(code, keep.root, reason, fix="run it again when they can") from exc
    return keep.root, path


def _name(digest: str, format: str) -> bytes:
    """A name that says nothing of the address, with few files in each folder."""
    suffix = {"JPEG": "jpg", "TIFF": "tif"}.get(format, format.lower())
    return f"{digest[:2]}/{digest}.{suffix}".encode()


def _kept(file: Path, data: bytes) -> None:
    """Writes a file whole or not at all, and durably: the record will say that it is there."""
    if file.exists() and file.stat().st_size == len(data):
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".", suffix=".part", dir=file.parent)
    try:
        with os.fdopen(handle, "wb") as temporary:
            temporary.write(data)
            temporary.flush()
            os.fsync(temporary.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
