"""A tiny random DINOv2 in Facebook's names, and a naive forward pass over it in float64."""

import math

import numpy as np

from dinoseek.vit.config import ViTConfig


def tiny_config(**changes):
    shape = {"embed_dim": 16, "depth": 2, "num_heads": 2, "hidden_dim": 24, "grid": 5}
    return ViTConfig(**{**shape, **changes})


def tiny_params(config, seed=0):
    rng = np.random.default_rng(seed)
    d, m, p = config.embed_dim, config.hidden_dim, config.patch_size

    def array(*shape):
        return rng.standard_normal(shape, dtype=np.float32) * np.float32(0.3)

    def linear(outputs, inputs):
        return {"weight": array(outputs, inputs), "bias": array(outputs)}

    def norm():
        return {"weight": 1 + array(d), "bias": array(d)}

    def block():
        swiglu = {"w12": linear(2 * m, d), "w3": linear(d, m)}
        mlp = {"fc1": linear(m, d), "fc2": linear(d, m)}
        return {
            "norm1": norm(),
            "attn": {"qkv": linear(3 * d, d), "proj": linear(d, d)},
            "ls1": {"gamma": array(d)},
            "norm2": norm(),
            "mlp": swiglu if config.swiglu else mlp,
            "ls2": {"gamma": array(d)},
        }

    params = {
        "cls_token": array(1, 1, d),
        "pos_embed": array(1, 1 + config.grid**2, d),
        "patch_embed": {"proj": {"weight": array(d, 3, p, p), "bias": array(d)}},
        "blocks": [block() for _ in range(config.depth)],
        "norm": norm(),
    }
    if config.num_register_tokens:
        params["register_tokens"] = array(1, config.num_register_tokens, d)
    return params


def naive_blocks(pixels, params, config):
    """Tokens of one image (3, H, W) after each block, by loops, at the native grid only."""
    p = config.patch_size
    kernel = params["patch_embed"]["proj"]
    rows, cols = pixels.shape[1] // p, pixels.shape[2] // p
    assert (rows, cols) == (config.grid, config.grid)
    tokens = [params["cls_token"][0, 0] + params["pos_embed"][0, 0]]
    if config.num_register_tokens:
        tokens += list(params["register_tokens"][0])
    for row in range(rows):
        for col in range(cols):
            patch = pixels[:, row * p : (row + 1) * p, col * p : (col + 1) * p]
            token = [(weight * patch).sum() for weight in kernel["weight"]] + kernel["bias"]
            tokens.append(token + params["pos_embed"][0, 1 + row * cols + col])
    x = np.array(tokens, np.float64)
    for block in params["blocks"]:
        x = (
            x
            + naive_attention(norm(x, block["norm1"]), block["attn"], config)
            * block["ls1"]["gamma"]
        )
        x = x + naive_mlp(norm(x, block["norm2"]), block["mlp"]) * block["ls2"]["gamma"]
        yield x


def norm(x, layer):
    mean = x.mean(axis=1, keepdims=True)
    variance = ((x - mean) ** 2).mean(axis=1, keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-6) * layer["weight"] + layer["bias"]


def linear(x, layer):
    return x @ layer["weight"].T + layer["bias"]


def naive_attention(x, layer, config):
    q, k, v = np.split(linear(x, layer["qkv"]), 3, axis=1)
    mixed = np.zeros_like(x)
    for head in range(config.num_heads):
        part = slice(head * config.head_dim, (head + 1) * config.head_dim)
        for token in range(len(x)):
            logits = k[:, part] @ q[token, part] / math.sqrt(config.head_dim)
            weights = np.exp(logits - logits.max())
            mixed[token, part] = weights / weights.sum() @ v[:, part]
    return linear(mixed, layer["proj"])


def naive_mlp(x, layer):
    if "w12" in layer:
        gate, value = np.split(linear(x, layer["w12"]), 2, axis=1)
        return linear(gate / (1 + np.exp(-gate)) * value, layer["w3"])
    hidden = linear(x, layer["fc1"])
    exact = np.vectorize(lambda t: 0.5 * t * (1 + math.erf(t / math.sqrt(2))))
    return linear(exact(hidden), layer["fc2"])
