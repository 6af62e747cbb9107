"""Which weights are measured: the user's own, or random ones of a model's shape."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dinoseek.errors import UsageError
from dinoseek.vit.config import ViTConfig
from dinoseek.vit.ops import Array, Params
from dinoseek.weights.hub import KNOWN, find_model, find_weights, known_model, model_name, resolve
from dinoseek.weights.infer import tensor_shapes
from dinoseek.weights.load import summarise
from dinoseek.weights.naming import nest
from dinoseek.weights.save import save_params

DEFAULT = "dinov2-small"


@dataclass(frozen=True, kw_only=True)
class Model:
    """A file of weights, its shape, and what people call it; `is_random` if it learned nothing."""

    name: str
    path: Path
    config: ViTConfig
    is_random: bool = False


def find_models(
    names: Sequence[str], folder: Path, *, random: bool = False, models_dir: Path | None = None
) -> list[Model]:
    """The models to measure, by known name, weights file or training run.

    Without a name the first official model that is on this machine, or else DINOv2-small's shape
    with random weights. With `random` names are shapes; such weights are written into `folder`.
    Raises as `resolve` and `load_params` do.
    """
    if not names and not random:
        here = next((name for name in KNOWN if find_weights(name, models_dir)), None)
        names, random = (here or DEFAULT,), here is None
    if random:
        return [_random_model(name, folder) for name in names or (DEFAULT,)]
    return [_model(name, models_dir) for name in names]


def _model(name: str, models_dir: Path | None) -> Model:
    path = resolve(name, models_dir)
    return Model(name=model_name(name), path=path, config=summarise(path).config)


def _random_model(name: str, folder: Path) -> Model:
    if known_model(name) is None and Path(name).exists():
        reason = "it is a file, and with --random a shape is asked for"
        raise UsageError("bench.random", name, reason, fix="leave --random out")
    found = find_model(name)
    path = folder / f"{found.name}.safetensors"
    if not path.exists():
        save_params(path, random_params(found.config), found.config)
    return Model(name=found.name, path=path, config=found.config, is_random=True)


def random_params(config: ViTConfig, seed: int = 0) -> Params:
    """Parameters in Facebook's names, of the magnitude that keeps activations ordinary."""
    rng = np.random.default_rng(seed)

    def array(name: str, shape: tuple[int, ...]) -> Array:
        noise = rng.standard_normal(shape, np.float32) * np.float32(0.02)
        return noise + 1 if name.endswith(_SCALES) else noise

    return nest({name: array(name, shape) for name, shape in tensor_shapes(config).items()})


_SCALES = ("norm.weight", "norm1.weight", "norm2.weight", ".gamma")
