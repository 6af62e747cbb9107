"""A transformer block as nodes of a graph: LayerNorm, attention, MLP or SwiGLU.

What rounding would hurt for nothing is taken out of lower precisions' reach: a bias before a sum is
added to the sum, which the runtimes keep in float32.
"""

import numpy as np

from dinoseek.graph.folded import FoldedLayer, FoldedLayers, folded_layers
from dinoseek.graph.nodes import Nodes, as_bfloat16
from dinoseek.vit.config import ViTConfig
from dinoseek.vit.ops import LAYER_NORM_EPS, Params

_FAR = 1e30


def block(nodes: Nodes, x: str, params: Params, config: ViTConfig, *, class_only: bool) -> str:
    """Tokens x (b, n, d) after one block; with `class_only` the class token alone (b, 1, d)."""
    layers = folded_layers(params, config)
    normed = standardised(nodes, x, config, "norm1")
    if class_only:
        x = first_token(nodes, x)
    x = attention(nodes, x, normed, layers, config, class_only=class_only)
    normed = standardised(nodes, x, config, "norm2")
    return feed_forward(nodes, x, normed, layers, config)


def attention(
    nodes: Nodes, x: str, normed: str, layers: FoldedLayers, config: ViTConfig, *, class_only: bool
) -> str:
    """Tokens x (b, n, d), or class tokens x (b, 1, d), plus attention to all the normed tokens."""
    d, (weight, bias) = config.embed_dim, layers.qkv
    with nodes.within("attn"):
        if class_only:
            own, others = FoldedLayer(weight[:, :d], bias[:d]), FoldedLayer(weight[:, d:], bias[d:])
            query = linear(nodes, first_token(nodes, normed), own, "q")
            both = linear(nodes, normed, others, "kv")  # (b, n, 2 d)
            key, value = nodes.ops("Split", [both], 2, axis=-1, num_outputs=2)
        else:
            all_three = linear(nodes, normed, layers.qkv, "qkv")  # (b, n, 3 d)
            query, key, value = nodes.ops("Split", [all_three], 3, axis=-1, num_outputs=3)
        return add_linear(nodes, x, mix(nodes, query, key, value, config), layers.proj, "proj")


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


def feed_forward(nodes: Nodes, x: str, normed: str, layers: FoldedLayers, config: ViTConfig) -> str:
    """Tokens x (b, n, d) plus what the MLP or SwiGLU makes of the normed ones."""
    with nodes.within("mlp"):
        hidden = linear(nodes, normed, layers.up, "up")
        if config.swiglu:  # the first half is the gate
            gate, hidden = nodes.ops("Split", [hidden], 2, axis=-1, num_outputs=2)
            gate = nodes.op("Mul", gate, nodes.op("Sigmoid", gate))
            hidden = nodes.op("Mul", gate, hidden)
        else:
            hidden = nodes.op("Gelu", hidden)
        return add_linear(nodes, x, hidden, layers.down, "down")


def linear(nodes: Nodes, x: str, layer: FoldedLayer, name: str) -> str:
    """A layer of x (b, n, in)."""
    with nodes.within(name):
        y, bias = nodes.product(x, layer.weight), layer.bias
        if nodes.precision != "bfloat16" or not bias.any():
            return nodes.op("Add", y, nodes.vector("bias", bias))
        # OpenVINO rounds the bias of a bfloat16 layer. What that loses is added in float32, past a
        # limit that never bites and only keeps the two sums from being made one.
        rounded = as_bfloat16(bias).astype(np.float32)
        y = nodes.op("Add", y, nodes.vector("bias", rounded))
        y = nodes.op("Clip", y, *(nodes.constant(side, np.float32) for side in (-_FAR, _FAR)))
        return nodes.op("Add", y, nodes.vector("bias_rest", bias - rounded))


def add_linear(nodes: Nodes, x: str, y: str, layer: FoldedLayer, name: str) -> str:
    """x (b, n, out) plus a layer of y (b, n, in)."""
    with nodes.within(name):
        x = nodes.op("Add", x, nodes.vector("bias", layer.bias))
        return nodes.op("Add", x, nodes.product(y, layer.weight))


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
