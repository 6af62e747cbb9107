"""Resampling a learned position embedding to another patch grid, in the three ways that are in use.

Bicubic resampling is linear and separable: one small matrix per axis. The flavours differ in the
kernel and the step, and features drift when they are mixed up:

    hub   plain models: Keys' kernel a = -0.75, step old / (new + 0.1) (the 0.1 is Facebook's);
          models with registers: antialiased, a = -0.5, step old / new
    hf    as hub, but the step of plain models is old / new (transformers since 4.45)
    timm  antialiased, a = -0.5, for all models
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from dinoseek.vit.config import PosFlavour, ViTConfig
from dinoseek.vit.ops import Array

Matrix = NDArray[np.float64]


def resample(patches: Array, rows: int, cols: int, config: ViTConfig) -> Array:
    """Fits position embeddings of the stored grid (grid * grid, d) to another: (rows * cols, d)."""
    side, d = config.grid, patches.shape[-1]
    if (rows, cols) == (side, side):
        return patches
    registers = config.num_register_tokens > 0
    down = axis_matrix(side, rows, config.pos_flavour, registers)  # (rows, side)
    across = axis_matrix(side, cols, config.pos_flavour, registers)  # (cols, side)
    grid = patches.reshape(side, side * d).astype(np.float64)
    lines = (down @ grid).reshape(rows, side, d)
    return (across @ lines).reshape(rows * cols, d).astype(np.float32)


@lru_cache(maxsize=256)
def axis_matrix(old: int, new: int, flavour: PosFlavour, registers: bool) -> Matrix:
    """The (new, old) matrix that resamples one axis in a flavour."""
    if flavour == "timm" or registers:
        return antialiased_matrix(old, new)
    return keys_matrix(old, new, step=old / (new + 0.1) if flavour == "hub" else old / new)


def keys_matrix(old: int, new: int, step: float) -> Matrix:
    """Bicubic interpolation with a = -0.75; taps outside the grid fold onto its border."""
    centres = (np.arange(new) + 0.5) * step - 0.5
    first = np.floor(centres).astype(np.int64) - 1
    matrix = np.zeros((new, old))
    for tap in range(4):
        column = np.clip(first + tap, 0, old - 1)
        np.add.at(matrix, (np.arange(new), column), cubic(first + tap - centres, a=-0.75))
    return matrix


def antialiased_matrix(old: int, new: int) -> Matrix:
    """Bicubic interpolation with a = -0.5 whose kernel widens when it shrinks, as Pillow's does."""
    step = old / new
    stretch = max(step, 1.0)
    centres = (np.arange(new)[:, None] + 0.5) * step  # (new, 1)
    taps = np.arange(old)[None, :]
    first = np.maximum((centres - 2 * stretch + 0.5).astype(np.int64), 0)
    last = np.minimum((centres + 2 * stretch + 0.5).astype(np.int64), old)
    weights = cubic((taps - centres + 0.5) / stretch, a=-0.5)
    weights = np.where((taps >= first) & (taps < last), weights, 0.0)
    return weights / weights.sum(axis=1, keepdims=True)


def cubic(x: Matrix, a: float) -> Matrix:
    """Keys' cubic convolution kernel."""
    x = np.abs(x)
    inner = ((a + 2) * x - (a + 3)) * x * x + 1
    outer = ((x - 5) * x + 8) * x * a - 4 * a
    return np.where(x <= 1, inner, np.where(x < 2, outer, 0.0))
