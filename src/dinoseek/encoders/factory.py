"""Which engine runs a model."""

from pathlib import Path

from dinoseek.encoders.base import Encoder
from dinoseek.encoders.numpy_encoder import NumpyEncoder
from dinoseek.errors import UsageError
from dinoseek.vit.config import ViTConfig
from dinoseek.vit.ops import Params
from dinoseek.weights.hub import resolve
from dinoseek.weights.load import load_params

ENGINES = ("numpy",)


def load_encoder(
    weights: str | Path,
    engine: str = "auto",
    *,
    threads: int | None = None,
    models_dir: Path | None = None,
) -> Encoder:
    """Loads a model, given by known name, weights file or training run, onto an engine.

    `engine` is "auto" or one of ENGINES; `threads` limits the cores. Raises UsageError for an
    unknown engine, MachineError for weights that are not there, WeightsError for weights that
    cannot be used.
    """
    check_engine(engine)
    params, config = load_params(resolve(weights, models_dir))
    return make_encoder(params, config, engine, threads=threads)


def make_encoder(
    params: Params, config: ViTConfig, engine: str = "auto", *, threads: int | None = None
) -> Encoder:
    """Puts parameters on an engine; they are taken out of `params` on the way."""
    check_engine(engine)
    return NumpyEncoder(params, config, threads=threads)


def check_engine(engine: str) -> None:
    if engine not in ("auto", *ENGINES):
        raise UsageError(
            "engine.unknown", engine, "no such engine", fix=f"use auto or {ENGINES[0]}"
        )
