"""Which engine and precision a model gets when nobody names them: the fastest that is right."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Literal

from dinoseek.encoders import parity
from dinoseek.encoders.base import Encoder
from dinoseek.encoders.engines import (
    ENGINES,
    NUMPY,
    able_to,
    build,
    check_ability,
    fault_of,
    how_to_install,
    is_installed,
    not_installed,
    usual_precisions,
)
from dinoseek.encoders.precision import AUTO, FLOAT32
from dinoseek.encoders.speeds import Speed, installed, recalled, speeds
from dinoseek.errors import UsageError
from dinoseek.vit.config import ViTConfig
from dinoseek.vit.ops import Params
from dinoseek.weights.digest import params_digest

logger = logging.getLogger(__name__)

Work = Literal["few", "many"]


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What was asked for: an engine and a precision, or "auto", and for how many images.

    For a few pictures NumPy is done before another engine has started.
    """

    engine: str = AUTO
    precision: str = AUTO
    threads: int | None = None
    work: Work = "many"
    cache_dir: Path | None = None

    @property
    def is_open(self) -> bool:
        """Whether engine or precision are still to be chosen."""
        return AUTO in (self.engine, self.precision)


@dataclass(frozen=True, kw_only=True)
class Considered:
    """One way to run a model, how quick it was in a trial, and why it is not taken; "": it is."""

    engine: str
    precision: str
    ms: float | None
    why_not: str


def choose(
    params: Params, config: ViTConfig, wish: Wish, digest: Callable[[], str] | None = None
) -> Encoder:
    """Puts a model on the fastest engine that gives its tokens, and says which it had to skip.

    `digest` tells that of `params`, if there is a quicker way than to compute it. Raises UsageError
    engine.precision if no engine that is here calculates in the precision that was asked for.
    """
    for engine, precision in candidates(wish):
        if engine == NUMPY:
            break
        digest = digest or cache(partial(params_digest, params))
        if encoder := _tried(engine, precision, params, config, wish, digest):
            return encoder
    if wish.engine not in (AUTO, NUMPY):
        return build(wish.engine, params, config, threads=wish.threads)  # taken at its word
    if wish.precision not in (AUTO, FLOAT32):
        raise _nobody(wish.precision)
    return build(NUMPY, params, config, threads=wish.threads)


def candidates(wish: Wish) -> Iterator[tuple[str, str]]:
    """Engines with precisions that fit a wish, the one to take first at the beginning."""
    if wish.engine != AUTO:
        if not is_installed(wish.engine):
            raise not_installed(wish.engine)
        for precision in _usual(wish.engine):
            if precision != FLOAT32:
                yield wish.engine, precision
        return
    timed = speeds(wish.threads, wish.cache_dir) if is_measured_for(wish) else []
    for speed in timed:
        if speed.ms is not None and wish.precision in (AUTO, speed.precision):
            yield speed.engine, speed.precision
    if wish.precision not in (AUTO, FLOAT32):  # what was not timed, as nobody takes it by himself
        for engine in reversed(installed()):
            if wish.precision in ENGINES[engine].precisions:
                yield engine, wish.precision


def is_measured_for(wish: Wish) -> bool:
    """Whether engines compete for what is wished, so that their speeds must be known."""
    return wish.engine == AUTO and wish.work == "many" and installed() != (NUMPY,)


def must_measure(wish: Wish) -> bool:
    """Whether `choose` would have to time the engines first, which takes some seconds."""
    return is_measured_for(wish) and recalled(wish.threads, wish.cache_dir) is None


def considered(wish: Wish) -> list[Considered]:
    """All engines with their precisions, and why each is not taken where many images come."""
    alone = [Speed(engine=NUMPY, precision=FLOAT32)]
    found = speeds(wish.threads, wish.cache_dir) if is_measured_for(wish) else alone
    wrong = {(engine, precision): f"wrong for weights {digest[:8]}: {result}"
             for engine, precision, digest, result in parity.failures(wish.cache_dir)}  # fmt: skip
    best = next((each for each in found
                 if each.ms and (each.engine, each.precision) not in wrong), None)  # fmt: skip
    rows = [_judged(each, best, wrong.get((each.engine, each.precision), "")) for each in found]
    absent = [engine for engine in ENGINES if engine not in {each.engine for each in found}]
    for engine in absent:
        why_not = f"it is not installed; {how_to_install(engine)}"
        rows.append(Considered(engine=engine, precision=FLOAT32, ms=None, why_not=why_not))
    return rows


def _judged(speed: Speed, best: Speed | None, wrong: str) -> Considered:
    reasons = [wrong] if wrong else []
    if speed.fault:
        reasons = [f"it failed: {speed.fault}"]
    elif best and best.ms and speed.ms and speed is not best and speed.ms >= best.ms:
        reasons.append(f"{speed.ms / best.ms:.2f} times as long")
    return Considered(
        engine=speed.engine, precision=speed.precision, ms=speed.ms, why_not="; ".join(reasons)
    )


def _tried(
    engine: str,
    precision: str,
    params: Params,
    config: ViTConfig,
    wish: Wish,
    digest: Callable[[], str],
) -> Encoder | None:
    """The model on an engine, if that works and gives its tokens; else a warning says why not."""
    try:
        key = parity.key_of(engine, precision, digest(), config)
        found = parity.recalled(key, wish.cache_dir)
        if found is None or found.holds(precision):
            encoder = build(engine, params, config, precision=precision, threads=wish.threads)
            if found is None:
                found = parity.measured(encoder, params)
                parity.remember(key, found, wish.cache_dir)
            if found.holds(precision):
                return encoder
        reason = f"its tokens are not the model's ({found})"
    except Exception as exc:  # a broken engine must not stop what another can do
        reason = fault_of(exc)
        if isinstance(exc, UsageError) and exc.code == "engine.precision":
            logger.info("%s", exc)  # this machine cannot, which is no fault of the engine
            return None
    logger.warning("engine %s in %s is not used: %s", engine, precision, reason)
    return None


def _usual(engine: str) -> tuple[str, ...]:
    try:
        return usual_precisions(engine)
    except Exception as exc:  # said again, with its cause, when the engine is made
        logger.debug("%s does not say what it can do: %s", engine, exc)
        return (FLOAT32,)


def _nobody(precision: str) -> UsageError:
    reason = "no engine that works here calculates in it"
    brought = [f"pip install 'dinoseek[{name}]'" for name in able_to(precision)]
    fix = f"needs: {' or '.join(brought)}" if brought else "use --precision fp32"
    return UsageError("engine.precision", precision, reason, fix=fix)


def check_wish(wish: Wish) -> None:
    """Refuses at once what no choice can give: an engine that is not here, or cannot do it."""
    if wish.engine != AUTO:
        if wish.precision != AUTO:
            check_ability(wish.engine, wish.precision)
        if not is_installed(wish.engine):
            raise not_installed(wish.engine)
    elif wish.precision not in (AUTO, FLOAT32) and not any(
        wish.precision in ENGINES[engine].precisions for engine in installed()
    ):
        raise _nobody(wish.precision)
