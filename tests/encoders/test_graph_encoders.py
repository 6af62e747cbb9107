"""The engines of ONNX Runtime and OpenVINO against the NumPy engine and the official code."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from dinoseek.encoders.numpy_encoder import NumpyEncoder
from dinoseek.errors import UsageError
from dinoseek.export.retrieval import retrieval_of
from dinoseek.images.decode import load_image
from dinoseek.images.preprocess import find_preset, to_pixels
from dinoseek.vit.model import forward
from dinoseek.weights.load import load_params

from ..vit.tiny import tiny_config, tiny_params

pytest.importorskip("onnx")
calibration = pytest.importorskip("dinoseek.encoders.calibration", exc_type=ImportError)
onnx_encoder = pytest.importorskip("dinoseek.encoders.onnx_encoder", exc_type=ImportError)
openvino_encoder = pytest.importorskip("dinoseek.encoders.openvino_encoder", exc_type=ImportError)

ENCODERS = [onnx_encoder.OnnxEncoder, openvino_encoder.OpenvinoEncoder]
each_encoder = pytest.mark.parametrize("make", ENCODERS, ids=["onnx", "openvino"])
PHOTOS = 8


def pixels_of(b, height=70, width=70, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((b, 3, height, width), dtype=np.float32)


@each_encoder
@pytest.mark.parametrize("swiglu", [False, True])
@pytest.mark.parametrize("registers", [0, 4])
def test_tokens_are_those_of_the_numpy_engine(make, registers, swiglu):
    config = tiny_config(num_register_tokens=registers, swiglu=swiglu)
    encoder = make(tiny_params(config), config, threads=1)

    for b, height, width in [(1, 70, 70), (3, 42, 98), (2, 126, 14)]:
        pixels = pixels_of(b, height, width)
        expected = forward(pixels, tiny_params(config), config)
        for found, tokens in zip(encoder(pixels), expected, strict=True):
            assert found.dtype == np.float32
            np.testing.assert_allclose(found, tokens, atol=3e-5)
        np.testing.assert_allclose(encoder.class_tokens(pixels), expected.cls, atol=3e-5)


@each_encoder
def test_callers_at_the_same_time_get_their_own_results(make):
    config = tiny_config(num_register_tokens=2)
    encoder = make(tiny_params(config), config, threads=2)
    batches = [pixels_of(1 + seed % 3, 42, 28 * (1 + seed % 2), seed) for seed in range(24)]
    expected = [forward(batch, tiny_params(config), config) for batch in batches]

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(encoder, batches))
        classes = list(pool.map(encoder.class_tokens, batches))

    for ours, alone, theirs in zip(found, classes, expected, strict=True):
        np.testing.assert_allclose(ours.patches, theirs.patches, atol=3e-5)
        np.testing.assert_allclose(alone, theirs.cls, atol=3e-5)


@each_encoder
def test_results_are_not_overwritten_by_the_next_call(make):
    config = tiny_config()
    encoder = make(tiny_params(config), config, threads=1)
    first = encoder(pixels_of(2))
    kept = first.patches.copy()

    encoder(pixels_of(2, seed=1))

    np.testing.assert_array_equal(first.patches, kept)


@each_encoder
@pytest.mark.parametrize(
    ("pixels", "code"),
    [
        (pixels_of(1, 70, 71), "pixels.size"),
        (pixels_of(1)[0], "pixels.shape"),
        (np.full((1, 3, 70, 70), np.nan, np.float32), "pixels.nonfinite"),
    ],
)
def test_pixels_that_no_engine_takes_are_refused(make, pixels, code):
    config = tiny_config()
    encoder = make(tiny_params(config), config)

    with pytest.raises(UsageError) as caught:
        encoder(pixels)

    assert caught.value.code == code


def test_float32_stays_float32_where_the_processor_could_do_with_less():
    """OpenVINO takes bfloat16 unasked where there is hardware for it."""
    config = tiny_config(embed_dim=64, hidden_dim=256, depth=3)
    encoder = openvino_encoder.OpenvinoEncoder(tiny_params(config), config)

    expected = forward(pixels_of(2), tiny_params(config), config).cls

    np.testing.assert_allclose(encoder(pixels_of(2)).cls, expected, atol=1e-4)
    compiled = encoder._compiled[False]
    assert compiled.get_property("INFERENCE_PRECISION_HINT").to_string() == "f32"


@each_encoder
def test_threads_are_those_asked_for(make):
    config = tiny_config()
    encoder = make(tiny_params(config), config, threads=1)
    encoder.class_tokens(pixels_of(1))

    if make is ENCODERS[0]:
        assert encoder._sessions[True].get_session_options().intra_op_num_threads == 1
    else:
        assert encoder._compiled[True].get_property("INFERENCE_NUM_THREADS") == 1


@each_encoder
def test_a_precision_that_nothing_here_computes_in_is_refused(make, monkeypatch):
    providers = ["CPUExecutionProvider"]
    monkeypatch.setattr(onnx_encoder.onnxruntime, "get_available_providers", lambda: providers)
    monkeypatch.setattr(openvino_encoder, "precisions", lambda: ["float32"])
    config = tiny_config()

    with pytest.raises(UsageError, match=r"float16: .*; use --precision fp32") as caught:
        make(tiny_params(config), config, precision="float16")

    assert caught.value.code == "engine.precision"


def test_the_best_provider_comes_first(monkeypatch):
    here = ["AzureExecutionProvider", "CPUExecutionProvider", "CUDAExecutionProvider"]
    monkeypatch.setattr(onnx_encoder.onnxruntime, "get_available_providers", lambda: here)

    found = onnx_encoder.usable_providers("float32")

    assert found == ["CUDAExecutionProvider", "CPUExecutionProvider"]


@pytest.mark.skipif(
    "bfloat16" not in openvino_encoder.precisions(), reason="needs a processor with bfloat16"
)
def test_bfloat16_is_near_and_not_the_same():
    config = tiny_config(embed_dim=64, hidden_dim=256)
    encoder = openvino_encoder.OpenvinoEncoder(tiny_params(config), config, precision="bfloat16")

    expected = forward(pixels_of(4), tiny_params(config), config).cls

    found = encoder.class_tokens(pixels_of(4))

    assert 0.999 < cosines(found, expected).min() < 1 - 1e-7


def cosines(found, expected):
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
    return (found * expected).sum(1) / lengths


@pytest.mark.skipif(not calibration.has_int8(), reason="needs a processor with VNNI")
@each_encoder
@pytest.mark.parametrize("swiglu", [False, True])
def test_int8_is_near_and_not_the_same(make, swiglu):
    config = tiny_config(embed_dim=64, hidden_dim=256, depth=3, swiglu=swiglu)
    expected = forward(pixels_of(4), tiny_params(config), config)

    encoder = make(tiny_params(config), config, precision="int8")

    assert 0.99 < cosines(encoder.class_tokens(pixels_of(4)), expected.cls).min() < 1 - 1e-6
    patches = encoder(pixels_of(4)).patches.reshape(-1, 64)
    assert 0.98 < cosines(patches, expected.patches.reshape(-1, 64)).min() < 1 - 1e-6


@each_encoder
def test_int8_is_refused_where_the_processor_has_no_instructions_for_it(make, monkeypatch):
    monkeypatch.setattr(calibration, "processor_flags", lambda: {"avx2", "avx512f"})
    config = tiny_config()

    with pytest.raises(UsageError, match=r"int8: .* no VNNI .*; use --precision bf16 or fp32"):
        make(tiny_params(config), config, precision="int8")

    assert "int8" not in openvino_encoder.precisions()


def test_int8_is_calibrated_on_the_same_pictures_each_time():
    config = tiny_config(embed_dim=64, hidden_dim=256)

    first, second = (calibration.drawn_calibration(tiny_params(config), config) for _ in range(2))

    assert first.keys() == second.keys()
    assert first
    for name, steps in first.items():
        assert steps.scale == second[name].scale
        np.testing.assert_array_equal(steps.smooth, second[name].smooth)


@pytest.mark.weights
@pytest.mark.skipif(not calibration.has_int8(), reason="needs a processor with VNNI")
@each_encoder
def test_int8_keeps_what_photographs_find(make, shared):
    params, config = load_params(shared / "weights/dav2-vits14-fp16.safetensors")
    files = sorted((shared / "data/coco128").rglob("*.jpg"))
    pixels = to_pixels([find_preset("official").apply(load_image(file)) for file in files[:96]])
    expected = NumpyEncoder(load_params(shared / "weights/dav2-vits14-fp16.safetensors")[0], config)
    encoder = make(params, config, precision="int8")

    ours, theirs = (
        np.concatenate([each.class_tokens(pixels[start : start + 8]) for start in range(0, 96, 8)])
        for each in (encoder, expected)
    )

    assert cosines(ours, theirs).min() > 0.99
    assert retrieval_of(theirs, ours, [None] * 96).overlap >= 0.95


@pytest.mark.weights
@each_encoder
@pytest.mark.parametrize("size", ["1x224x224", "1x266x224"])
def test_the_real_small_model_equals_the_official_code(make, size, shared):
    params, config = load_params(shared / "weights/dav2-vits14-fp16.safetensors")
    golden = np.load(shared / "golden/dav2-vits14.outputs.npz")
    _, height, width = map(int, size.split("x"))
    pixels = pixels_of(1, height, width, seed=7 * 100_000 + height * 1000 + width)

    tokens = make(params, config)(pixels)

    np.testing.assert_allclose(tokens.cls, golden[f"{size}.cls"], atol=1e-4)
    np.testing.assert_allclose(tokens.patches[:, ::7], golden[f"{size}.patch"], atol=5e-4)
