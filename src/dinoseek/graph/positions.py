"""Position embeddings inside a graph, for whatever patch grid comes in (see vit/pos_embed.py).

The matrices that resample an axis are computed from the grid's shape: a cubic kernel on the
distance of every stored row to every wanted one, a few dozen small operations in all.
"""

import numpy as np

from dinoseek.graph.nodes import Nodes
from dinoseek.vit.config import ViTConfig
from dinoseek.vit.ops import Array

# Bicubic interpolation looks so far past the border of the stored grid.
_REACH = 2


def resampled(nodes: Nodes, patches: Array, rows: str, cols: str, config: ViTConfig) -> str:
    """The embeddings (1, rows * cols, d), float32, of the stored (grid * grid, d).

    `rows` and `cols` name int64 tensors (1).
    """
    side, d = config.grid, patches.shape[-1]
    down = _axis_matrix(nodes, rows, _offset(nodes, rows, cols, config), config)  # (rows, side)
    across = _axis_matrix(nodes, cols, _offset(nodes, rows, cols, config), config)  # (cols, side)
    grid = nodes.exact("grid", patches.reshape(side, side * d))
    lines = nodes.op("MatMul", down, grid)  # (rows, side d)
    lines = nodes.op("Reshape", lines, nodes.constant([-1, side, d]))  # (rows, side, d)
    fitted = nodes.op("MatMul", across, lines)  # (rows, cols, d)
    return nodes.op("Reshape", fitted, nodes.constant([1, -1, d]))


def _offset(nodes: Nodes, rows: str, cols: str, config: ViTConfig) -> str:
    """What is added to a new axis' length before the step is taken of it: (1)."""
    plain = config.pos_flavour == "hub" and not config.num_register_tokens
    if not plain:
        return nodes.constant([0], np.float32)
    side = nodes.constant([config.grid])
    native = nodes.op("And", nodes.op("Equal", rows, side), nodes.op("Equal", cols, side))
    return nodes.op(
        "Where", native, nodes.constant([0], np.float32), nodes.constant([0.1], np.float32)
    )


def _axis_matrix(nodes: Nodes, count: str, offset: str, config: ViTConfig) -> str:
    """The matrix (count, grid) that resamples one axis."""
    number = nodes.op("Cast", count, to=1)
    side = nodes.constant([config.grid], np.float32)
    step = nodes.op("Div", side, nodes.op("Add", number, offset))
    half = nodes.constant([0.5], np.float32)
    first, one = nodes.constant(0), nodes.constant(1)
    last = nodes.op("Squeeze", count)
    places = nodes.op("Cast", nodes.op("Range", first, last, one), to=1)  # (count)
    centres = nodes.op("Sub", nodes.op("Mul", nodes.op("Add", places, half), step), half)
    centres = nodes.op("Unsqueeze", centres, nodes.constant([1]))  # (count, 1)
    if config.pos_flavour == "timm" or config.num_register_tokens:
        return _antialiased(nodes, centres, step, config.grid)
    return _keys(nodes, centres, config.grid)


def _keys(nodes: Nodes, centres: str, side: int) -> str:
    """Bicubic interpolation with a = -0.75; taps outside the grid fold onto its border."""
    taps = np.arange(-_REACH, side + _REACH)
    distance = nodes.op("Abs", nodes.op("Sub", nodes.constant(taps[None], np.float32), centres))
    weights = _cubic(nodes, distance, a=-0.75)  # (count, side + 2 * reach)
    border = np.clip(taps, 0, side - 1)[:, None] == np.arange(side)  # (side + 2 * reach, side)
    return nodes.op("MatMul", weights, nodes.constant(border, np.float32))


def _antialiased(nodes: Nodes, centres: str, step: str, side: int) -> str:
    """Bicubic interpolation with a = -0.5 whose kernel widens when it shrinks."""
    taps = nodes.constant(np.arange(side)[None], np.float32)
    stretch = nodes.op("Max", step, nodes.constant([1], np.float32))
    distance = nodes.op("Abs", nodes.op("Div", nodes.op("Sub", taps, centres), stretch))
    weights = _cubic(nodes, distance, a=-0.5)  # (count, side)
    return nodes.op("Div", weights, nodes.op("ReduceSum", weights, nodes.constant([1])))


def _cubic(nodes: Nodes, x: str, a: float) -> str:
    """Keys' cubic convolution kernel of distances x >= 0."""
    inner = _polynomial(nodes, x, [a + 2, -(a + 3), 0, 1])
    outer = _polynomial(nodes, x, [a, -5 * a, 8 * a, -4 * a])
    near = nodes.op("Less", x, nodes.constant(1, np.float32))
    far = nodes.op("Less", x, nodes.constant(2, np.float32))
    outer = nodes.op("Where", far, outer, nodes.constant(0, np.float32))
    return nodes.op("Where", near, inner, outer)


def _polynomial(nodes: Nodes, x: str, coefficients: list[float]) -> str:
    """By Horner's rule, the highest power first."""
    value = nodes.constant(coefficients[0], np.float32)
    for coefficient in coefficients[1:]:
        value = nodes.op("Mul", value, x)
        if coefficient:
            value = nodes.op("Add", value, nodes.constant(coefficient, np.float32))
    return value
