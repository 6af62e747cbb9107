"""DINOv2 forward as a course's NumPy code does it: one image, one patch and one layer at a time.

Written from descriptions of such code, as the baseline of bench/peers.py: a Python loop over
patches, tanh GELU, (out, in) weights used as they are, separate q, k and v, new arrays everywhere.
With `pixels` in float64, as Python-float means and standard deviations make them, all of it runs in
float64.
"""

import statistics
import sys
import time

import numpy as np


def forward(pixels, params, config):
    """One image (1, 3, H, W) to its class token (1, d)."""
    p = config.patch_size
    kernel = params["patch_embed"]["proj"]
    weight = kernel["weight"].reshape(config.embed_dim, -1)
    rows, cols = pixels.shape[2] // p, pixels.shape[3] // p
    patches = []
    for row in range(rows):
        for col in range(cols):
            patch = pixels[0, :, row * p : (row + 1) * p, col * p : (col + 1) * p].reshape(-1)
            patches.append(weight @ patch + kernel["bias"])
    x = np.concatenate([params["cls_token"][0], np.stack(patches)]) + positions(params, rows, cols)
    for block in params["blocks"]:
        x = x + block["ls1"]["gamma"] * attention(norm(x, block["norm1"]), block["attn"], config)
        hidden = gelu(linear(norm(x, block["norm2"]), block["mlp"]["fc1"]))
        x = x + block["ls2"]["gamma"] * linear(hidden, block["mlp"]["fc2"])
    return norm(x, params["norm"])[:1]


def positions(params, rows, cols):
    """Nearest neighbours: the quality of the interpolation does not matter to the time."""
    cls, grid = params["pos_embed"][0, :1], params["pos_embed"][0, 1:]
    side = round(len(grid) ** 0.5)
    index = [(r * side // rows) * side + c * side // cols for r in range(rows) for c in range(cols)]
    return np.concatenate([cls, grid[index]])


def linear(x, layer):
    return x @ layer["weight"].T + layer["bias"]


def norm(x, layer):
    mean, var = x.mean(axis=-1, keepdims=True), x.var(axis=-1, keepdims=True)
    return (x - mean) / np.sqrt(var + 1e-6) * layer["weight"] + layer["bias"]


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def attention(x, layer, config):
    n, d = x.shape
    thirds = np.split(layer["qkv"]["weight"], 3), np.split(layer["qkv"]["bias"], 3)
    q, k, v = (
        (x @ weight.T + bias).reshape(n, config.num_heads, -1).transpose(1, 0, 2)
        for weight, bias in zip(*thirds, strict=True)
    )
    scores = q @ k.transpose(0, 2, 1) / np.sqrt(config.head_dim)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights = weights / weights.sum(axis=-1, keepdims=True)
    return linear((weights @ v).transpose(1, 0, 2).reshape(n, d), layer["proj"])


def main():
    """Prints the median milliseconds an image, on as many threads as the environment allows."""
    from dinoseek.weights.load import load_params

    params, config = load_params(sys.argv[1])
    # In float64, as means and standard deviations of Python floats make it.
    pixels = np.random.default_rng(0).standard_normal((1, 3, 224, 224))
    forward(pixels, params, config)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        forward(pixels, params, config)
        times.append((time.perf_counter() - start) * 1e3)
    print(statistics.median(times))


if __name__ == "__main__":
    main()
