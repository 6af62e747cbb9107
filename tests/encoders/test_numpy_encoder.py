"""The NumPy engine on several threads, and the choice of engines."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from dinoseek.encoders.factory import load_encoder
from dinoseek.encoders.numpy_encoder import NumpyEncoder
from dinoseek.errors import UsageError
from dinoseek.vit.model import forward
from dinoseek.weights.save import save_params

from ..vit.tiny import tiny_config, tiny_params

CONFIG = tiny_config(num_register_tokens=2)


def pixels_of(b, height=70, width=70, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((b, 3, height, width), dtype=np.float32)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("b", [1, 2, 5, 64])
def test_threads_change_nothing_but_the_time(threads, b):
    pixels = pixels_of(b)
    expected = forward(pixels, tiny_params(CONFIG), CONFIG)

    encoder = NumpyEncoder(tiny_params(CONFIG), CONFIG, threads=threads)

    for ours, theirs in zip(encoder(pixels), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-5)
    np.testing.assert_allclose(encoder.class_tokens(pixels), expected.cls, atol=2e-5)


def test_callers_at_the_same_time_get_their_own_results():
    encoder = NumpyEncoder(tiny_params(CONFIG), CONFIG, threads=2)
    batches = [pixels_of(1 + seed % 3, seed=seed) for seed in range(24)]
    expected = [encoder(batch).cls for batch in batches]

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda batch: encoder(batch).cls, batches))

    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-5)


def test_groups_cover_the_batch_in_order():
    encoder = NumpyEncoder(tiny_params(CONFIG), CONFIG, threads=2)
    pixels = pixels_of(13, 224, 224)

    groups = encoder._groups(pixels)

    np.testing.assert_array_equal(np.concatenate(groups), pixels)
    assert len(groups) % 2 == 0


def test_an_encoder_is_loaded_from_a_file(tmp_path):
    save_params(tmp_path / "tiny.safetensors", tiny_params(CONFIG), CONFIG)

    encoder = load_encoder(tmp_path / "tiny.safetensors", engine="numpy")

    expected = forward(pixels_of(2), tiny_params(CONFIG), CONFIG)
    assert encoder.config == CONFIG
    assert encoder.engine == "numpy"
    np.testing.assert_allclose(encoder(pixels_of(2)).patches, expected.patches, atol=2e-5)


def test_an_unknown_engine_is_refused_by_name():
    with pytest.raises(
        UsageError, match="abacus: no such engine; use auto, numpy, onnx, openvino or torch"
    ):
        load_encoder("dinov2-small", engine="abacus")
