"""DINOv2's Vision Transformer, forward pass only: parameters in, tokens out.

`params` is a nested dict of arrays under the names in Facebook's checkpoints
(`params["blocks"][0]["attn"]["qkv"]["weight"]`). The work is done on the folded form of it
(fold.py), in buffers that a `Workspace` keeps from one call to the next.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple, get_args

from dinoseek.vit import ops
from dinoseek.vit.check import check_pixels
from dinoseek.vit.config import ViTConfig
from dinoseek.vit.fold import FoldedBlock, FoldedParams, fold
from dinoseek.vit.ops import Array, Params
from dinoseek.vit.pos_embed import resample
from dinoseek.vit.workspace import Workspace

Facet = Literal["query", "key", "value"]
Tap = Callable[
    [int, Array, Array], None
]  # (block index, its output x (b n, d), its qkv (3, b n, d))


class Tokens(NamedTuple):
    """Final, normalised tokens of a batch."""

    cls: Array  # (b, d)
    registers: Array  # (b, r, d)
    patches: Array  # (b, n, d), row-major over the patch grid


def forward(
    pixels: Array,
    params: Params | FoldedParams,
    config: ViTConfig,
    workspace: Workspace | None = None,
) -> Tokens:
    """Turns normalised pixels (b, 3, H, W) into tokens; H and W are multiples of the patch size.

    Raises UsageError for a wrong shape, NaN, or more patches than the cap (vit/check.py).
    """
    folded = params if isinstance(params, FoldedParams) else fold(params, config)
    space = workspace or Workspace(config)
    pixels = check_pixels(pixels, config)
    x = run(pixels, folded, config, space)
    return finish(x, len(pixels), folded, config)


def class_tokens(
    pixels: Array,
    params: Params | FoldedParams,
    config: ViTConfig,
    workspace: Workspace | None = None,
) -> Array:
    """The class tokens (b, d) of `forward` alone, without what only the others need.

    That is most of the last block: a twelfth of a small model's work. Raises as `forward` does.
    """
    folded = params if isinstance(params, FoldedParams) else fold(params, config)
    space = workspace or Workspace(config)
    pixels = check_pixels(pixels, config)
    *blocks, last = folded.blocks
    x = run(pixels, replace(folded, blocks=tuple(blocks)), config, space)
    cls = attend_from_class(x, last, config, space)
    feed_forward(cls, last, config, space)
    return ops.layer_norm(cls, folded.norm_weight, folded.norm_bias)


def intermediate_layers(
    pixels: Array,
    params: Params | FoldedParams,
    config: ViTConfig,
    layers: int | Sequence[int] = 1,
    *,
    norm: bool = True,
) -> list[Tokens]:
    """Tokens after the last `layers` blocks, or after those with the given indices.

    As Facebook's `get_intermediate_layers`: each passes through the model's final norm unless
    `norm` is off.
    """
    folded = params if isinstance(params, FoldedParams) else fold(params, config)
    wanted = block_indices(layers, config.depth)
    kept: dict[int, Array] = {}

    def keep(index: int, x: Array, _: Array) -> None:
        if index in wanted:
            kept[index] = x.copy()

    pixels = check_pixels(pixels, config)
    run(pixels, folded, config, Workspace(config), keep)
    return [finish(kept[i], len(pixels), folded, config, norm=norm) for i in wanted]


def facet(
    pixels: Array,
    params: Params | FoldedParams,
    config: ViTConfig,
    *,
    block: int,
    kind: Facet = "value",
) -> Tokens:
    """The query, key or value of each token in one block, heads side by side (AnyLoc)."""
    return forward_with_facet(pixels, params, config, block=block, kind=kind)[1]


def forward_with_facet(
    pixels: Array,
    params: Params | FoldedParams,
    config: ViTConfig,
    workspace: Workspace | None = None,
    *,
    block: int,
    kind: Facet = "value",
) -> tuple[Tokens, Tokens]:
    """What `forward` and `facet` give, in one pass."""
    if kind not in get_args(Facet):
        raise ValueError(f"kind is {kind!r}, expected query, key or value")
    folded = params if isinstance(params, FoldedParams) else fold(params, config)
    (wanted,) = block_indices([block], config.depth)
    third = get_args(Facet).index(kind)
    kept: list[Array] = []

    def keep(index: int, _: Array, qkv: Array) -> None:
        if index == wanted:
            kept.append(qkv[third].copy())

    pixels = check_pixels(pixels, config)
    x = run(pixels, folded, config, workspace or Workspace(config), keep)
    if kind == "query":  # the engine's queries carry the attention scale
        kept[0] /= ops.logit_scale(config.head_dim)
    return finish(x, len(pixels), folded, config), split(kept[0], len(pixels), config)


def run(
    pixels: Array, folded: FoldedParams, config: ViTConfig, space: Workspace, tap: Tap | None = None
) -> Array:
    """Runs all blocks: the residual stream (b n, d), in the workspace's memory."""
    buffers = space.buffers(pixels.shape)
    x = embed(pixels, folded, config, space)
    for index, block in enumerate(folded.blocks):
        attend(x, block, config, space)
        feed_forward(x, block, config, space)
        if tap:
            tap(index, x, buffers.qkv)
    return x


def embed(pixels: Array, folded: FoldedParams, config: ViTConfig, space: Workspace) -> Array:
    """Pixels (b, 3, H, W) to tokens with positions (b n, d): cls, registers, patches."""
    buffers = space.buffers(pixels.shape)
    rows, cols = (side // config.patch_size for side in pixels.shape[2:])
    positions = space.cached(
        ("positions", rows, cols), lambda: resample(folded.positions, rows, cols, config)
    )
    tokens = buffers.x.reshape(len(pixels), -1, config.embed_dim)  # (b, 1 + r + n, d)
    prefix = len(folded.prefix)
    for image, image_tokens in zip(pixels, tokens, strict=True):
        ops.patchify(image, config.patch_size, buffers.patches[:, :-1])
        image_tokens[:prefix] = folded.prefix
        ops.linear(buffers.patches, folded.patch_embed, out=image_tokens[prefix:])
        image_tokens[prefix:] += positions
    return buffers.x


def attend(x: Array, block: FoldedBlock, config: ViTConfig, space: Workspace) -> None:
    """x (b n, d) += attention(norm(x)), each image among its own tokens."""
    buffers = space.current
    normed = buffers.normed[:, :-1]
    ops.standardise(x, out=normed)
    ops.linear(buffers.normed, block.qkv, out=buffers.qkv)
    n = buffers.tokens_per_image
    for first in range(0, len(x), n):
        image = slice(first, first + n)
        query, key, value = buffers.qkv[:, image]
        ops.attention(query, key, value, config.num_heads, buffers.scores, out=normed[image])
    x += ops.linear(buffers.normed, block.proj, out=buffers.update)


def attend_from_class(x: Array, block: FoldedBlock, config: ViTConfig, space: Workspace) -> Array:
    """What `attend` makes of the class token of each image in x (b n, d): (b, d)."""
    buffers = space.current
    n = buffers.tokens_per_image
    ops.standardise(x, out=buffers.normed[:, :-1])
    keys, values = ops.linear(buffers.normed, block.qkv[1:], out=buffers.qkv[1:])
    normed = buffers.normed[::n].copy()  # (b n, d + 1) -> (b, d + 1), with the constant one
    queries = normed @ block.qkv[0]
    for i, query in enumerate(queries[:, None]):  # (b, d) -> b x (1, d)
        image, out = slice(i * n, (i + 1) * n), normed[i : i + 1, :-1]
        ops.attention(query, keys[image], values[image], config.num_heads, buffers.scores, out)
    return x[::n] + normed @ block.proj


def feed_forward(x: Array, block: FoldedBlock, config: ViTConfig, space: Workspace) -> None:
    """x (rows, d) += mlp(norm(x)), for all tokens of the batch or some."""
    buffers, rows = space.current, len(x)
    normed, hidden = buffers.normed[:rows], buffers.hidden[:rows]
    ops.standardise(x, out=normed[:, :-1])
    if config.swiglu:
        both = ops.linear(normed, block.up, out=buffers.both[:rows])
        ops.swiglu(both, buffers.scratch, out=hidden)
    else:
        ops.gelu(ops.linear(normed, block.up, out=hidden), buffers.scratch)
    x += ops.linear(hidden, block.down, out=buffers.update[:rows])
    x += block.down_bias


def finish(
    x: Array, images: int, folded: FoldedParams, config: ViTConfig, *, norm: bool = True
) -> Tokens:
    """The residual stream (b n, d) as tokens, through the final norm."""
    if norm:
        x = ops.layer_norm(x, folded.norm_weight, folded.norm_bias)
    return split(x, images, config)


def split(x: Array, images: int, config: ViTConfig) -> Tokens:
    tokens = x.reshape(images, -1, config.embed_dim).copy()  # (b n, d) -> (b, 1 + r + n, d)
    first_patch = 1 + config.num_register_tokens
    return Tokens(
        cls=tokens[:, 0], registers=tokens[:, 1:first_patch], patches=tokens[:, first_patch:]
    )


def block_indices(layers: int | Sequence[int], depth: int) -> list[int]:
    """The last `layers` blocks, or the given ones with negative indices counted from the end."""
    indices = range(-layers, 0) if isinstance(layers, int) else layers
    wanted = [index + depth if index < 0 else index for index in indices]
    if not wanted or not all(0 <= index < depth for index in wanted):
        raise ValueError(f"layers is {layers!r}, but the model has blocks 0 to {depth - 1}")
    return wanted
