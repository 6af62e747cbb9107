"""The PyTorch engine against the official code's outputs and the NumPy engine, and as a module."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from dinoseek.encoders.engines import build
from dinoseek.errors import UsageError
from dinoseek.vit.model import forward
from dinoseek.weights.load import load_params
from dinoseek.weights.naming import flatten

from ..vit.tiny import tiny_config, tiny_params

torch = pytest.importorskip("torch", reason="needs PyTorch: make setup-torch")
pytestmark = pytest.mark.torch

SHAPES = {
    "plain": {},
    "registers": {"num_register_tokens": 4},
    "swiglu": {"swiglu": True},
    "giant-reg": {"swiglu": True, "num_register_tokens": 3},
}
GRIDS = [(70, 70), (98, 56), (42, 126), (14, 14)]  # the native grid is 5 x 5


@pytest.fixture
def make_encoder():
    from dinoseek.encoders.torch_encoder import TorchEncoder

    def make(config, **options):
        return TorchEncoder(tiny_params(config), config, device="cpu", **options)

    return make


@pytest.fixture
def make_model():
    from dinoseek.encoders.torch_vit import TorchViT

    return lambda config, seed=0: TorchViT.of(tiny_params(config, seed), config)


def pixels_of(b, height=70, width=70, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((b, 3, height, width), dtype=np.float32)


@pytest.mark.parametrize("flavour", ["hub", "hf", "timm"])
@pytest.mark.parametrize("shape", SHAPES)
def test_tokens_equal_the_numpy_engine_at_any_size(make_encoder, shape, flavour):
    config = tiny_config(**SHAPES[shape], pos_flavour=flavour)
    encoder = make_encoder(config)

    for b, (height, width) in zip((1, 3, 2, 1), GRIDS, strict=True):
        pixels = pixels_of(b, height, width)
        expected = forward(pixels, tiny_params(config), config)
        for found, wanted in zip(encoder(pixels), expected, strict=True):
            assert found.shape == wanted.shape
            assert found.dtype == np.float32
            np.testing.assert_allclose(found, wanted, atol=5e-5)
        np.testing.assert_allclose(encoder.class_tokens(pixels), expected.cls, atol=5e-5)


@pytest.mark.weights
@pytest.mark.parametrize("size", ["2x224x224", "1x518x518", "1x266x224", "1x98x126"])
@pytest.mark.parametrize("name", ["tiny-mlp", "tiny-mlp-reg4", "tiny-swiglu", "tiny-swiglu-reg4"])
def test_tokens_equal_the_official_code(shared, name, size):
    params, config = load_params(shared / "golden/tiny" / f"{name}.safetensors")
    golden = np.load(shared / "golden/tiny" / f"{name}.outputs.npz")
    b, height, width = map(int, size.split("x"))
    seed = 7 * 100_000 + height * 1000 + width

    tokens = build("torch", params, config)(pixels_of(b, height, width, seed))

    np.testing.assert_allclose(tokens.cls, golden[f"{size}.cls"], atol=5e-5)
    np.testing.assert_allclose(tokens.patches[:, ::7], golden[f"{size}.patch"], atol=5e-5)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_rounding_moves_tokens_a_little_and_not_at_all_unnoticed(make_encoder, precision):
    config = tiny_config(num_register_tokens=1)
    pixels = pixels_of(2, 98, 56)
    expected = forward(pixels, tiny_params(config), config)

    encoder = make_encoder(config, precision=precision)
    found = encoder(pixels)

    assert encoder.precision == precision
    assert found.patches.dtype == np.float32
    error = np.abs(found.patches - expected.patches).max()
    assert 1e-5 < error < 0.2
    np.testing.assert_allclose(encoder.class_tokens(pixels), found.cls, atol=0.02)


def test_the_state_has_facebooks_names_and_goes_both_ways_unchanged(make_model):
    for shape in SHAPES.values():
        config = tiny_config(**shape)
        expected = flatten(tiny_params(config, seed=3))

        model = make_model(config, seed=3)
        back = flatten(model.params())

        assert set(model.state_dict()) == set(expected) == set(back)
        for name, values in expected.items():
            np.testing.assert_array_equal(back[name], values)


def test_parameters_that_were_taken_out_are_no_longer_those_of_the_model(make_model):
    model = make_model(tiny_config())
    taken = model.params()
    before = taken["norm"]["bias"].copy()

    with torch.no_grad():
        model.norm.bias += 1

    np.testing.assert_array_equal(taken["norm"]["bias"], before)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_parameter_gets_a_gradient_at_another_grid(make_model, shape):
    model = make_model(tiny_config(**SHAPES[shape]))

    tokens = model(torch.from_numpy(pixels_of(2, 98, 56)))
    (tokens.cls.square().sum() + tokens.patches.square().sum()).backward()

    without = [name for name, each in model.named_parameters() if not each.grad.abs().sum() > 0]
    assert without == []


def test_the_gradient_is_the_slope(make_model):
    model = make_model(tiny_config(num_register_tokens=2)).double()
    pixels = torch.from_numpy(pixels_of(1, 42, 56)).double()
    slope = torch.autograd.functional.jacobian(lambda x: model.class_tokens(x).sum(), pixels)

    step = torch.zeros_like(pixels)
    step[0, 1, 20, 30] = 1e-5
    with torch.no_grad():
        difference = (model.class_tokens(pixels + step) - model.class_tokens(pixels - step)).sum()

    assert slope[0, 1, 20, 30].item() == pytest.approx(difference.item() / 2e-5, rel=1e-4)


def test_the_last_block_leaves_out_what_nobody_wants(make_model):
    model = make_model(tiny_config())
    x = model.embed(torch.from_numpy(pixels_of(2)))
    shapes = []
    model.blocks[-1].attn.proj.register_forward_hook(lambda _m, _i, y: shapes.append(y.shape))
    assert model.run(x, wanted=1).shape == (2, 1, 16)
    assert shapes == [(2, 1, 16)]


def test_what_fine_tuning_adapts_are_linear_layers(make_model):
    def linears(config):
        modules = make_model(config).named_modules()
        return {name.split(".")[-1] for name, each in modules if isinstance(each, torch.nn.Linear)}

    assert linears(tiny_config()) == {"qkv", "proj", "fc1", "fc2"}
    assert linears(tiny_config(swiglu=True)) == {"qkv", "proj", "w12", "w3"}


def test_callers_at_the_same_time_get_their_own_results(make_encoder):
    encoder = make_encoder(tiny_config(), threads=1)
    batches = [pixels_of(1 + seed % 3, seed=seed) for seed in range(24)]
    expected = [encoder(batch).cls for batch in batches]

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda batch: encoder(batch).cls, batches))

    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-5)


def test_threads_are_those_asked_for(make_encoder):
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 1):
            make_encoder(tiny_config(), threads=threads)(pixels_of(1))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def test_pixels_it_cannot_take_are_refused_as_by_the_numpy_engine(make_encoder):
    encoder = make_encoder(tiny_config())
    for pixels in (pixels_of(1, 71), pixels_of(1).astype(np.int32), pixels_of(1) * np.nan):
        with pytest.raises(UsageError, match="pixels"):
            encoder(pixels)


def test_arrays_that_cannot_be_written_to_are_taken(make_encoder):
    from dinoseek.encoders.torch_encoder import TorchEncoder

    config = tiny_config()
    params, pixels = tiny_params(config), pixels_of(1)
    params["norm"]["bias"].flags.writeable = pixels.flags.writeable = False

    found = TorchEncoder(params, config, device="cpu")(pixels).cls

    np.testing.assert_allclose(found, make_encoder(config)(pixels_of(1)).cls, atol=1e-6)
