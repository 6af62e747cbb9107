"""Measures combinations in turns, so that a machine that drifts favours none of them."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from dinoseek.bench.machine import free_memory
from dinoseek.bench.plan import Case, Settings, groups_of, lack_of
from dinoseek.bench.process import Worker
from dinoseek.errors import DinoseekError
from dinoseek.vit.ops import Array


@dataclass(frozen=True, kw_only=True)
class Started:
    """An engine that is ready, as it calls itself, with its class token (d,) of the first image.

    `peak_memory_mb` is what its process took beyond Python, NumPy and dinoseek: None where the
    system does not say.
    """

    case: Case
    engine: str
    precision: str
    device: str
    load_s: float
    peak_memory_mb: float | None
    token: Array


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One round of one combination: the `ms` of each call, and the machine's own rate just then."""

    case: Case
    ms: tuple[float, ...]
    peak_gflops: float
    end_to_end_images_per_s: float | None


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A combination that cannot be measured, or no further."""

    case: Case
    error: DinoseekError


Event: TypeAlias = Started | Turn | LeftOut

_PEAK_SECONDS = 0.15  # of each round, for each number of threads


def measure(cases: Sequence[Case], settings: Settings) -> Iterator[Event]:
    """Measures each combination in a process of its own, in rounds of which each has one turn.

    What goes wrong with one is a value, and the others go on; what an engine lacks comes first.
    """
    able = []
    for case in cases:
        if lack := lack_of(case):
            yield LeftOut(case=case, error=lack)
        else:
            able.append(case)
    for group in groups_of(able, free_memory()):
        yield from _measured(group, settings)


def _measured(group: Sequence[Case], settings: Settings) -> Iterator[Event]:
    with ExitStack() as stack:
        crew: dict[Case, Worker] = {}
        for case in group:
            try:
                worker = stack.enter_context(Worker(_job(case, settings), case.describe()))
            except DinoseekError as exc:
                yield LeftOut(case=case, error=exc)
            else:
                crew[case] = worker
                yield _started(case, worker)
        peaks = {
            threads: stack.enter_context(
                Worker({"kind": "peak", "threads": threads}, "NumPy's matrix product")
            )
            for threads in {case.threads for case in crew}
        }
        for number in range(settings.rounds):
            yield from _round(number, crew, peaks, settings)


def _round(
    number: int, crew: dict[Case, Worker], peaks: dict[int, Worker], settings: Settings
) -> Iterator[Turn | LeftOut]:
    """A turn of each, in another order each time: nobody always comes after the same other."""
    cases = list(crew)
    first = number % max(1, len(cases))
    rates = {n: worker.turn(_PEAK_SECONDS)["gflops"] for n, worker in peaks.items()}
    for case in cases[first:] + cases[:first]:
        try:
            found = crew[case].turn(settings.seconds / settings.rounds, settings.repeats)
        except DinoseekError as exc:
            del crew[case]
            yield LeftOut(case=case, error=exc)
        else:
            yield Turn(
                case=case,
                ms=tuple(found["ms"]),
                peak_gflops=rates[case.threads],
                end_to_end_images_per_s=found.get("end_to_end_images_per_s"),
            )


def _started(case: Case, worker: Worker) -> Started:
    (token,) = worker.parts
    return Started(case=case, token=np.frombuffer(token, np.float32), **worker.started)


def _job(case: Case, settings: Settings) -> dict[str, object]:
    return {
        "kind": "engine",
        "engine": case.engine,
        "precision": case.precision,
        "weights": str(case.model.path),
        "size": case.size,
        "batch": case.batch,
        "threads": case.threads,
        "cache_dir": str(settings.cache_dir or ""),
        "warm_up": settings.warm_up,
        "all_tokens": settings.all_tokens,
        "end_to_end": settings.end_to_end,
        "pictures": [str(path.absolute()) for path in settings.pictures],
    }
