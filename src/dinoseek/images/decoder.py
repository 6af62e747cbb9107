"""A process that decodes pictures for its parent, and may be killed at any moment.

Run as `python -m dinoseek.images.decoder` by `dinoseek.images.pool`. It reads a job, then pictures,
and answers each; it ends when its parent does.
"""

import os
import signal
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from typing import Any, BinaryIO, TypeAlias

import numpy as np

from dinoseek.errors import ImageError, UsageError
from dinoseek.images.decode import decode, decode_sized
from dinoseek.images.limits import Limits
from dinoseek.images.messages import receive, send
from dinoseek.images.perceptual_hash import look
from dinoseek.images.preprocess import Preset, find_preset
from dinoseek.images.region import Region
from dinoseek.images.thumbnail import SIDE, thumbnail_jpeg

Answer: TypeAlias = tuple[dict[str, Any], list[bytes | memoryview]]

NO_MEMORY = 12  # its exit status where there is not even the memory to say so

# How much longer a process waits than its parent, which by then must be gone.
_ORPHAN_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a decoder is to do with each picture, and with how much of the machine.

    `memory` is in bytes, beyond what the process has before the first picture. `cpu_seconds` is
    what one picture may take of the processor, `seconds` what it may take by the clock, on a busy
    machine far more. `niceness` is how much less of a busy machine the process gets than others,
    as the system counts it. Where the system has no such limits (memory: all but Linux) they do
    not hold.
    """

    preset: str
    limits: Limits
    thumbnail: bool = False
    memory: int = 3 * 2**29
    cpu_seconds: float = 10.0
    seconds: float = 60.0
    niceness: int = 0

    def header(self) -> dict[str, Any]:
        """The job as a message."""
        return asdict(self)

    @classmethod
    def of(cls, header: dict[str, Any]) -> "Job":
        """The job that a message says."""
        limits = Limits(**{**header["limits"], "formats": tuple(header["limits"]["formats"])})
        values = {field.name: header[field.name] for field in fields(cls)}
        return cls(**{**values, "limits": limits})


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is wanted of one picture, called `subject`.

    Its `region` or all of it, prepared, with a small JPEG if `side` says of how many pixels; or
    `only_small` that.
    """

    subject: str
    region: Region | None = None
    side: int | None = None
    only_small: bool = False

    def header(self) -> dict[str, Any]:
        """The request as a message."""
        return asdict(self)

    @classmethod
    def of(cls, header: dict[str, Any]) -> "Request":
        """The request that a message says."""
        region = header["region"]
        return cls(**{**header, "region": Region(**region) if region else None})


def main() -> int:
    """Answers pictures until there are no more; its exit status."""
    source, target = _own_streams()
    _set_signals()
    try:
        _serve(source, target)
    except (EOFError, OSError):  # the parent is gone, or has closed the pipe
        return 0
    except MemoryError:
        return NO_MEMORY
    return 0


def _own_streams() -> tuple[BinaryIO, BinaryIO]:
    """The pipes to the parent, where no library that prints something can reach them."""
    source = os.fdopen(os.dup(0), "rb")
    target = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    return source, target


def _set_signals() -> None:
    """Leaves Ctrl-C to the parent, and has the clocks of `_limit_time` end the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in ("SIGPROF", "SIGALRM"):  # a process inherits what its parent ignores
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)


def _serve(source: BinaryIO, target: BinaryIO) -> None:
    header, _ = receive(source)
    job = Job.of(header)
    preset = find_preset(job.preset)
    _limit_memory(job.memory)
    if job.niceness and hasattr(os, "nice"):
        os.nice(job.niceness)
    send(target, {"ready": True})
    while True:
        header, (data,) = receive(source)
        _limit_time(job.cpu_seconds, job.seconds + _ORPHAN_SECONDS)
        answer, parts = _answer(data, Request.of(header), job, preset)
        _limit_time(0, 0)
        send(target, answer, parts)


def _answer(data: bytes, request: Request, job: Job, preset: Preset) -> Answer:
    try:
        if request.only_small:
            return _small(data, request, job)
        return _decoded(data, request, job, preset)
    except (ImageError, UsageError) as exc:
        return {"error": exc.as_dict(), "is_usage": isinstance(exc, UsageError)}, []
    except MemoryError:
        reason = "decoding it takes more memory than is allowed"
        return {"error": ImageError("image.decode_oom", request.subject, reason).as_dict()}, []


def _decoded(data: bytes, request: Request, job: Job, preset: Preset) -> Answer:
    """The picture, or its region, as the preset cuts it; and a small JPEG of all of it."""
    subject, region = request.subject, request.region
    image, (width, height) = decode_sized(
        data,
        subject=subject,
        limits=job.limits,
        faithful=preset.faithful,
        least_side=None if region else preset.least_side,  # a region is of the full size
    )
    part = region.of(image, subject) if region else image
    prepared = np.ascontiguousarray(preset.apply(part, subject))
    side = request.side or (SIDE if job.thumbnail else 0)
    small = thumbnail_jpeg(image, side) if side else b""
    header = {
        "shape": prepared.shape,
        "width": width,
        "height": height,
        "format": image.format or "",
    }
    return header, [prepared.reshape(-1).data, look(image), small]


def _small(data: bytes, request: Request, job: Job) -> Answer:
    """Only a small JPEG, of a picture that is not read larger than that needs."""
    side = request.side or SIDE
    image = decode(data, subject=request.subject, limits=job.limits, least_side=side)
    return {}, [thumbnail_jpeg(image, side)]


def _limit_memory(more: int) -> None:
    """Keeps the process from taking `more` bytes than it has now, and from leaving a core dump."""
    with suppress(ImportError, OSError, ValueError, IndexError):
        import resource  # noqa: PLC0415 - not on Windows

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        pages = int(open("/proc/self/statm").read().split()[0])  # noqa: SIM115, PTH123
        limit = pages * resource.getpagesize() + more
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _limit_time(cpu_seconds: float, seconds: float) -> None:
    """Has the system end the process after so much computing, or so much time; 0: not any more."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
        signal.setitimer(signal.ITIMER_REAL, seconds)


if __name__ == "__main__":
    sys.exit(main())
