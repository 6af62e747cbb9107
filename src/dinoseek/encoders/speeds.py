"""How fast each engine is on this machine: measured once for a set of versions, then remembered."""

import json
import math
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from dinoseek.encoders.engines import ENGINES, installed_version, is_installed, own_version
from dinoseek.vit.blas import thread_count
from dinoseek.weights.remembered import Remembered

_SPEEDS = Remembered(name="engine-speeds.json", kind="machines", most=16)
_SECONDS = 180.0  # in which a trial must end, on a busy machine too
# -P: a file numpy.py in the current folder must not be taken for NumPy
_PROGRAM = (sys.executable, "-P", "-m", "dinoseek.encoders.speed_trial")


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Milliseconds that an engine takes for an image of the trial, or what went wrong."""

    engine: str
    precision: str
    ms: float | None = None
    fault: str = ""


def installed() -> tuple[str, ...]:
    """The engines whose packages are here."""
    return tuple(engine for engine in ENGINES if is_installed(engine))


def speeds(threads: int | None = None, cache_dir: Path | None = None) -> list[Speed]:
    """The speeds of all engines that are here, the fastest first; measures what is not known."""
    found = recalled(threads, cache_dir)
    if found is None:
        found = [speed for engine in installed() for speed in trial(engine, threads)]
        rows = [[each.engine, each.precision, each.ms, each.fault] for each in found]
        _SPEEDS.write(_key(threads), rows, cache_dir)
    return sorted(found, key=lambda each: (each.ms is None, each.ms))


def recalled(threads: int | None = None, cache_dir: Path | None = None) -> list[Speed] | None:
    """What was measured before, on this machine with these versions; None if nothing was."""
    return _checked(_SPEEDS.read(cache_dir).get(_key(threads)))


def forget(threads: int | None = None, cache_dir: Path | None = None) -> None:
    """Has the engines measured anew when their speeds are next asked for."""
    _SPEEDS.write(_key(threads), None, cache_dir)


def trial(
    engine: str, threads: int | None = None, program: Sequence[str] = _PROGRAM
) -> list[Speed]:
    """Times an engine in a process of its own."""
    command = [*program, engine, str(threads or 0)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
        )
        answer = json.loads(done.stdout.strip().rpartition("\n")[2])
        return [_speed(engine, name, said) for name, said in answer.items()]
    except subprocess.TimeoutExpired:
        fault = f"it was not done within {_SECONDS:.0f} seconds"
    except OSError as exc:
        fault = f"it could not be started: {exc}"
    except (ValueError, AttributeError, TypeError):  # no answer, or none that can be understood
        last = done.stderr.strip().rpartition("\n")[2][:300]
        fault = last or f"it ended with status {done.returncode}"
    return [Speed(engine=engine, precision="float32", fault=fault)]


def _speed(engine: str, precision: str, said: float | str) -> Speed:
    if isinstance(said, str):
        return Speed(engine=engine, precision=precision, fault=said)
    return Speed(engine=engine, precision=precision, ms=round(float(said), 3))


def _key(threads: int | None) -> str:
    """What a measurement holds for: the processor, how much of it, and all versions."""
    facts = {
        "processor": _processor(),
        "system": f"{platform.system()} {platform.machine()} {platform.node()}",
        "threads": threads or thread_count(),
        "kernels": os.environ.get("OPENBLAS_CORETYPE", ""),
        "python": platform.python_version(),
        "dinoseek": own_version(),
        "engines": {engine: installed_version(engine) for engine in installed()},
    }
    return json.dumps(facts, sort_keys=True)


@cache
def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:  # another system
        return platform.processor()
    lines = (line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line)
    return next(lines, platform.processor())


def _checked(rows: Any) -> list[Speed] | None:
    """An entry of the file, if it is one."""
    try:
        found = [
            Speed(engine=str(engine), precision=str(precision), ms=ms, fault=str(fault))
            for engine, precision, ms, fault in rows
        ]
    except (TypeError, ValueError):
        return None
    known = {each.engine for each in found} == set(installed())
    return found if known and all(map(_is_sound, found)) else None


def _is_sound(speed: Speed) -> bool:
    is_time = type(speed.ms) is float and math.isfinite(speed.ms) and speed.ms > 0
    can = speed.precision in ENGINES[speed.engine].precisions
    return can and (is_time or (speed.ms is None and speed.fault != ""))
