"""Rewrites a model's parameters into the few matrices that the engine multiplies with.

All of it is algebra that a trained model allows once and for all:

    LayerNorm's affine part   goes into the linear layer after it
    LayerScale                goes into the linear layer before it
    the attention scale       goes into q
    GELU's and SiLU's scales  go into the layers on both sides
    a bias after LayerNorm    becomes the last row of its weight, against a constant-one input
    weights                   are transposed to (in + 1, out), the order BLAS is quickest with
"""

from dataclasses import dataclass

import numpy as np

from dinoseek.vit.config import ViTConfig
from dinoseek.vit.ops import GELU_SCALE, Array, Params, logit_scale


@dataclass(frozen=True)
class FoldedBlock:
    qkv: Array  # (3, d + 1, d)
    proj: Array  # (d + 1, d)
    up: Array  # (d + 1, m), for SwiGLU (d + 1, 2 m)
    down: Array  # (m, d)
    down_bias: Array  # (d)


@dataclass(frozen=True)
class FoldedParams:
    """What the engine needs of a model; made by `fold`."""

    patch_embed: Array  # (3 p p + 1, d)
    prefix: Array  # (1 + r, d): cls with its position, then registers, which have none
    positions: Array  # (grid * grid, d)
    blocks: tuple[FoldedBlock, ...]
    norm_weight: Array  # (d)
    norm_bias: Array  # (d)


def fold(params: Params, config: ViTConfig, *, consume: bool = False) -> FoldedParams:
    """Folds `params` (Facebook's names, see weights/load.py) for the engine.

    With `consume` each block is taken out of `params` as it is folded, so that both never fill
    memory at once.
    """
    blocks = params["blocks"]
    folded = []
    for index, block in enumerate(blocks):
        folded.append(fold_block(block, config))
        if consume:
            blocks[index] = None
    kernel = params["patch_embed"]["proj"]
    position = params["pos_embed"][0]
    cls = params["cls_token"][0] + position[:1]
    registers = params["register_tokens"][0] if config.num_register_tokens else cls[:0]
    return FoldedParams(
        patch_embed=with_bias(kernel["weight"].reshape(config.embed_dim, -1), kernel["bias"]),
        prefix=np.concatenate([cls, registers]),
        positions=np.ascontiguousarray(position[1:]),
        blocks=tuple(folded),
        norm_weight=params["norm"]["weight"],
        norm_bias=params["norm"]["bias"],
    )


def fold_block(block: Params, config: ViTConfig) -> FoldedBlock:
    d, m = config.embed_dim, config.hidden_dim
    qkv = after_norm(block["attn"]["qkv"], block["norm1"])
    qkv = np.ascontiguousarray(qkv.reshape(d + 1, 3, d).swapaxes(0, 1))
    qkv[0] *= logit_scale(config.head_dim)
    if config.swiglu:  # the first half is the gate
        up, down = block["mlp"]["w12"], block["mlp"]["w3"]
        up_scale = np.repeat([0.5, 1.0], m).astype(np.float32)
        down_scale = np.float32(1)
    else:
        up, down = block["mlp"]["fc1"], block["mlp"]["fc2"]
        up_scale = np.full(m, GELU_SCALE, np.float32)
        down_scale = np.float32(0.5 / GELU_SCALE)
    gamma = block["ls2"]["gamma"]
    return FoldedBlock(
        qkv=qkv,
        proj=with_bias(block["attn"]["proj"]["weight"], block["attn"]["proj"]["bias"])
        * block["ls1"]["gamma"],
        up=after_norm(up, block["norm2"]) * up_scale,
        down=np.ascontiguousarray(down["weight"].T) * (gamma * down_scale),
        down_bias=down["bias"] * gamma,
    )


def after_norm(linear: Params, norm: Params) -> Array:
    """A linear layer that takes LayerNorm's result before its affine part: (in + 1, out)."""
    weight, bias = linear["weight"], linear["bias"]  # (out, in), (out)
    folded = with_bias(weight, bias + weight @ norm["bias"])
    folded[:-1] *= norm["weight"][:, None]
    return folded


def with_bias(weight: Array, bias: Array) -> Array:
    """(out, in) and (out) as one (in + 1, out) matrix."""
    outputs, inputs = weight.shape
    folded = np.empty((inputs + 1, outputs), np.float32)
    folded[:-1] = weight.T
    folded[-1] = bias
    return folded
