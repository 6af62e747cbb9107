"""Which layers compute in int8, in which steps, and what that does to their results."""

import numpy as np
import pytest

from dinoseek.graph.calibrate import calibrate, steps_of
from dinoseek.graph.steps import Steps, as_int8

from ..vit.tiny import tiny_config, tiny_params

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper  # noqa: E402

from dinoseek.graph.nodes import Nodes  # noqa: E402
from dinoseek.graph.onnx_graph import onnx_model  # noqa: E402


def run(model, **inputs):
    content = model.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run(None, inputs)


def product(x, weight, steps):
    """A graph of one layer, run by ONNX Runtime on x (n, in)."""
    nodes = Nodes("int8", {"layer": steps})
    with nodes.within("layer"):
        nodes.name(nodes.product("x", weight), "y")
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(x.shape))]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [len(x), weight.shape[1]])]
    return run(nodes.model(inputs, outputs), x=x)[0]


def by_loops(x, weight, steps):
    """The same product, number by number."""
    scaled = weight * steps.smooth[:, None]
    result = np.zeros((len(x), weight.shape[1]))
    for row, values in enumerate(x):
        for column in range(weight.shape[1]):
            step = max(abs(value) for value in scaled[:, column]) / 127
            for value, factor, smooth in zip(values, scaled[:, column], steps.smooth, strict=True):
                whole = min(max(round(value / smooth / steps.scale) + int(steps.zero), 0), 255)
                rounded = (whole - int(steps.zero)) * steps.scale
                result[row, column] += rounded * round(factor / step) * step
    return result


def test_a_layer_is_computed_in_whole_numbers():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((5, 8), dtype=np.float32)
    weight = rng.standard_normal((8, 6), dtype=np.float32)
    smooth = np.linspace(0.5, 2, 8, dtype=np.float32)
    steps = Steps(scale=np.float32(0.02), zero=np.uint8(117), smooth=smooth)  # some are cut off

    found = product(x, weight, steps)

    np.testing.assert_allclose(found, by_loops(x, weight, steps), atol=1e-4)
    assert np.abs(found - x @ weight).max() > 0.01  # it is rounded at all


def test_steps_reach_from_the_least_to_the_largest_input():
    rng = np.random.default_rng(1)
    inputs = rng.uniform(-1, 3, (400, 16)).astype(np.float32)
    weight = rng.standard_normal((16, 8), dtype=np.float32)

    steps = steps_of(inputs, weight)

    scaled = inputs / steps.smooth
    assert np.abs(steps.rounded(scaled) - scaled).max() <= steps.scale * 0.5001 + 1e-6
    assert steps.scale == pytest.approx((scaled.max() - scaled.min()) / 255, rel=1e-5)
    ends = np.float32([[scaled.min(), scaled.max(), 0]])
    np.testing.assert_allclose(steps.rounded(ends), ends, atol=float(steps.scale))
    assert steps.rounded(np.zeros(1, np.float32)) == 0


def test_a_large_channel_is_divided_and_its_weights_multiplied():
    rng = np.random.default_rng(2)
    inputs = rng.standard_normal((300, 8), dtype=np.float32)
    inputs[:, 3] *= 50
    weight = rng.standard_normal((8, 8), dtype=np.float32)
    plain = Steps(np.float32(np.ptp(inputs) / 255), np.uint8(128), np.ones(8, np.float32))

    steps = steps_of(inputs, weight)

    most = np.abs(inputs / steps.smooth).max(axis=0)
    weights = np.abs(weight * steps.smooth[:, None]).max(axis=1)
    assert np.ptp(np.log(most / weights)) < 1e-4  # alpha 0.5: as large as each other
    errors = [
        np.abs(product(inputs, weight, each) - inputs @ weight).mean() for each in (plain, steps)
    ]
    assert errors[1] < errors[0] / 2


def test_a_layer_that_would_be_too_coarse_stays():
    rng = np.random.default_rng(3)
    weight = rng.standard_normal((8, 4), dtype=np.float32)
    inputs = rng.standard_normal((300, 8), dtype=np.float32)
    assert steps_of(inputs, weight)
    unseen = np.linalg.svd(weight.T)[2][-1]  # a direction that makes no difference to the results
    inputs += 100 * rng.choice([-1, 1], (300, 1)) * unseen.astype(np.float32)

    assert steps_of(inputs, weight) is None


def test_layers_after_layer_norm_are_calibrated_but_the_last_blocks():
    config = tiny_config(depth=3)

    found = calibrate(tiny_params(config), config, pixels_of(2))

    expected = {f"blocks.{i}.{name}" for i in range(2) for name in ("attn.qkv", "mlp.up")}
    assert set(found) == expected


@pytest.mark.parametrize("shape", [{}, {"swiglu": True, "num_register_tokens": 4}])
def test_what_layers_take_in_is_what_the_graph_hands_them(shape):
    config = tiny_config(depth=3, **shape)
    params, pixels = tiny_params(config), pixels_of(3)
    model = onnx_model(params, config)
    layers = [node for node in model.graph.node if node.op_type == "MatMul"]
    inputs = {node.name.removesuffix(".MatMul"): node.input[0] for node in layers}

    found = calibrate(params, config, pixels)

    assert found
    for name, steps in found.items():
        watched = onnx.ModelProto()
        watched.CopyFrom(model)
        watched.graph.output.append(
            helper.make_tensor_value_info(inputs[name], TensorProto.FLOAT, None)
        )
        seen = run(watched, pixels=pixels)[-1].reshape(-1, config.embed_dim) / steps.smooth
        reach = max(seen.max(), 0) - min(seen.min(), 0)
        assert steps.scale == pytest.approx(reach / 255, rel=1e-3), name


def test_parameters_are_left_as_they_are():
    config = tiny_config(depth=2)
    params, untouched = tiny_params(config), tiny_params(config)

    calibrate(params, config, pixels_of(1))

    for ours, theirs in zip(params["blocks"], untouched["blocks"], strict=True):
        np.testing.assert_array_equal(
            ours["attn"]["qkv"]["weight"], theirs["attn"]["qkv"]["weight"]
        )


def test_weights_use_all_of_their_steps_for_each_output():
    weight = np.float32([[1, 0, -0.01], [-0.5, 0, 0.004]])

    whole, scales = as_int8(weight)

    np.testing.assert_array_equal(whole, [[127, 0, -127], [-64, 0, 51]])
    np.testing.assert_allclose(whole * scales, weight, atol=0.5 / 127)


def pixels_of(images):
    return np.random.default_rng(5).standard_normal((images, 3, 70, 84), dtype=np.float32)
