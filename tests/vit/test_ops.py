"""Each layer against its textbook definition in float64."""

import math

import numpy as np
import pytest

from dinoseek.vit import ops

pytestmark = pytest.mark.usefixtures("strict_numpy")


def scratch():
    return np.empty(ops.PIECE, np.float32), np.empty(ops.PIECE, np.float32)


def random(*shape, scale=1.0):
    return (np.random.default_rng(0).standard_normal(shape) * scale).astype(np.float32)


@pytest.mark.parametrize("reach", [0.01, 1.0, 6.0, 60.0, 3000.0])
def test_gelu_is_the_exact_erf_form_to_float_rounding(reach):
    x = np.linspace(-reach, reach, 40_001, dtype=np.float32).reshape(-1, 1)
    expected = np.array([0.5 * t * math.erfc(-t / math.sqrt(2)) for t in x[:, 0].astype(float)])

    scaled = (x * np.float32(ops.GELU_SCALE)).astype(np.float32)
    found = ops.gelu(scaled, scratch())[:, 0] * np.float32(0.5 / ops.GELU_SCALE)

    error = np.abs(found - expected)
    assert (error <= 6e-7 + 4e-7 * np.abs(expected)).all(), error.max()


def test_gelu_is_not_the_tanh_approximation():
    x = np.linspace(-4, 4, 1001, dtype=np.float32).reshape(-1, 1)
    tanh_form = 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))

    found = ops.gelu(x * np.float32(ops.GELU_SCALE), scratch()) * np.float32(0.5 / ops.GELU_SCALE)

    assert np.abs(found - tanh_form).max() > 4e-4


def test_swiglu_gates_the_second_half_by_the_first():
    x = random(50, 8, scale=20)
    gate, value = np.split(x.astype(np.float64), 2, axis=1)
    expected = gate / (1 + np.exp(-gate)) * value

    halved = x * np.repeat(np.float32([0.5, 1]), 4)
    found = ops.swiglu(halved, scratch(), np.empty((50, 4), np.float32))

    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-7 * np.abs(gate * value).max())


def test_layer_norm_has_zero_mean_and_biased_unit_variance():
    x = random(7, 33, scale=5) + 3
    wide = x.astype(np.float64)
    centred = wide - wide.mean(1, keepdims=True)
    expected = centred / np.sqrt((centred**2).mean(1, keepdims=True) + 1e-6)

    found = ops.standardise(x, np.empty_like(x))

    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_layer_norm_of_a_constant_row_is_zero():
    x = np.full((2, 16), 7, np.float32)

    assert not ops.standardise(x, np.empty_like(x)).any()


@pytest.mark.parametrize("scale", [0.5, 3.0, 12.0], ids=["small", "usual", "past float32's exp"])
@pytest.mark.parametrize("rows", [5, 64], ids=["in pieces", "whole"])
def test_attention_equals_softmax_by_definition(scale, rows):
    n, heads, k = 33, 2, 8
    qkv = random(3, n, heads * k, scale=scale)
    logits = np.einsum("nhk,mhk->hnm", *(t.reshape(n, heads, k).astype(float) for t in qkv[:2]))
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    expected = np.einsum("hnm,mhk->nhk", weights, qkv[2].reshape(n, heads, k)).reshape(n, -1)

    out = np.empty((n, heads * k), np.float32)
    ops.attention(*qkv, heads, np.empty((rows, n), np.float32), out)

    np.testing.assert_allclose(out, expected, rtol=2e-4, atol=2e-4 * scale)


def test_patchify_is_row_major_over_the_grid_with_channels_first():
    pixels = random(3, 28, 42)

    rows = ops.patchify(pixels, 14, np.empty((6, 588), np.float32))

    np.testing.assert_array_equal(rows[4], pixels[:, 14:28, 14:28].ravel())


def test_pieces_cover_every_row_once():
    x = np.arange(70.0, dtype=np.float32).reshape(10, 7)

    np.testing.assert_array_equal(np.concatenate(ops.pieces(x, 20)), x)
    assert max(map(len, ops.pieces(x, 20))) == 2
