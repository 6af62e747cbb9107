"""The engine against outputs of the official PyTorch code."""

import numpy as np
import pytest

from dinoseek.vit.model import forward
from dinoseek.weights.load import load_params

pytestmark = pytest.mark.weights
TINY = ["tiny-mlp", "tiny-mlp-reg4", "tiny-swiglu", "tiny-swiglu-reg4"]
SIZES = ["2x224x224", "1x518x518", "1x266x224", "1x98x126", "1x644x434"]
REAL_SIZES = ["1x224x224", "1x518x518", "1x266x224"]


def pixels_of(size):
    b, height, width = map(int, size.split("x"))
    rng = np.random.default_rng(7 * 100_000 + height * 1000 + width)
    return rng.standard_normal((b, 3, height, width), dtype=np.float32)


def worst(found, expected):
    return float(np.abs(found - expected).max()) if expected.size else 0.0


def cosines(found, expected):
    lengths = np.linalg.norm(found, axis=-1) * np.linalg.norm(expected, axis=-1)
    return (found.astype(np.float64) * expected).sum(-1) / lengths


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", TINY)
def test_tiny_models_equal_the_official_code(shared, name, size):
    params, config = load_params(shared / "golden/tiny" / f"{name}.safetensors")
    golden = np.load(shared / "golden/tiny" / f"{name}.outputs.npz")

    tokens = forward(pixels_of(size), params, config)

    for kind, found in {
        "cls": tokens.cls,
        "patch": tokens.patches[:, ::7],
        "reg": tokens.registers,
    }.items():
        if f"{size}.{kind}" in golden:
            error = worst(found, golden[f"{size}.{kind}"])
            assert error <= 5e-5, f"{kind}: {error}"


@pytest.mark.parametrize("size", REAL_SIZES)
def test_the_real_small_model_equals_the_official_code(shared, size):
    params, config = load_params(shared / "weights/dav2-vits14-fp16.safetensors")
    golden = np.load(shared / "golden/dav2-vits14.outputs.npz")

    tokens = forward(pixels_of(size), params, config)

    patches = tokens.patches[:, ::7]
    assert worst(tokens.cls, golden[f"{size}.cls"]) <= 5e-5
    assert worst(patches, golden[f"{size}.patch"]) <= 3e-4
    assert cosines(tokens.cls, golden[f"{size}.cls"]).min() >= 0.999999
    assert cosines(patches, golden[f"{size}.patch"]).min() >= 0.999999
