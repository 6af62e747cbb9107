"""Tiny models as weights files, and pictures to try their exports on."""

import colorsys

import numpy as np
import pytest
from PIL import Image

from dinoseek.export.pictures import Picture
from dinoseek.vit.config import ViTConfig
from dinoseek.weights.infer import tensor_shapes
from dinoseek.weights.load import save_params
from dinoseek.weights.naming import nest


def tiny(**changes):
    """A random model of 64 values a token and 14 x 14 pixels a patch: (params, config)."""
    shape = {"embed_dim": 64, "depth": 2, "num_heads": 1, "hidden_dim": 48, "grid": 5}
    config = ViTConfig(**{**shape, **changes})
    rng = np.random.default_rng(7)
    flat = {
        name: rng.standard_normal(size, dtype=np.float32) * np.float32(0.2)
        for name, size in tensor_shapes(config).items()
    }
    return nest(flat), config


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """Writes a tiny model; returns its file."""

    def write(**changes):
        path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
        save_params(path, *tiny(**changes))
        return path

    return write


def drawn(number, label=None, side=90):
    """A picture of one hue under noise."""
    rng = np.random.default_rng(number)
    noise = rng.integers(0, 90, (side, side + 40, 3), np.uint8)
    hue = np.array(colorsys.hsv_to_rgb(number / 11 % 1, 1, 160), np.uint8)
    return Picture(image=Image.fromarray(noise + hue), label=label)


@pytest.fixture(scope="session")
def pictures():
    return [drawn(number) for number in range(8)]
