"""Which engine runs a model."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from dinoseek.encoders import engines
from dinoseek.encoders.automatic import Wish as Wish
from dinoseek.encoders.automatic import Work as Work
from dinoseek.encoders.automatic import check_wish, choose
from dinoseek.encoders.automatic import must_measure as must_measure
from dinoseek.encoders.base import Encoder
from dinoseek.encoders.engines import build, check_engine
from dinoseek.encoders.precision import AUTO, FLOAT32, find_precision
from dinoseek.errors import UsageError
from dinoseek.vit.config import ViTConfig
from dinoseek.vit.ops import Params
from dinoseek.weights.digest import weights_digest
from dinoseek.weights.hub import resolve
from dinoseek.weights.load import load_params

logger = logging.getLogger(__name__)

ENGINES = tuple(engines.ENGINES)


def load_encoder(
    weights: str | Path,
    engine: str = AUTO,
    *,
    precision: str = AUTO,
    threads: int | None = None,
    models_dir: Path | None = None,
    expect: Work = "many",
    cache_dir: Path | None = None,
) -> Encoder:
    """Loads a model, given by known name, weights file or training run, onto an engine.

    `engine` is "auto" or one of ENGINES, `precision` "auto" or one of PRECISIONS, `threads` limits
    the cores. What is left to "auto" is the fastest that gives the model's tokens, for as many
    images as there are to `expect`; `cache_dir` keeps what was found out about that. Raises
    UsageError for an engine that is unknown, not installed or not able, MachineError for weights
    that are not there, WeightsError for weights that cannot be used.
    """
    wish = wish_of(engine, precision, threads, expect, cache_dir)
    path = resolve(weights, models_dir)
    params, config = load_params(path)
    return encoder_of(params, config, wish, partial(weights_digest, path, params, cache_dir))


def make_encoder(
    params: Params,
    config: ViTConfig,
    engine: str = AUTO,
    *,
    precision: str = AUTO,
    threads: int | None = None,
    expect: Work = "many",
    cache_dir: Path | None = None,
) -> Encoder:
    """Puts parameters on an engine, as `load_encoder`; some take them out of `params`."""
    return encoder_of(params, config, wish_of(engine, precision, threads, expect, cache_dir))


def wish_of(
    engine: str, precision: str, threads: int | None, expect: Work, cache_dir: Path | None
) -> Wish:
    """What was asked for, once it is sure that it makes sense here."""
    check_engine(engine)
    wish = Wish(
        engine=engine,
        precision=find_precision(precision),
        threads=threads,
        work=expect,
        cache_dir=cache_dir,
    )
    check_wish(wish)
    return wish


def encoder_of(
    params: Params, config: ViTConfig, wish: Wish, digest: Callable[[], str] | None = None
) -> Encoder:
    """The encoder that was asked for; see `choose`."""
    if wish.is_open:
        return choose(params, config, wish, digest)
    return build(wish.engine, params, config, precision=wish.precision, threads=wish.threads)


def encoder_for_space(
    params: Params,
    config: ViTConfig,
    wish: Wish,
    kept: Sequence[str],
    digest: Callable[[], str] | None = None,
) -> tuple[Encoder, str]:
    """The encoder that was asked for, and the precision of the space that its vectors belong to.

    `kept` are the precisions of spaces that there are already; one of them is kept to where none
    was asked for. If nothing here calculates in it, float32 takes its place, and a warning says so.
    """
    is_query = wish.work == "few" and wish.engine == AUTO  # quick, and more exact does no harm
    if wish.precision != AUTO or not kept or is_query:
        encoder = encoder_of(params, config, wish, digest)
        return encoder, encoder.precision
    space = kept[0]
    try:
        return encoder_of(params, config, _in(wish, space), digest), space
    except UsageError as exc:
        if exc.code not in ("engine.precision", "engine.not_installed"):
            raise
        logger.warning("vectors in %s join a space of %s vectors: %s", FLOAT32, space, exc)
        return encoder_of(params, config, _in(wish, FLOAT32), digest), space


def _in(wish: Wish, precision: str) -> Wish:
    found = replace(wish, precision=precision)
    check_wish(found)
    return found
