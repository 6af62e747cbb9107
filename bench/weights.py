"""Random parameters of a model's shape, for measuring what does not depend on their values."""

import numpy as np


def random_params(config, seed=0):
    """Parameters in Facebook's names, of the magnitude that keeps activations ordinary."""
    rng = np.random.default_rng(seed)
    d, m, p = config.embed_dim, config.hidden_dim, config.patch_size

    def array(*shape):
        return rng.standard_normal(shape, dtype=np.float32) * np.float32(0.02)

    def linear(outputs, inputs):
        return {"weight": array(outputs, inputs), "bias": array(outputs)}

    def norm():
        return {"weight": 1 + array(d), "bias": array(d)}

    def mlp():
        if config.swiglu:
            return {"w12": linear(2 * m, d), "w3": linear(d, m)}
        return {"fc1": linear(m, d), "fc2": linear(d, m)}

    def block():
        return {
            "norm1": norm(),
            "attn": {"qkv": linear(3 * d, d), "proj": linear(d, d)},
            "ls1": {"gamma": 1 + array(d)},
            "norm2": norm(),
            "mlp": mlp(),
            "ls2": {"gamma": 1 + array(d)},
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
