"""DINOv2 as an ONNX model: what comes in, what goes out, and the blocks between."""

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper

from dinoseek.graph.blocks import block, first_token, layer_norm, tokens
from dinoseek.graph.nodes import Nodes, Precision
from dinoseek.graph.positions import resampled
from dinoseek.graph.steps import Calibration
from dinoseek.images.preprocess import MEAN, STD
from dinoseek.vit.config import ViTConfig
from dinoseek.vit.ops import Params
from dinoseek.vit.pos_embed import resample

FLOAT = TensorProto.FLOAT
_END = 2**31 - 1  # past any token


def onnx_model(
    params: Params,
    config: ViTConfig,
    *,
    size: tuple[int, int] | None = None,
    precision: Precision = "float32",
    calibration: Calibration | None = None,
    normalize: bool = False,
    unit_length: bool = False,
    class_only: bool = False,
    for_engine: bool = False,
) -> onnx.ModelProto:
    """A model of `params` (Facebook's names, see weights/load.py) that any ONNX runtime can run.

    In: `pixels` (b, 3, H, W), normalised; with `normalize` instead `image` (b, H, W, 3) of uint8.
    Out, in float32: `cls` (b, d), `registers` (b, r, d) if there are any, `patches` (b, n, d); with
    `unit_length` also `embedding` (b, d), the class token at length one. With `class_only` neither
    registers nor patches, nor what only they need.

    `size` (H, W) fixes height and width; without it all three of b, H and W are free, H and W in
    multiples of the patch size. A graph `for_engine` takes `positions` (1, n, d), as
    vit/pos_embed.py gives them, and does not compute them; in bfloat16 its last output, `norms`,
    is of no use to anyone but the runtime. In int8 the layers that `calibration` names are
    computed in it.
    """
    nodes = Nodes(precision, calibration)
    pixels = _normalised(nodes) if normalize else "pixels"
    with nodes.within("positions"):
        positions = "positions"
        if not for_engine:
            positions = _positions(nodes, pixels, params, config, size)
    x = _embedded(nodes, pixels, nodes.computed(positions), params, config)
    for index, weights in enumerate(params["blocks"]):
        last = index == config.depth - 1
        with nodes.within(f"blocks.{index}"):
            x = block(nodes, x, weights, config, class_only=class_only and last)
    x = layer_norm(nodes, x, params["norm"], "norm")
    outputs = _cut(nodes, x, config, unit_length=unit_length, class_only=class_only)
    inputs = [_input(size, normalize)]
    if for_engine and precision == "bfloat16":
        outputs.append(_norms(nodes))
    if for_engine:
        wanted: Sequence[int | str] = [1, "patches", config.embed_dim]
        inputs.append(helper.make_tensor_value_info("positions", FLOAT, wanted))
    return nodes.model(inputs, outputs)


def _input(size: tuple[int, int] | None, normalize: bool) -> onnx.ValueInfoProto:
    height, width = size or ("height", "width")
    if normalize:
        kind, shape = TensorProto.UINT8, ["batch", height, width, 3]
        return helper.make_tensor_value_info("image", kind, shape)
    return helper.make_tensor_value_info("pixels", FLOAT, ["batch", 3, height, width])


def _normalised(nodes: Nodes) -> str:
    """The input `image` as pixels (b, 3, H, W)."""
    mean, std = np.array(MEAN, np.float32), np.array(STD, np.float32)
    x = nodes.op("Cast", "image", to=FLOAT)
    x = nodes.op("Sub", x, nodes.constant(255 * mean, np.float32))
    x = nodes.op("Div", x, nodes.constant(255 * std, np.float32))
    return nodes.op("Transpose", x, perm=[0, 3, 1, 2])  # (b, H, W, 3) -> (b, 3, H, W)


def _embedded(nodes: Nodes, pixels: str, positions: str, params: Params, config: ViTConfig) -> str:
    """Pixels (b, 3, H, W) to tokens with positions (b, 1 + r + n, d): cls, registers, patches."""
    kernel, p = params["patch_embed"]["proj"], config.patch_size
    with nodes.within("patch_embed"):
        x = nodes.op(
            "Conv",
            nodes.computed(pixels),
            nodes.weight("weight", kernel["weight"]),
            nodes.vector("bias", kernel["bias"]),
            kernel_shape=[p, p],
            strides=[p, p],
        )  # (b, d, rows, cols)
    x = nodes.op("Reshape", x, nodes.constant([0, config.embed_dim, -1]))  # (b, d, n)
    x = nodes.op("Transpose", x, perm=[0, 2, 1])  # (b, d, n) -> (b, n, d)
    x = nodes.op("Add", x, positions)
    return nodes.op("Concat", _prefix(nodes, pixels, params), x, axis=1)


def _prefix(nodes: Nodes, pixels: str, params: Params) -> str:
    """For each image the class token with its position, then registers, which have none."""
    parts = [params["cls_token"] + params["pos_embed"][:, :1]]
    if "register_tokens" in params:
        parts.append(params["register_tokens"])
    prefix = nodes.vector("prefix", np.concatenate(parts, axis=1))  # (1, 1 + r, d)
    batch = nodes.op("Shape", pixels, start=0, end=1)
    return nodes.op("Expand", prefix, nodes.op("Concat", batch, nodes.constant([1, 1]), axis=0))


def _positions(
    nodes: Nodes, pixels: str, params: Params, config: ViTConfig, size: tuple[int, int] | None
) -> str:
    """Position embeddings (1, n, d): numbers where the size is fixed, else computed from it."""
    patches = params["pos_embed"][0, 1:]
    if size:
        rows, cols = (side // config.patch_size for side in size)
        return nodes.exact("patches", resample(patches, rows, cols, config)[None])
    patch = nodes.constant([config.patch_size])
    down = nodes.op("Div", nodes.op("Shape", pixels, start=2, end=3), patch)
    across = nodes.op("Div", nodes.op("Shape", pixels, start=3, end=4), patch)
    return resampled(nodes, patches, down, across, config)


def _cut(
    nodes: Nodes, x: str, config: ViTConfig, *, unit_length: bool, class_only: bool
) -> list[onnx.ValueInfoProto]:
    """Names what the graph gives: parts of the normed tokens x (b, 1 + r + n, d)."""
    d, r = config.embed_dim, config.num_register_tokens
    cls = nodes.op("Reshape", first_token(nodes, x), nodes.constant([-1, d]))  # (b, 1, d) -> (b, d)
    found = [_output(nodes, cls, "cls", ["batch", d])]
    if r and not class_only:
        found.append(_output(nodes, tokens(nodes, x, 1, 1 + r), "registers", ["batch", r, d]))
    if not class_only:
        patches = tokens(nodes, x, 1 + r, _END)
        found.append(_output(nodes, patches, "patches", ["batch", "patches", d]))
    if unit_length:
        length = nodes.op("ReduceL2", "cls", nodes.constant([1]))  # (b, d) -> (b, 1)
        found.append(_output(nodes, nodes.op("Div", "cls", length), "embedding", ["batch", d]))
    return found


def _norms(nodes: Nodes) -> onnx.ValueInfoProto:
    """A number of each LayerNorm (b, norms, 1), to keep OpenVINO from rounding their inputs.

    Asked for bfloat16, it leaves in float32 what reaches an output without another matrix product.
    """
    zeros, ones, axes = (nodes.constant(values) for values in ([0, 0], [1, 1], [1, 2]))
    some = [nodes.op("Slice", norm, zeros, ones, axes) for norm in nodes.norms]
    joined = nodes.op("Concat", *some, axis=1)
    return _output(nodes, joined, "norms", ["batch", len(some), 1])


def _output(nodes: Nodes, value: str, name: str, shape: Sequence[int | str]) -> onnx.ValueInfoProto:
    nodes.name(value, name)
    return helper.make_tensor_value_info(name, FLOAT, shape)
