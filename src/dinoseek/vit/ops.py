"""The layers of a Vision Transformer as NumPy functions that write into buffers they are given.

Axes in comments: n tokens, d embed_dim, h num_heads, k head_dim = d / h, m width of the MLP. `+1`
marks a constant-one last column: the bias of a linear layer is the last row of its folded weight
(fold.py), so that the layer is one matrix product.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Params = dict[str, Any]

LAYER_NORM_EPS = 1e-6

# erf(x / sqrt 2) = tanh(x P(x^2)), P of degree 6 fitted by weighted least squares (Lawson's
# iteration) to the least maximal error of GELU on |x| < 5.6: 7e-8, below float32's own rounding.
# The leading coefficient is positive, so the argument grows without turning back where the fit
# ends.
_ERF_AS_TANH = (
    7.97884268e-01,
    3.63341491e-02,
    -3.30267020e-05,
    -5.52733864e-05,
    3.97407070e-06,
    -1.33783195e-07,
    1.81392716e-09,
)
# GELU works on x times this scale, at which P's leading coefficient is one: a pass over memory
# less.
GELU_SCALE = _ERF_AS_TANH[-1] ** (1 / (2 * len(_ERF_AS_TANH) - 1))
_GELU_COEFFICIENTS = tuple(
    np.float32(c / GELU_SCALE ** (2 * power + 1)) for power, c in enumerate(_ERF_AS_TANH)
)
# Sums of e**70 times a value stay well inside float32, and e**-70 is no denormal.
_LARGEST_LOGIT = np.float32(70)
_LOG2_E = np.float32(math.log2(math.e))  # softmax runs on exp2, which is quicker than exp
# Element-wise layers go through memory in pieces of this many values, which stay in the L2 cache.
PIECE = 65_536


def linear(x: Array, weight: Array, out: Array) -> Array:
    """Multiplies x (n, in + 1) with a folded weight (in + 1, out) into `out` (n, out)."""
    return np.matmul(x, weight, out=out)


def standardise(x: Array, out: Array) -> Array:
    """LayerNorm of x (n, d) without its affine part, which is folded into the next linear layer."""
    d = x.shape[-1]
    mean = x @ np.full(d, 1 / d, np.float32)  # (n, d) -> (n); BLAS sums faster than np.mean
    np.subtract(x, mean[:, None], out=out)
    variance = np.vecdot(out, out) / np.float32(d)  # (n, d) -> (n)
    out *= (1 / np.sqrt(variance + np.float32(LAYER_NORM_EPS)))[:, None]
    return out


def attention(
    query: Array, key: Array, value: Array, num_heads: int, scores: Array, out: Array
) -> Array:
    """Attention of queries (q, d), already scaled, to one image's n tokens, into `out` (q, d).

    `key` and `value` are (n, d). `scores` (rows, n) bounds how many queries are worked on at once,
    so that their scores stay in cache.
    """
    ones = np.ones(len(key), np.float32)
    # (q, d) and 2 x (n, d) -> (h, q, k) and 2 x (h, n, k), no copy
    parts = [side.reshape(len(side), num_heads, -1).swapaxes(0, 1) for side in (query, key, value)]
    shift = ~bounded(parts[0], parts[1])
    mixed = out.reshape(len(out), num_heads, -1).swapaxes(0, 1)  # (h, q, k)
    for q, k, v, result, large in zip(*parts, mixed, shift, strict=True):
        for first in range(0, len(q), len(scores)):
            rows = slice(first, min(first + len(scores), len(q)))
            weights = np.matmul(q[rows], k.T, out=scores[: rows.stop - first])  # (rows, n)
            if large:
                weights -= weights.max(axis=-1, keepdims=True)
            weights *= _LOG2_E  # on the logits: on q or in the weights its rounding would show
            np.exp2(weights, out=weights)
            np.matmul(weights, v, out=result[rows])  # (rows, k)
            # Softmax's division comes last: on k values a row, not n.
            result[rows] /= (weights @ ones)[:, None]
    return out


def bounded(query: Array, key: Array) -> NDArray[np.bool_]:
    """Per head: whether no logit of queries (h, q, k) and keys (h, n, k) can overflow exp.

    By Cauchy-Schwarz |q . k| <= |q| |k|. Softmax is the same without subtracting the largest logit
    first, which is then two passes over the scores for nothing.
    """
    longest = [np.vecdot(side, side).max(axis=-1) for side in (query, key)]  # (h, n, k) -> (h)
    return longest[0] * longest[1] < _LARGEST_LOGIT**2


def gelu(x: Array, scratch: tuple[Array, Array]) -> Array:
    """GELU in place: GELU_SCALE * x becomes 2 * GELU_SCALE * gelu(x).

    The layers around it carry the scales (fold.py). This is the exact-erf form, within 7e-8 before
    rounding. DINOv2 was trained with it; the usual tanh form is up to 4.7e-4 off.
    """
    for piece in pieces(x):
        square, gate = (buffer[: piece.size].reshape(piece.shape) for buffer in scratch)
        np.multiply(piece, piece, out=square)
        np.add(
            square, _GELU_COEFFICIENTS[-2], out=gate
        )  # Horner's rule; the leading coefficient is 1
        for coefficient in _GELU_COEFFICIENTS[-3::-1]:
            gate *= square
            gate += coefficient
        gate *= piece
        np.tanh(gate, out=gate)
        gate += np.float32(1)
        piece *= gate
    return x


def swiglu(x: Array, scratch: tuple[Array, Array], out: Array) -> Array:
    """silu(gate) * value of x (n, 2 m) into `out` (n, m); the gate comes in halved (fold.py).

    silu(g) = g / (1 + exp(-g)) = (g / 2) (1 + tanh(g / 2)): no overflow, and tanh is the cheaper
    function.
    """
    m = out.shape[-1]
    for piece, result in zip(pieces(x), pieces(out, PIECE // 2), strict=True):
        gate = scratch[0][: result.size].reshape(result.shape)
        np.tanh(piece[:, :m], out=gate)
        gate += np.float32(1)
        gate *= piece[:, :m]
        np.multiply(gate, piece[:, m:], out=result)
    return out


def pieces(x: Array, size: int = PIECE) -> list[Array]:
    """Cuts x (n, d) into views of whole rows with about `size` values each."""
    rows = max(1, size // x.shape[-1])
    return [x[first : first + rows] for first in range(0, len(x), rows)]


def patchify(pixels: Array, patch_size: int, out: Array) -> Array:
    """Lays the patches of an image (c, H, W) out as rows of `out` (n, c * p * p), row-major."""
    c, height, width = pixels.shape
    p, rows, cols = patch_size, height // patch_size, width // patch_size
    grid = pixels.reshape(c, rows, p, cols, p).transpose(1, 3, 0, 2, 4)  # (rows, cols, c, p, p)
    out.reshape(rows, cols, c, p, p)[...] = grid
    return out


def layer_norm(x: Array, weight: Array, bias: Array) -> Array:
    """LayerNorm of x (..., d) with its affine part, as a new array."""
    flat = x.reshape(-1, x.shape[-1])
    normed = standardise(flat, np.empty_like(flat))
    normed *= weight
    normed += bias
    return normed.reshape(x.shape)


def logit_scale(head_dim: int) -> np.float32:
    """The factor on q that makes q . k the attention logit."""
    return np.float32(1 / math.sqrt(head_dim))
