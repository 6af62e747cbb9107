"""A process that holds one engine with one model, and measures it when its parent says so.

Run as `python -m dinoseek.bench.worker` by `dinoseek.bench.process`. It reads a job, then requests,
and answers each; it ends when its parent does. So an engine's threads, settings, memory and faults
are its own, however many are measured in turns.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeAlias

import numpy as np

from dinoseek.bench.machine import peak_bytes, resident_bytes
from dinoseek.bench.peak import measure_peak
from dinoseek.bench.pictures import photograph
from dinoseek.embedder import BATCH_SIZE, Embedder
from dinoseek.encoders.base import Encoder
from dinoseek.encoders.factory import load_encoder
from dinoseek.errors import DinoseekError, MachineError, printable
from dinoseek.fingerprint import Fingerprint
from dinoseek.images.messages import receive, send
from dinoseek.images.preprocess import find_preset
from dinoseek.recipe import Recipe, features_of
from dinoseek.vit.ops import Array

Answer: TypeAlias = tuple[dict[str, Any], list[bytes]]  # a JSON object, and perhaps an array

_DRAWN, _DRAWN_SIZE = 16, (1600, 1200)  # pictures that are drawn where none are given


class Measured(Protocol):
    """What can be asked."""

    def start(self) -> Answer: ...
    def turn(self, seconds: float, repeats: int | None) -> Answer: ...


class PeakTurns:
    """Measures the machine itself: `turn` gives the `gflops` of float32 matrix products."""

    def __init__(self, _job: dict[str, Any]) -> None:
        pass

    def start(self) -> Answer:
        return {}, []

    def turn(self, seconds: float, _repeats: int | None) -> Answer:
        return {"gflops": measure_peak(seconds)}, []


class EngineTurns:
    """Measures an engine: `turn` gives the `ms` of each call on the same batch of noise."""

    def __init__(self, job: dict[str, Any]) -> None:
        self._job = job
        self._run: Callable[[], Array] = lambda: np.empty(0, np.float32)
        self._embedder: Embedder | None = None
        self._pictures: list[Any] = []

    def start(self) -> Answer:
        """Loads the model and warms it up: says what it took, with the first class token (d,)."""
        before, began = resident_bytes(), time.perf_counter()
        encoder = _load(self._job)
        loaded = time.perf_counter() - began
        self._run = _call(encoder, self._job)
        token = self._run()[0]
        for _ in range(self._job["warm_up"] - 1):
            self._run()
        answer = {
            "engine": encoder.engine,
            "precision": encoder.precision,
            "device": str(getattr(encoder, "device", "cpu")),
            "load_s": loaded,
            "peak_memory_mb": _megabytes(peak_bytes(), before),
        }
        self._prepare_end_to_end(encoder)
        return answer, [np.ascontiguousarray(token, np.float32).tobytes()]

    def turn(self, seconds: float, repeats: int | None) -> Answer:
        self._run()  # does not count: until now the caches and cores were another engine's
        times: list[float] = []
        end = time.perf_counter() + seconds
        while len(times) < repeats if repeats else not times or time.perf_counter() < end:
            start = time.perf_counter()
            self._run()
            times.append((time.perf_counter() - start) * 1e3)
        answer: dict[str, Any] = {"ms": times}
        if self._embedder is not None:
            answer["end_to_end_images_per_s"] = self._end_to_end(self._embedder, seconds)
        return answer, []

    def _prepare_end_to_end(self, encoder: Encoder) -> None:
        if self._job["end_to_end"]:
            self._embedder = _embedder(encoder, self._job["size"][0])
            given = [Path(path) for path in self._job["pictures"]]
            self._pictures = given or [photograph(seed, *_DRAWN_SIZE) for seed in range(_DRAWN)]

    def _end_to_end(self, embedder: Embedder, seconds: float) -> float:
        """Embeds picture files, one after the other, for about so many seconds."""
        start = time.perf_counter()
        vectors = embedder.embed(_until(start + seconds, self._pictures))
        return len(vectors) / (time.perf_counter() - start)


def _megabytes(peak: int | None, before: int | None) -> float | None:
    return None if peak is None or before is None else (peak - before) / 1e6


def _until(end: float, pictures: list[Any]) -> Iterator[Any]:
    """The pictures again and again, a batch of them at least."""
    for count, picture in enumerate(cycle(pictures)):
        if count >= BATCH_SIZE and time.perf_counter() > end:
            return
        yield picture


def _load(job: dict[str, Any]) -> Encoder:
    return load_encoder(
        job["weights"],
        job["engine"],
        precision=job["precision"],
        threads=job["threads"],
        cache_dir=Path(job["cache_dir"]) if job["cache_dir"] else None,
    )


def _call(encoder: Encoder, job: dict[str, Any]) -> Callable[[], Array]:
    height, width = job["size"]
    # the first picture is the same in batches of all lengths, so that its tokens can be compared
    shape = (job["batch"], 3, height, width)
    pixels = np.random.default_rng(0).standard_normal(shape, np.float32)
    if job["all_tokens"]:
        return lambda: encoder(pixels).cls
    return lambda: encoder.class_tokens(pixels)


def _embedder(encoder: Encoder, side: int) -> Embedder:
    preset = find_preset(f"official@{side}")
    fingerprint = Fingerprint(
        model="bench",
        weights="",
        preprocess=preset.name,
        pooling="cls",
        pos_flavour=encoder.config.pos_flavour,
        dim=encoder.config.embed_dim,
    )
    features = features_of(encoder, Recipe())
    return Embedder(features, preset, fingerprint, engine=encoder.engine, encoder=encoder)


KINDS: dict[str, Callable[[dict[str, Any]], Measured]] = {
    "engine": EngineTurns,
    "peak": PeakTurns,
}


def main() -> int:
    """Answers until there is nobody to answer; its exit status."""
    source, target = _own_streams()
    try:
        _serve(source, target)
    except (EOFError, OSError):  # the parent is gone, or has closed the pipe
        return 0
    return 0


def _own_streams() -> tuple[BinaryIO, BinaryIO]:
    """The pipes to the parent; what libraries print goes where complaints go."""
    source, target = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    return source, target


def _serve(source: BinaryIO, target: BinaryIO) -> None:
    job, _ = receive(source)
    _limit_threads(job["threads"])
    measured = KINDS[job["kind"]](job)
    answer, parts = _tried(measured.start)
    send(target, answer, parts)
    while "error" not in answer:
        request, _ = receive(source)
        answer, _ = _tried(partial(measured.turn, request["seconds"], request["repeats"]))
        send(target, answer)


def _limit_threads(threads: int) -> None:
    """For BLAS, which a NumPy product of a single image would give all cores."""
    from threadpoolctl import threadpool_limits  # noqa: PLC0415 - slow to import

    threadpool_limits(threads, "blas")


def _tried(work: Callable[[], Answer]) -> Answer:
    """What the work answers, or the error that it ended with."""
    try:
        return work()
    except DinoseekError as exc:
        error = exc
    except MemoryError:
        error = MachineError("machine.memory", "this machine", "not enough memory")
    except Exception as exc:  # whatever an engine's library raises
        lines = str(exc).strip().splitlines() or [""]
        reason = printable(f"{type(exc).__name__}: {lines[0][:200]}")
        error = MachineError("bench.failed", "the engine", reason)
    return {"error": error.as_dict(), "kind": type(error).__name__}, []


if __name__ == "__main__":
    sys.exit(main())
