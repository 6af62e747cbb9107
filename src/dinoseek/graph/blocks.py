"""A transformer block as nodes of a graph: LayerNorm, attention, MLP or SwiGLU.

What a trained model allows once and for all is folded into the weights, as in vit/fold.py, and what
rounding would hurt for nothing is taken out of lower precisions' reach:

    LayerNorm's affine part  goes into the linear layer after it
    LayerScale               goes into the linear layer before it
    the attention scale      goes into q
    the bias of k            is dropped: it adds the same to all logits of a query
    the bias of v            goes into proj's: attention's weights sum to one
    a bias before a sum      is added to the sum, which the runtimes keep in float32
"""

import numpy as np

from dinoseek.graph.nodes import Nodes, as_bfloat16
from dinoseek.vit.config import ViTConfig
from dinoseek.vit.ops import LAYER_NORM_EPS, Array, Params, logit_scale

_FAR = 1e30


def block(nodes: Nodes, x: str, params: Params, config: ViTConfig, *, class_only: bool) -> str:
    """Tokens x (b, n, d) after one block; with `class_only` the class token alone (b, 1, d)."""
    normed = standardised(nodes, x, config, "norm1")
    if class_only:
        x = first_token(nodes, x)
    x = attention(nodes, x, normed, params, config, class_only=class_only)
    normed = standardised(nodes, x, config, "norm2")
    return feed_forward(nodes, x, normed, params, config)


def attention(
    nodes: Nodes, x: str, normed: str, params: Params, config: ViTConfig, *, class_only: bool
) -> str:
    """Tokens x (b, n, d), or class tokens x (b, 1, d), plus attention to all the normed tokens."""
    d, gamma = config.embed_dim, params["ls1"]["gamma"]
    proj, proj_bias = params["attn"]["proj"]["weight"], params["attn"]["proj"]["bias"]
    weight, bias = after_norm(params["attn"]["qkv"], params["norm1"])  # (d, 3 d), (3 d)
    weight[:, :d] *= logit_scale(config.head_dim)
    bias[:d] *= logit_scale(config.head_dim)
    proj_bias = proj_bias + proj @ bias[2 * d :]
    bias[d:] = 0
    with nodes.within("attn"):
        if class_only:
            query = linear(nodes, first_token(nodes, normed), weight[:, :d], bias[:d], "q")
            both = linear(nodes, normed, weight[:, d:], bias[d:], "kv")  # (b, n, 2 d)
            key, value = nodes.ops("Split", [both], 2, axis=-1, num_outputs=2)
        else:
            all_three = linear(nodes, normed, weight, bias, "qkv")  # (b, n, 3 d)
            query, key, value = nodes.ops("Split", [all_three], 3, axis=-1, num_outputs=3)
        mixed = mix(nodes, query, key, value, config)
        return add_linear(nodes, x, mixed, proj.T * gamma, proj_bias * gamma, "proj")


def mix(nodes: Nodes, query: str, key: str, value: str, config: ViTConfig) -> str:
    """Attention of queries (b, q, d), already scaled, to n tokens: (b, q, d)."""
    split = nodes.constant([0, 0, config.num_heads, config.head_dim])
    query, key, value = (nodes.op("Reshape", part, split) for part in (query, key, value))
    query = nodes.op("Transpose", query, perm=[0, 2, 1, 3])  # (b, q, h, k) -> (b, h, q, k)
    key = nodes.op("Transpose", key, perm=[0, 2, 3, 1])  # (b, n, h, k) -> (b, h, k, n)
    value = nodes.op("Transpose", value, perm=[0, 2, 1, 3])  # (b, n, h, k) -> (b, h, n, k)
    weights = nodes.op("Softmax", nodes.op("MatMul", query, key), axis=-1)  # (b, h, q, n)
    mixed = nodes.op("MatMul", weights, value)  # (b, h, q, k)
    mixed = nodes.op("Transpose", mixed, perm=[0, 2, 1, 3])  # (b, h, q, k) -> (b, q, h, k)
    return nodes.op("Reshape", mixed, nodes.constant([0, 0, config.embed_dim]))


def feed_forward(nodes: Nodes, x: str, normed: str, params: Params, config: ViTConfig) -> str:
    """Tokens x (b, n, d) plus what the MLP or SwiGLU makes of the normed ones."""
    mlp, gamma = params["mlp"], params["ls2"]["gamma"]
    up, down = (mlp["w12"], mlp["w3"]) if config.swiglu else (mlp["fc1"], mlp["fc2"])
    with nodes.within("mlp"):
        hidden = linear(nodes, normed, *after_norm(up, params["norm2"]), "up")
        if config.swiglu:  # the first half is the gate
            gate, hidden = nodes.ops("Split", [hidden], 2, axis=-1, num_outputs=2)
            gate = nodes.op("Mul", gate, nodes.op("Sigmoid", gate))
            hidden = nodes.op("Mul", gate, hidden)
        else:
            hidden = nodes.op("Gelu", hidden)
        weight, bias = down["weight"].T * gamma, down["bias"] * gamma
        return add_linear(nodes, x, hidden, weight, bias, "down")


def linear(nodes: Nodes, x: str, weight: Array, bias: Array, name: str) -> str:
    """x (b, n, in) times `weight` (in, out), plus `bias`."""
    with nodes.within(name):
        y = nodes.op("MatMul", x, nodes.weight("weight", weight))
        if nodes.precision != "bfloat16" or not bias.any():
            return nodes.op("Add", y, nodes.vector("bias", bias))
        # OpenVINO rounds the bias of a bfloat16 layer. What that loses is added in float32, past a
        # limit that never bites and only keeps the two sums from being made one.
        rounded = as_bfloat16(bias).astype(np.float32)
        y = nodes.op("Add", y, nodes.vector("bias", rounded))
        y = nodes.op("Clip", y, *(nodes.constant(side, np.float32) for side in (-_FAR, _FAR)))
        return nodes.op("Add", y, nodes.vector("bias_rest", bias - rounded))


def add_linear(nodes: Nodes, x: str, y: str, weight: Array, bias: Array, name: str) -> str:
    """x (b, n, out) plus the linear layer of y (b, n, in)."""
    with nodes.within(name):
        x = nodes.op("Add", x, nodes.vector("bias", bias))
        return nodes.op("Add", x, nodes.op("MatMul", y, nodes.weight("weight", weight)))


def after_norm(layer: Params, norm: Params) -> tuple[Array, Array]:
    """Weight (in, out) and bias of a linear layer that takes in what LayerNorm has standardised."""
    weight, bias = layer["weight"], layer["bias"]  # (out, in), (out)
    return weight.T * norm["weight"][:, None], bias + weight @ norm["bias"]


def standardised(nodes: Nodes, x: str, config: ViTConfig, name: str) -> str:
    """LayerNorm without its affine part, which is folded into the next layer."""
    with nodes.within(name):
        ones = nodes.vector("ones", np.ones(config.embed_dim, np.float32))
        nodes.norms.append(nodes.op("LayerNormalization", x, ones, epsilon=LAYER_NORM_EPS))
    return nodes.norms[-1]


def layer_norm(nodes: Nodes, x: str, params: Params, name: str) -> str:
    with nodes.within(name):
        weight = nodes.vector("weight", params["weight"])
        bias = nodes.vector("bias", params["bias"])
        return nodes.op("LayerNormalization", x, weight, bias, epsilon=float(LAYER_NORM_EPS))


def first_token(nodes: Nodes, x: str) -> str:
    """The class token of x (b, n, d), as (b, 1, d)."""
    return tokens(nodes, x, 0, 1)


def tokens(nodes: Nodes, x: str, first: int, end: int) -> str:
    """Some of the tokens of x (b, n, d)."""
    axis = nodes.constant([1])
    return nodes.op("Slice", x, nodes.constant([first]), nodes.constant([end]), axis)
