"""From turns to numbers, and to the JSON document that a run is."""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from dinoseek.bench.flops import Size
from dinoseek.bench.machine import machine, versions
from dinoseek.bench.plan import Case, Settings
from dinoseek.bench.rounds import Event, LeftOut, Started, Turn
from dinoseek.errors import DataError, MachineError
from dinoseek.vit.ops import Array

FORMAT = 1
MAX_BYTES = 16_000_000


@dataclass(frozen=True, kw_only=True)
class Result:
    """What one combination does; the fields are the keys of `--json` (docs/bench.md).

    `images_per_s` is the median over `rounds`, the rate of each; `ms` is of one call, that is of a
    batch. `peak_share` is of the machine's float32 rate. `cosine` is that of the first image's
    class token with the one of NumPy in float32. What was not measured is None.
    """

    engine: str
    precision: str
    model: str
    is_random: bool
    size: Size
    batch: int
    threads: int
    tokens: str
    device: str
    images_per_s: float
    rounds: list[float]
    ms: dict[str, float]
    calls: int
    gflop_per_image: float
    gflops: float
    peak_share: float | None
    peak_memory_mb: float | None
    load_s: float
    cosine: float | None
    end_to_end_images_per_s: float | None


@dataclass
class Collector:
    """Takes events as they come; then `results` has a Result for each combination with turns."""

    settings: Settings
    left_out: list[LeftOut] = field(default_factory=list)
    _started: dict[Case, Started] = field(default_factory=dict)
    _turns: dict[Case, list[Turn]] = field(default_factory=dict)

    def add(self, event: Event) -> None:
        match event:
            case Started():
                self._started[event.case] = event
            case Turn():
                self._turns.setdefault(event.case, []).append(event)
            case LeftOut():
                self.left_out.append(event)

    def results(self) -> list[Result]:
        return [
            _result(started, turns, self._reference(started.case), self.settings)
            for case, started in self._started.items()
            if (turns := self._turns.get(case))
        ]

    def peaks(self) -> dict[int, float]:
        """The machine's float32 rate in GFLOP/s by number of threads: the median over rounds."""
        found: dict[int, list[float]] = {}
        for turn in (turn for turns in self._turns.values() for turn in turns):
            found.setdefault(turn.case.threads, []).append(turn.peak_gflops)
        return {threads: float(np.median(rates)) for threads, rates in sorted(found.items())}

    def _reference(self, case: Case) -> Array | None:
        """The class token of the NumPy engine for the same model and size, if it was run."""
        for other, started in self._started.items():
            same = (other.model, other.size) == (case.model, case.size)
            if same and (started.engine, started.precision) == ("numpy", "float32"):
                return started.token
        return None


def _result(
    started: Started, turns: Sequence[Turn], reference: Array | None, settings: Settings
) -> Result:
    case, times = started.case, np.concatenate([turn.ms for turn in turns])
    rates = [case.batch * 1e3 * len(turn.ms) / sum(turn.ms) for turn in turns]
    gflop = case.flops / 1e9
    shares = [rate * gflop / turn.peak_gflops for rate, turn in zip(rates, turns, strict=True)]
    whole = [t.end_to_end_images_per_s for t in turns if t.end_to_end_images_per_s is not None]
    return Result(
        engine=started.engine,
        precision=started.precision,
        model=case.model.name,
        is_random=case.model.is_random,
        size=case.size,
        batch=case.batch,
        threads=case.threads,
        tokens="all" if settings.all_tokens else "class",
        device=started.device,
        images_per_s=float(np.median(rates)),
        rounds=rates,
        ms=_milliseconds(times, settings.percentiles),
        calls=len(times),
        gflop_per_image=gflop,
        gflops=float(np.median(rates)) * gflop,
        peak_share=float(np.median(shares)) if started.device == "cpu" else None,
        peak_memory_mb=started.peak_memory_mb,
        load_s=started.load_s,
        cosine=None if reference is None else _cosine(started.token, reference),
        end_to_end_images_per_s=float(np.median(whole)) if whole else None,
    )


def _milliseconds(times: Array, percentiles: Iterable[float]) -> dict[str, float]:
    found = {"avg": times.mean(), "min": times.min(), "max": times.max()}
    found |= {f"p{p:g}": np.percentile(times, p) for p in percentiles}
    return {name: float(value) for name, value in found.items()}


def _cosine(one: Array, other: Array) -> float:
    # float64: the norms of float32 tokens round to more than the 1e-7 that is looked at
    a, b = one.astype(np.float64), other.astype(np.float64)
    return float(a @ b / math.sqrt((a @ a) * (b @ b)))


def document(collected: Collector) -> dict[str, Any]:
    """The whole run, as `--json` writes it."""
    settings = asdict(collected.settings)
    del settings["cache_dir"]  # whoever reads it need not know where things lie here
    return {
        "dinoseek": "bench",
        "format": FORMAT,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": versions(),
        "settings": {**settings, "pictures": len(collected.settings.pictures)},
        "peak_gflops": {str(threads): rate for threads, rate in collected.peaks().items()},
        "results": [asdict(result) for result in collected.results()],
        "left_out": [
            {**_names(each.case), "code": each.error.code, "reason": str(each.error)}
            for each in collected.left_out
        ],
    }


def _names(case: Case) -> dict[str, Any]:
    return {
        "engine": case.engine,
        "precision": case.precision,
        "model": case.model.name,
        "size": case.size,
        "batch": case.batch,
        "threads": case.threads,
    }


def read_document(path: Path) -> dict[str, Any]:
    """A run that `--json` wrote. Raises MachineError path.unreadable, DataError bench.format."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError("bench.format", path, f"it has over {MAX_BYTES:,} bytes")
        content = json.loads(path.read_bytes())
    except OSError as exc:
        raise MachineError("path.unreadable", path, exc.strerror or str(exc)) from exc
    except (ValueError, RecursionError) as exc:
        raise _no_run(path, "it is no JSON") from exc
    try:
        if content["dinoseek"] != "bench" or content["format"] != FORMAT:
            raise _no_run(path, f"it is no run of format {FORMAT}")
        content["results"] = [
            asdict(Result(**{**each, "size": _size(each["size"])})) for each in content["results"]
        ]
        _check(content)
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise _no_run(path, "it is no run of dinoseek bench") from exc
    found: dict[str, Any] = content
    return found


def _size(sides: Any) -> Size:
    height, width = map(int, sides)
    return height, width


def _check(content: dict[str, Any]) -> None:
    """ValueError, or another, if something is not what it is shown as."""
    for each in content["results"]:
        numbers = [*each["rounds"], *each["ms"].values(), each["images_per_s"], each["gflops"]]
        if not each["rounds"] or not all(isinstance(n, int | float) for n in numbers):
            raise ValueError("no numbers")
    texts = [content["date"], content["machine"]["processor"], *content["versions"].values()]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("no texts")
    if not all(isinstance(rate, int | float) for rate in content["peak_gflops"].values()):
        raise ValueError("no rates")


def _no_run(path: Path, reason: str) -> DataError:
    return DataError("bench.format", path, reason, fix="write one with dinoseek bench --json")
