"""Decoding in processes of their own: a picture that hangs, crashes or eats memory harms no other.

Processes, not threads, because only those can be killed; started as programs, not forked, because
this process has threads and because a script that uses the library needs no guard for it.
"""

import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from dinoseek.errors import ImageError, UsageError, printable
from dinoseek.images.child import Child
from dinoseek.images.decoder import NO_MEMORY, Job, Request
from dinoseek.images.limits import DEFAULT_LIMITS, Limits, check_bytes
from dinoseek.images.preprocess import Preset, find_preset
from dinoseek.images.region import Region
from dinoseek.images.thumbnail import SIDE

logger = logging.getLogger(__name__)

T = TypeVar("T")

# -P: a file numpy.py in the current folder must not be taken for NumPy
_PROGRAM = (sys.executable, "-P", "-m", "dinoseek.images.decoder")
_START_SECONDS = 60.0
_LOOK_EVERY = 0.1  # seconds

# The signals of the clocks that a process sets itself, and what the system does to the greedy.
_TIME_IS_UP = {-getattr(signal, name) for name in ("SIGPROF", "SIGALRM") if hasattr(signal, name)}
_KILLED = -getattr(signal, "SIGKILL", 9)


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """A picture ready to be embedded, and what is remembered of it.

    `prepared` is (H, W, 3) as the preset cuts it; `width` and `height` are those of the upright
    original; `look` is its perceptual hash.
    """

    prepared: NDArray[np.uint8]
    width: int
    height: int
    format: str
    look: bytes
    thumbnail: bytes | None


class DecoderPool:
    """Decodes pictures in up to `workers` processes; a context manager that ends them.

    Threads may share it: each waits until a process is free. Processes are started when they are
    first needed. `seconds` is the longest that a picture may take by the clock; see `Job` for the
    other limits, which hold inside the process.
    """

    def __init__(
        self,
        preset: Preset,
        limits: Limits = DEFAULT_LIMITS,
        *,
        thumbnail: bool = False,
        workers: int = 2,
        seconds: float = Job.seconds,
        memory: int = Job.memory,
        cpu_seconds: float = Job.cpu_seconds,
        niceness: int = Job.niceness,
        program: Sequence[str] | None = None,
    ) -> None:
        if find_preset(preset.name) != preset:
            raise ValueError(f"{preset} has no name, so a process cannot be told of it")
        self._job = Job(
            preset=preset.name,
            limits=limits,
            thumbnail=thumbnail,
            memory=memory,
            cpu_seconds=cpu_seconds,
            seconds=seconds,
            niceness=niceness,
        )
        self.workers = workers
        self._program = program or _PROGRAM
        self._free = threading.Semaphore(workers)
        self._lock = threading.Lock()
        self._idle: list[Child] = []
        self._busy: set[Child] = set()
        self._closed = threading.Event()
        self._watch: threading.Thread | None = None

    def __enter__(self) -> "DecoderPool":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the processes. Whoever waits for a picture then gets a ValueError."""
        with self._lock:
            self._closed.set()
            idle, self._idle = self._idle, []
            busy = list(self._busy)
            for child in busy:
                child.kill()
        for child in idle:
            child.close()
        for child in busy:
            child.wait()
        if self._watch is not None:
            self._watch.join()

    def decode(
        self,
        data: bytes,
        subject: object,
        *,
        region: Region | None = None,
        thumbnail_side: int | None = None,
    ) -> Decoded:
        """Decodes the bytes of a picture file, or prepares only a `region` of it.

        With `thumbnail_side` its small JPEG has that many pixels at most on each side.

        Raises ImageError as `dinoseek.images.decode.decode` does, and image.decoder_crashed,
        image.decode_timeout or image.decode_oom for a picture that ended its process; UsageError
        for a region that it does not have. MachineError decoder.unstartable if there can be no
        process: that is no fault of the picture.
        """
        name = printable(subject)
        request = Request(subject=name, region=region, side=thumbnail_side)
        return self._answer(data, request, _decoded)

    def thumbnail(self, data: bytes, subject: object, side: int = SIDE) -> bytes:
        """A JPEG of a picture file, no side longer than `side` pixels; raises as `decode` does."""
        request = Request(subject=printable(subject), side=side, only_small=True)
        return self._answer(data, request, _small)

    def _answer(self, data: bytes, request: Request, understood: Callable[..., T]) -> T:
        """What a process answers, once there is a free one."""
        check_bytes(len(data), request.subject, self._job.limits)
        with self._free:
            self._check_open()
            child = self._taken()
            try:
                answer = understood(*child.ask(data, request))
            except (ImageError, UsageError):
                self._give_back(child)
                raise
            except Exception as exc:  # it has ended, or says what makes no sense
                raise self._lost(child, request.subject) from exc
            except BaseException:  # Ctrl-C in between: what the process says next is not known
                self._drop(child)
                raise
            self._give_back(child)
            return answer

    def _taken(self) -> Child:
        """A process that is ready for a picture, with its clock running."""
        with self._lock:
            child = self._idle.pop() if self._idle else None
        if child is not None and not child.is_alive:  # not for a picture: it had none
            child.close()
            child = None
        if child is None:
            child = self._started()
        self._start_clock(child, self._job.seconds)
        return child

    def _started(self) -> Child:
        child = Child(self._program)
        try:
            self._start_clock(child, _START_SECONDS)
            child.begin(self._job)
        except BaseException:
            self._drop(child)
            self._check_open()
            raise
        return child

    def _start_clock(self, child: Child, seconds: float) -> None:
        with self._lock:
            child.deadline = time.monotonic() + seconds
            self._busy.add(child)
            if self._closed.is_set():
                child.kill()  # nobody else would: it came too late for `close`
            elif self._watch is None:
                name = "dinoseek-decoders"
                self._watch = threading.Thread(target=self._kill_late, name=name, daemon=True)
                self._watch.start()

    def _kill_late(self) -> None:
        """Kills what is over its time, for as long as the pool is open."""
        while not self._closed.wait(_LOOK_EVERY):
            now = time.monotonic()
            with self._lock:
                for child in self._busy:
                    if now > child.deadline:
                        child.is_late = True
                        child.kill()

    def _give_back(self, child: Child) -> None:
        with self._lock:
            self._busy.discard(child)
            is_wanted = not (self._closed.is_set() or child.is_late)
            if is_wanted:
                self._idle.append(child)
        if not is_wanted:
            child.close()

    def _drop(self, child: Child) -> None:
        with self._lock:
            self._busy.discard(child)
        child.close()

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise ValueError("the pool is closed")

    def _lost(self, child: Child, subject: str) -> ImageError:
        """Why a process ended while it had a picture."""
        status = child.status()
        self._drop(child)
        self._check_open()
        if child.is_late or status in _TIME_IS_UP:
            limit = self._job.seconds if child.is_late else self._job.cpu_seconds
            kind = "" if child.is_late else " of computing"
            reason = f"decoding it takes longer than {limit:g} seconds{kind}"
            return ImageError("image.decode_timeout", subject, reason)
        if status in (NO_MEMORY, _KILLED):  # not killed by us: the system was short of memory
            reason = "decoding it takes more memory than there is"
            return ImageError("image.decode_oom", subject, reason)
        logger.info("the decoder of %s ended with status %s", subject, status)
        return ImageError("image.decoder_crashed", subject, "it crashes the decoder")


def _decoded(header: dict[str, Any], parts: list[bytes]) -> Decoded:
    """What an answer says; any error but ImageError and UsageError if it is none."""
    _check(header)
    pixels, look, small = parts
    return Decoded(
        prepared=np.frombuffer(pixels, np.uint8).reshape(header["shape"]),
        width=header["width"],
        height=header["height"],
        format=header["format"],
        look=look,
        thumbnail=small or None,
    )


def _small(header: dict[str, Any], parts: list[bytes]) -> bytes:
    _check(header)
    (small,) = parts
    return small


def _check(header: dict[str, Any]) -> None:
    """Raises the error that an answer says."""
    if "error" in header:
        error = header["error"]
        kind = UsageError if header.get("is_usage") else ImageError
        raise kind(error["code"], error["subject"], error["reason"], fix=error["fix"])
