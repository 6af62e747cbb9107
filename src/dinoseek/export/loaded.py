"""A model that is to be exported, and what decides the vectors of the file that comes of it."""

from dataclasses import dataclass, replace
from pathlib import Path

from dinoseek.embedder import USUAL_HEAD_DIM
from dinoseek.export.options import GRAPHS, ExportOptions
from dinoseek.fingerprint import Fingerprint
from dinoseek.vit.config import PosFlavour, ViTConfig
from dinoseek.vit.ops import Params
from dinoseek.weights.checkpoint import open_checkpoint
from dinoseek.weights.digest import params_digest, weights_digest
from dinoseek.weights.hub import known_model, model_name, resolve
from dinoseek.weights.load import load_params
from dinoseek.weights.naming import flatten, nest
from dinoseek.weights.save import as_stored

MODEL_KEY, LICENCE_KEY = "dinoseek.model", "dinoseek.licence"
PREPROCESS = "official"
UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A model to be exported; `licence` is UNKNOWN where nobody said what it is."""

    name: str
    params: Params
    config: ViTConfig
    digest: str
    licence: str


def load(
    model: str | Path,
    *,
    pos_flavour: PosFlavour | None = None,
    models_dir: Path | None = None,
    cache_dir: Path | None = None,
) -> Loaded:
    """A model by its name or file. Raises as `resolve` and `load_params`.

    Name and licence of a file are those that an earlier export wrote into it, if one did.
    """
    path = resolve(model, models_dir)
    params, config = load_params(path)
    known = known_model(model) if isinstance(model, str) else None
    with open_checkpoint(path) as checkpoint:
        said = checkpoint.metadata
    return Loaded(
        name=known.name if known else said.get(MODEL_KEY) or model_name(model),
        params=params,
        config=replace(config, pos_flavour=pos_flavour or config.pos_flavour),
        digest=weights_digest(path, params, cache_dir),
        licence=known.licence if known else said.get(LICENCE_KEY) or UNKNOWN,
    )


def fingerprint_of(loaded: Loaded, options: ExportOptions) -> Fingerprint:
    """What decides the vectors of class tokens that the exported file gives.

    Weights without a graph are computed with in float32 whatever they are stored in, so that they
    are other weights, not another precision.
    """
    digest, precision = loaded.digest, options.precision
    if options.format not in GRAPHS and precision != "float32":
        digest, precision = params_digest(_rounded(loaded.params, precision)), "float32"
    if loaded.config.head_dim != USUAL_HEAD_DIM:
        digest += f"-{loaded.config.num_heads}"
    return Fingerprint(
        model=loaded.name,
        weights=digest,
        preprocess=PREPROCESS,
        pooling="cls",
        pos_flavour=loaded.config.pos_flavour,
        precision=precision,
        dim=loaded.config.embed_dim,
    )


def _rounded(params: Params, precision: str) -> Params:
    flat = flatten(params)
    return nest({name: as_stored(value, precision).astype("f4") for name, value in flat.items()})
