"""Which linear layers compute in int8, and in which steps their inputs are rounded.

Those that take in what LayerNorm has standardised, qkv and the first of the MLP: seven twelfths of
a block's products. What attention mixes and GELU lets through has a few values so large that their
steps are too coarse for the others.

Inputs are rounded to 256 steps between the least and the largest value that pictures have shown,
weights to 255 steps for each output. So that a few large channels do not leave the others few
steps, each is divided by a factor first, and the weights are multiplied with it: SmoothQuant (Xiao
et al., arXiv 2211.10438) with its alpha of 0.5. A layer whose results would still be too far off
stays as it was.
"""

from collections.abc import Iterator

import numpy as np

from dinoseek.graph.folded import FoldedLayer, folded_layers
from dinoseek.graph.steps import STEPS, Calibration, Steps, as_int8
from dinoseek.vit.config import ViTConfig
from dinoseek.vit.fold import fold
from dinoseek.vit.model import attend, embed, feed_forward
from dinoseek.vit.ops import Array, Params, standardise
from dinoseek.vit.workspace import Workspace

# Of the squared length of a layer's results; layers of ViT-S have 0.0001 to 0.0005.
_MOST_ERROR = 1e-3
_ROWS = 2048  # tokens that the error is measured on
_SMALL = 1e-5


def calibrate(params: Params, config: ViTConfig, pixels: Array) -> Calibration:
    """Runs normalised pixels (b, 3, H, W) through the model, and looks at what layers take in.

    `params` are left as they are. The last block is left out: its class token is the answer.
    """
    found = {}
    for name, inputs, layer in _seen(params, config, pixels):
        if steps := steps_of(inputs, layer.weight):
            found[name] = steps
    return found


def steps_of(inputs: Array, weight: Array) -> Steps | None:
    """Steps for inputs (n, in) of a layer (in, out); None where they would be too coarse."""
    smooth = _smoothing(inputs, weight)
    inputs, weight = inputs / smooth, weight * smooth[:, None]
    low, high = min(inputs.min(), 0), max(inputs.max(), 0)
    scale = np.float32((high - low) / STEPS) or np.float32(1)
    steps = Steps(scale=scale, zero=np.uint8(np.rint(-low / scale)), smooth=smooth)
    some = inputs[:: -(-len(inputs) // _ROWS)]
    whole, scales = as_int8(weight)
    exact = some @ weight
    error = np.square(steps.rounded(some) @ (whole * scales) - exact).sum()
    return steps if error <= _MOST_ERROR * np.square(exact).sum() else None


def _smoothing(inputs: Array, weight: Array) -> Array:
    """What each channel (in,) is divided by: inputs are as large as weights afterwards."""
    most = np.abs(inputs).max(axis=0).clip(_SMALL)
    factors = np.sqrt(most / np.abs(weight).max(axis=1).clip(_SMALL))
    smooth: Array = factors / np.exp(np.log(factors).mean())
    return smooth


def _seen(
    params: Params, config: ViTConfig, pixels: Array
) -> Iterator[tuple[str, Array, FoldedLayer]]:
    """The layers after LayerNorm: each one's name, its inputs (b n, in), itself."""
    folded, space = fold(params, config), Workspace(config)
    buffers = space.buffers(pixels.shape)
    x = embed(pixels, folded, config, space)
    normed = buffers.normed[:, :-1]
    for index, block in enumerate(folded.blocks[:-1]):
        layers = folded_layers(params["blocks"][index], config)
        standardise(x, out=normed)
        yield f"blocks.{index}.attn.qkv", normed, layers.qkv
        attend(x, block, config, space)
        standardise(x, out=normed)
        yield f"blocks.{index}.mlp.up", normed, layers.up
        feed_forward(x, block, config, space)
