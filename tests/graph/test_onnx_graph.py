"""The graph in ONNX Runtime and OpenVINO, against transformers' outputs and the NumPy engine."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dinoseek.images.preprocess import to_pixels
from dinoseek.vit.model import Tokens, forward
from dinoseek.vit.pos_embed import resample
from dinoseek.weights.load import load_params
from dinoseek.weights.naming import flatten

from ..vit.tiny import tiny_config, tiny_params

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
openvino = pytest.importorskip("openvino")

from dinoseek.graph.model_file import save_model  # noqa: E402
from dinoseek.graph.nodes import Nodes  # noqa: E402
from dinoseek.graph.onnx_graph import onnx_model  # noqa: E402
from dinoseek.graph.positions import resampled  # noqa: E402

GOLDEN = sorted((Path(__file__).parents[1] / "golden").glob("hf-*.npz"))
FORMAT = 1
MODELS = [
    pytest.param({"num_register_tokens": registers, "swiglu": swiglu}, id=f"{registers}-{swiglu}")
    for registers in (0, 4)
    for swiglu in (False, True)
]


def pixels_of(b, height=70, width=70, seed=1):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((b, 3, height, width), dtype=np.float32)


def onnx_runtime(model):
    """The model as a function from an input to its outputs by name."""
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    (given,) = session.get_inputs()
    return lambda x: dict(zip(names, session.run(None, {given.name: x}), strict=True))


def open_vino(model):
    core = openvino.Core()
    graph = core.read_model(model.SerializeToString())
    compiled = core.compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    names = [output.name for output in model.graph.output]
    return lambda x: dict(zip(names, compiled(x).values(), strict=True))


RUNTIMES = [onnx_runtime, open_vino]
each_runtime = pytest.mark.parametrize("runtime", RUNTIMES)


def assert_tokens(found, expected, atol=3e-5):
    for kind in ("cls", "registers", "patches"):
        tokens = getattr(expected, kind)
        assert (kind in found) == (tokens.size > 0)
        if tokens.size:
            np.testing.assert_allclose(found[kind], tokens, atol=atol, err_msg=kind)


@each_runtime
@pytest.mark.parametrize("shape", MODELS)
def test_one_graph_serves_every_batch_height_and_width(shape, runtime):
    config = tiny_config(**shape)
    params = tiny_params(config)
    model = onnx_model(params, config)
    onnx.checker.check_model(model, full_check=True)
    run = runtime(model)

    for b, height, width in [(1, 70, 70), (3, 42, 98), (2, 14, 140)]:
        pixels = pixels_of(b, height, width)
        assert_tokens(run(pixels), forward(pixels, params, config))


@each_runtime
@pytest.mark.parametrize("size", [(70, 70), (42, 98)])
def test_a_fixed_size_leaves_only_the_batch_free(size, runtime):
    config = tiny_config(num_register_tokens=4)
    params = tiny_params(config)
    model = onnx_model(params, config, size=size)
    run = runtime(model)

    for b in (1, 3):
        pixels = pixels_of(b, *size)
        assert_tokens(run(pixels), forward(pixels, params, config))
    with pytest.raises(Exception, match=r"shape|dimension"):
        run(pixels_of(1, 56, 56))


@each_runtime
@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_tokens_are_those_of_transformers(path, runtime, tmp_path):
    with np.load(path) as arrays:
        golden = dict(arrays)
    about = json.loads(str(golden["about"]))
    assert about["format"] == FORMAT, "stale: run tools/make_golden.py again"
    (tmp_path / "config.json").write_text(json.dumps(about["config"]))
    state = {name[5:]: value for name, value in golden.items() if name.startswith("file.")}
    np.savez(tmp_path / "model.npz", **state)
    params, config = load_params(tmp_path / "model.npz")
    run = runtime(onnx_model(params, replace(config, pos_flavour="hf")))

    for size in ("70x70", "42x98"):
        found = run(golden[f"{size}.pixels"].astype(np.float32))
        r = config.num_register_tokens
        expected = Tokens(*np.split(golden[f"{size}.tokens"], [1, 1 + r], axis=1))
        assert_tokens(found, expected._replace(cls=expected.cls[:, 0]), atol=5e-5)


@each_runtime
@pytest.mark.parametrize("flavour", ["hub", "hf", "timm"])
@pytest.mark.parametrize("registers", [0, 4])
def test_positions_computed_in_the_graph_are_those_of_the_engine(registers, flavour, runtime):
    config = tiny_config(grid=37, num_register_tokens=registers, pos_flavour=flavour)
    patches = np.random.default_rng(0).standard_normal((37 * 37, 4), dtype=np.float32)
    nodes = Nodes()
    rows, cols = nodes.ops("Split", ["sides"], 2, axis=0, num_outputs=2)
    nodes.name(resampled(nodes, patches, rows, cols, config), "positions")
    info = onnx.helper.make_tensor_value_info
    given = info("sides", onnx.TensorProto.INT64, [2])
    run = runtime(nodes.model([given], [info("positions", onnx.TensorProto.FLOAT, [1, "n", 4])]))

    for grid in [(37, 37), (16, 16), (1, 2), (46, 37), (16, 73)]:
        expected = resample(patches, *grid, config)[None]
        found = run(np.array(grid))["positions"]
        np.testing.assert_allclose(found, expected, atol=3e-5, err_msg=str(grid))


@each_runtime
def test_an_image_of_bytes_is_normalised_inside(runtime):
    config = tiny_config()
    params = tiny_params(config)
    image = np.random.default_rng(0).integers(0, 256, (2, 42, 70, 3), np.uint8)
    model = onnx_model(params, config, normalize=True)

    found = runtime(model)(image)

    assert_tokens(found, forward(to_pixels(list(image)), params, config))


@each_runtime
@pytest.mark.parametrize("shape", MODELS)
def test_a_graph_of_class_tokens_gives_nothing_else(shape, runtime):
    config = tiny_config(**shape)
    params, pixels = tiny_params(config), pixels_of(3)
    model = onnx_model(params, config, class_only=True, unit_length=True)

    found = runtime(model)(pixels)

    cls = forward(pixels, params, config).cls
    assert set(found) == {"cls", "embedding"}
    np.testing.assert_allclose(found["cls"], cls, atol=2e-5)
    lengths = np.linalg.norm(cls, axis=1, keepdims=True)
    np.testing.assert_allclose(found["embedding"], cls / lengths, atol=2e-5)


def test_parameters_are_left_as_they_are():
    config = tiny_config(swiglu=True)
    params, untouched = tiny_params(config), tiny_params(config)

    onnx_model(params, config)

    for name, values in flatten(untouched).items():
        np.testing.assert_array_equal(flatten(params)[name], values, err_msg=name)


@each_runtime
@pytest.mark.parametrize(("precision", "least"), [("bfloat16", 0.999), ("float16", 0.9999)])
def test_weights_of_half_the_size_change_tokens_a_little(precision, least, runtime):
    config = tiny_config(embed_dim=64, hidden_dim=256)
    params, pixels = tiny_params(config), pixels_of(2)
    model = onnx_model(params, config, precision=precision)
    whole = onnx_model(params, config)

    found, expected = runtime(model)(pixels)["cls"], forward(pixels, params, config).cls

    cosines = (found * expected).sum(1) / (norms(found) * norms(expected))
    assert least < cosines.min() < 1
    assert found.dtype == np.float32
    assert len(model.SerializeToString()) < 0.65 * len(whole.SerializeToString())


def norms(vectors):
    return np.linalg.norm(vectors, axis=1)


def test_bfloat16_is_rounded_to_the_nearest():
    config = tiny_config()
    params = tiny_params(config)
    model = onnx_model(params, config, precision="bfloat16")
    (weight,) = [t for t in model.graph.initializer if t.name == "blocks.0.mlp.up.weight"]
    stored = onnx.numpy_helper.to_array(weight).astype(np.float32)

    exact = (
        params["blocks"][0]["mlp"]["fc1"]["weight"].T
        * params["blocks"][0]["norm2"]["weight"][:, None]
    )
    assert np.abs(stored / exact - 1).max() <= 2**-8


def optimised_by_onnx_runtime(model, path):
    """How many nodes of each kind ONNX Runtime runs."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(path)
    options.log_severity_level = 3  # it warns that such a file is of this machine
    onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return Counter(node.op_type for node in onnx.load(path).graph.node)


def test_onnx_runtime_fuses_layer_norm_and_gelu(tmp_path):
    config = tiny_config(num_register_tokens=4)
    model = onnx_model(tiny_params(config), config)

    kinds = optimised_by_onnx_runtime(model, tmp_path / "optimised.onnx")

    assert kinds["LayerNormalization"] + kinds["SkipLayerNormalization"] == 2 * config.depth + 1
    assert kinds["BiasGelu"] == config.depth
    assert not kinds["Erf"]
    assert not kinds["Gelu"]


def test_openvino_fuses_attention_and_gelu_and_layer_norm():
    config = tiny_config(embed_dim=64, hidden_dim=256)  # narrower heads are not worth it to it
    core = openvino.Core()
    graph = core.read_model(onnx_model(tiny_params(config), config).SerializeToString())
    compiled = core.compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    layers = [
        (info["layerType"].astype(str), info["originalLayersNames"].astype(str))
        for info in (op.get_rt_info() for op in compiled.get_runtime_model().get_ops())
    ]

    kinds = Counter(kind for kind, _ in layers)
    assert kinds["MVN"] == 2 * config.depth + 1  # its name for LayerNorm
    assert not kinds["Softmax"]
    for index in range(config.depth):
        assert ("FullyConnected", f"blocks.{index}.mlp.up.Add,blocks.{index}.mlp.Gelu") in layers
        (attention,) = [name for _, name in layers if f"blocks.{index}.attn.Softmax" in name]
        assert attention.count("MatMul") == 2


def test_a_saved_model_has_its_metadata_inside(tmp_path):
    config = tiny_config()
    model = onnx_model(tiny_params(config), config)

    written = save_model(model, tmp_path / "tiny.onnx", {"model": "tiny", "licence": "none"})

    session = onnxruntime.InferenceSession(
        tmp_path / "tiny.onnx", providers=["CPUExecutionProvider"]
    )
    assert written == [tmp_path / "tiny.onnx"]
    assert session.get_modelmeta().custom_metadata_map == {"model": "tiny", "licence": "none"}


def test_a_model_too_large_for_one_file_has_its_weights_beside_it(tmp_path, monkeypatch):
    monkeypatch.setattr("dinoseek.graph.model_file.LARGEST", 1000)
    config = tiny_config(embed_dim=64, hidden_dim=256)
    params, pixels = tiny_params(config), pixels_of(1)
    (tmp_path / "tiny.onnx.data").write_bytes(b"of an earlier run")

    written = save_model(onnx_model(params, config), tmp_path / "tiny.onnx", {"model": "tiny"})

    assert written == [tmp_path / "tiny.onnx", tmp_path / "tiny.onnx.data"]
    sizes = [path.stat().st_size for path in written]
    assert sizes[0] < 100_000 < sizes[1]
    session = onnxruntime.InferenceSession(
        tmp_path / "tiny.onnx", providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    found = dict(zip(names, session.run(None, {"pixels": pixels}), strict=True))
    assert_tokens(found, forward(pixels, params, config), atol=1e-4)
