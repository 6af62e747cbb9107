"""The linear layers of a block, with all folded into them that a trained model allows.

As in vit/fold.py:

    LayerNorm's affine part  goes into the linear layer after it
    LayerScale               goes into the linear layer before it
    the attention scale      goes into q
    the bias of k            is dropped: it adds the same to all logits of a query
    the bias of v            goes into proj's: attention's weights sum to one
"""

from typing import NamedTuple

from dinoseek.vit.config import ViTConfig
from dinoseek.vit.ops import Array, Params, logit_scale


class FoldedLayer(NamedTuple):
    weight: Array  # (in, out)
    bias: Array  # (out)


class FoldedLayers(NamedTuple):
    qkv: FoldedLayer  # (d, 3 d)
    proj: FoldedLayer  # (d, d)
    up: FoldedLayer  # (d, m), for SwiGLU (d, 2 m)
    down: FoldedLayer  # (m, d)


def folded_layers(params: Params, config: ViTConfig) -> FoldedLayers:
    """Those of one block's parameters, which are left as they are."""
    d, attn, mlp = config.embed_dim, params["attn"], params["mlp"]
    qkv = after_norm(attn["qkv"], params["norm1"])
    qkv.weight[:, :d] *= logit_scale(config.head_dim)
    qkv.bias[:d] *= logit_scale(config.head_dim)
    proj, gamma = attn["proj"], params["ls1"]["gamma"]
    proj_bias = (proj["bias"] + proj["weight"] @ qkv.bias[2 * d :]) * gamma
    qkv.bias[d:] = 0
    up, down = (mlp["w12"], mlp["w3"]) if config.swiglu else (mlp["fc1"], mlp["fc2"])
    scale = params["ls2"]["gamma"]
    return FoldedLayers(
        qkv=qkv,
        proj=FoldedLayer(proj["weight"].T * gamma, proj_bias),
        up=after_norm(up, params["norm2"]),
        down=FoldedLayer(down["weight"].T * scale, down["bias"] * scale),
    )


def after_norm(layer: Params, norm: Params) -> FoldedLayer:
    """A linear layer that takes in what LayerNorm has standardised, before its affine part."""
    weight, bias = layer["weight"], layer["bias"]  # (out, in), (out)
    return FoldedLayer(weight.T * norm["weight"][:, None], bias + weight @ norm["bias"])
