"""How many floating-point operations a forward pass is, by the shape of the model alone."""

from dinoseek.vit.config import ViTConfig

Size = tuple[int, int]  # (height, width) in pixels


def flops_per_image(config: ViTConfig, size: Size) -> int:
    """The operations of all matrix products of one image (height, width), a multiply-add as two.

    Counts patch embedding, q, k and v, scores, weighted sums, projection and MLP or SwiGLU, of all
    tokens and blocks: also what an engine leaves out because a class token does not need it.
    """
    patches = (size[0] // config.patch_size) * (size[1] // config.patch_size)
    tokens = patches + 1 + config.num_register_tokens
    embed = patches * 3 * config.patch_size**2 * config.embed_dim
    return 2 * (embed + config.depth * _block(config, tokens))


def _block(config: ViTConfig, n: int) -> int:
    """The multiply-adds of one block on n tokens."""
    d, m = config.embed_dim, config.hidden_dim
    attention = n * d * 3 * d + 2 * n * n * d + n * d * d
    return attention + (3 if config.swiglu else 2) * n * d * m
