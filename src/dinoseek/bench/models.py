"""Which weights are measured: the user's own, or random ones of a model's shape."""

import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dinoseek.errors import UsageError
from dinoseek.vit.config import ViTConfig
from dinoseek.vit.ops import Array, Params
from dinoseek.weights.hub import KNOWN, find_model, find_weights, known_model, model_name, resolve
from dinoseek.weights.load import summarise
from dinoseek.weights.save import save_params

logger = logging.getLogger(__name__)

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
    draw = _Draw(np.random.default_rng(seed))
    d = config.embed_dim
    params: dict[str, Any] = {
        "cls_token": draw.array(1, 1, d),
        "pos_embed": draw.array(1, 1 + config.grid**2, d),
        "patch_embed": {"proj": draw.patches(d, config.patch_size)},
        "blocks": [_random_block(draw, config) for _ in range(config.depth)],
        "norm": draw.norm(d),
    }
    if config.num_register_tokens:
        params["register_tokens"] = draw.array(1, config.num_register_tokens, d)
    return params


def _random_block(draw: "_Draw", config: ViTConfig) -> dict[str, Any]:
    d, m = config.embed_dim, config.hidden_dim
    mlp = (
        {"w12": draw.linear(2 * m, d), "w3": draw.linear(d, m)}
        if config.swiglu
        else {"fc1": draw.linear(m, d), "fc2": draw.linear(d, m)}
    )
    return {
        "norm1": draw.norm(d),
        "attn": {"qkv": draw.linear(3 * d, d), "proj": draw.linear(d, d)},
        "ls1": {"gamma": 1 + draw.array(d)},
        "norm2": draw.norm(d),
        "mlp": mlp,
        "ls2": {"gamma": 1 + draw.array(d)},
    }


@dataclasses.dataclass(frozen=True)
class _Draw:
    """Random arrays, one after the other."""

    rng: np.random.Generator

    def array(self, *shape: int) -> Array:
        return self.rng.standard_normal(shape, dtype=np.float32) * np.float32(0.02)

    def linear(self, outputs: int, inputs: int) -> dict[str, Array]:
        return {"weight": self.array(outputs, inputs), "bias": self.array(outputs)}

    def patches(self, d: int, side: int) -> dict[str, Array]:
        return {"weight": self.array(d, 3, side, side), "bias": self.array(d)}

    def norm(self, d: int) -> dict[str, Array]:
        return {"weight": 1 + self.array(d), "bias": self.array(d)}
