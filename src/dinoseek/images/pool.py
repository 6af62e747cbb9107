"""Decoding in processes of their own: a picture that hangs, crashes or eats memory harms no other.

Processes, not threads, because only those can be killed; started as programs, not forked, because
this process has threads and because a script that uses the library needs no guard for it.
"""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from dinoseek.errors import ImageError, MachineError, printable
from dinoseek.images.decoder import Job
from dinoseek.images.limits import DEFAULT_LIMITS, Limits
from dinoseek.images.messages import receive, send
from dinoseek.images.preprocess import Preset

logger = logging.getLogger(__name__)

# -P: a file numpy.py in the current folder must not be taken for NumPy
_PROGRAM = (sys.executable, "-P", "-m", "dinoseek.images.decoder")
_ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
_LOOK_EVERY = 0.1  # seconds


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

    Threads may share it: each waits until a process is free. `seconds` is the longest that a
    picture may take by the clock; see `Job` for the other limits, which hold inside the process.
    """

    def __init__(
        self,
        preset: Preset,
        limits: Limits = DEFAULT_LIMITS,
        *,
        thumbnail: bool = False,
        workers: int = 2,
        seconds: float = 60.0,
        memory: int = Job.memory,
        cpu_seconds: float = Job.cpu_seconds,
        program: Sequence[str] = _PROGRAM,
    ) -> None:
        self._job = Job(
            preset=preset.name,
            limits=limits,
            thumbnail=thumbnail,
            memory=memory,
            cpu_seconds=cpu_seconds,
        )
        self._program = program
        self._seconds = seconds
        self._free = threading.Semaphore(workers)
        self._lock = threading.Lock()
        self._idle: list[_Child] = []
        self._busy: set[_Child] = set()
        self._closed = threading.Event()
        self._watch: threading.Thread | None = None

    def __enter__(self) -> "DecoderPool":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the processes; a picture that is being decoded is lost."""
        self._closed.set()
        with self._lock:
            children, self._idle = [*self._idle, *self._busy], []
        for child in children:
            child.kill()
        if self._watch is not None:
            self._watch.join()

    def decode(self, data: bytes, subject: object) -> Decoded:
        """Decodes the bytes of a picture file.

        Raises ImageError as `dinoseek.images.decode.decode` does, and image.decoder_crashed,
        image.decode_timeout or image.decode_oom for a picture that ended its process. MachineError
        decoder.unstartable if there can be no process.
        """
        name = printable(subject)
        with self._free:
            child = self._take()
            try:
                header, parts = child.ask(data, name)
            except (EOFError, OSError, ValueError) as exc:
                raise self._lost(child, name) from exc
            except BaseException:  # Ctrl-C in between: what the process says next is not known
                self._drop(child)
                raise
            self._give_back(child)
        return _decoded(header, parts)

    def _take(self) -> "_Child":
        if self._closed.is_set():
            raise ValueError("the pool is closed")
        with self._lock:
            child = self._idle.pop() if self._idle else None
        child = child or _Child(self._program, self._job)
        child.deadline = time.monotonic() + self._seconds
        with self._lock:
            self._busy.add(child)
            if self._watch is None:
                name = "dinoseek-decoders"
                self._watch = threading.Thread(target=self._kill_late, name=name, daemon=True)
                self._watch.start()
        return child

    def _give_back(self, child: "_Child") -> None:
        with self._lock:
            self._busy.discard(child)
            if not self._closed.is_set():
                self._idle.append(child)

    def _drop(self, child: "_Child") -> int:
        """Ends a process, and returns what ended it."""
        with self._lock:
            self._busy.discard(child)
        return child.kill()

    def _kill_late(self) -> None:
        """Kills what is over its time, for as long as the pool is open."""
        while not self._closed.wait(_LOOK_EVERY):
            now = time.monotonic()
            with self._lock:
                late = [child for child in self._busy if now > child.deadline]
            for child in late:
                child.is_late = True
                child.kill()

    def _lost(self, child: "_Child", subject: str) -> ImageError:
        """Why a process ended while it had a picture."""
        status = self._drop(child)
        if child.is_late or -status == getattr(signal, "SIGPROF", 0):
            limit = self._seconds if child.is_late else self._job.cpu_seconds
            reason = f"decoding it takes longer than {limit:g} seconds"
            return ImageError("image.decode_timeout", subject, reason)
        if -status == getattr(signal, "SIGKILL", 9):  # not by us: the system was short of memory
            reason = "decoding it took more memory than the system has"
            return ImageError("image.decode_oom", subject, reason)
        logger.info("the decoder of %s ended with status %d", subject, status)
        return ImageError("image.decoder_crashed", subject, "it crashes the decoder")


class _Child:
    """One process, and what it is doing."""

    def __init__(self, program: Sequence[str], job: Job) -> None:
        self.deadline = float("inf")
        self.is_late = False
        try:
            self._process = subprocess.Popen(
                program,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=_environment(),
                start_new_session=True,  # Ctrl-C is for the parent, which then decides
            )
        except OSError as exc:
            raise _unstartable(program, exc.strerror or str(exc)) from exc
        self._to = cast(BinaryIO, self._process.stdin)
        self._from = cast(BinaryIO, self._process.stdout)
        try:
            send(self._to, job.header())
            receive(self._from)
        except (EOFError, OSError, ValueError) as exc:
            raise _unstartable(program, f"it ended with status {self.kill()}") from exc
        except BaseException:
            self.kill()
            raise

    def ask(self, data: bytes, subject: str) -> tuple[dict[str, Any], list[bytes]]:
        """What it answers to a picture; EOFError or OSError if it ends instead."""
        send(self._to, {"subject": subject}, [data])
        return receive(self._from)

    def kill(self) -> int:
        """Ends it, if it has not ended, and returns its status."""
        with suppress(subprocess.TimeoutExpired):  # if it is about to end, for its own reason
            self._process.wait(0.05 if self.deadline < float("inf") and not self.is_late else 0)
        self._process.kill()
        status = self._process.wait()
        for pipe in (self._to, self._from):
            with suppress(OSError, ValueError):
                pipe.close()
        return status


def _environment() -> dict[str, str]:
    """This process's environment, for a process that computes with one thread."""
    package = str(Path(__file__).parents[2])  # where this very dinoseek is
    path = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    return {**os.environ, **dict.fromkeys(_ONE_THREAD, "1"), "PYTHONPATH": path}


def _unstartable(program: Sequence[str], reason: str) -> MachineError:
    subject = "the decoder process"
    fix = f"try it by hand: {' '.join(program)} < {os.devnull}"
    return MachineError("decoder.unstartable", subject, f"it cannot be started ({reason})", fix=fix)


def _decoded(header: dict[str, Any], parts: list[bytes]) -> Decoded:
    if "error" in header:
        error = header["error"]
        raise ImageError(error["code"], error["subject"], error["reason"], fix=error["fix"])
    pixels, look, small = parts
    return Decoded(
        prepared=np.frombuffer(pixels, np.uint8).reshape(header["shape"]),
        width=header["width"],
        height=header["height"],
        format=header["format"],
        look=look,
        thumbnail=small or None,
    )
