"""The whole forward pass against naive loops, and what it refuses."""

import numpy as np
import pytest

from dinoseek.errors import UsageError
from dinoseek.vit.check import MAX_PATCHES
from dinoseek.vit.fold import fold
from dinoseek.vit.model import class_tokens, facet, forward, intermediate_layers
from dinoseek.vit.workspace import Workspace

from .tiny import linear, naive_blocks, norm, tiny_config, tiny_params

pytestmark = pytest.mark.usefixtures("strict_numpy")
MODELS = [
    pytest.param({"num_register_tokens": registers, "swiglu": swiglu}, id=f"{registers}-{swiglu}")
    for registers in (0, 4)
    for swiglu in (False, True)
]


def pixels_of(b, height=70, width=70, seed=1):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((b, 3, height, width), dtype=np.float32)


@pytest.mark.parametrize("shape", MODELS)
def test_tokens_equal_a_naive_forward(shape):
    config = tiny_config(**shape)
    params, pixels = tiny_params(config), pixels_of(2)

    tokens = forward(pixels, params, config)

    for image in range(2):
        *_, last = naive_blocks(pixels[image], params, config)
        expected = norm(last, params["norm"])
        found = np.concatenate(
            [tokens.cls[image, None], tokens.registers[image], tokens.patches[image]]
        )
        np.testing.assert_allclose(found, expected, atol=2e-5)


def test_register_tokens_get_no_position():
    config = tiny_config(num_register_tokens=4)
    params = tiny_params(config)
    folded = fold(params, config)

    np.testing.assert_array_equal(folded.prefix[1:], params["register_tokens"][0])


@pytest.mark.parametrize("b", [1, 3])
@pytest.mark.parametrize("shape", MODELS)
def test_class_tokens_alone_are_those_of_the_whole(shape, b):
    config = tiny_config(**shape)
    folded, pixels = fold(tiny_params(config), config), pixels_of(b, 42, 98)

    found = class_tokens(pixels, folded, config)

    np.testing.assert_allclose(found, forward(pixels, folded, config).cls, atol=5e-6)


@pytest.mark.parametrize("shape", MODELS)
def test_a_batch_equals_its_images_one_by_one(shape):
    config = tiny_config(**shape)
    folded, pixels = fold(tiny_params(config), config), pixels_of(3, 42, 98)

    together = forward(pixels, folded, config)

    for image in range(3):
        alone = forward(pixels[image : image + 1], folded, config)
        np.testing.assert_allclose(together.patches[image], alone.patches[0], atol=2e-5)


def test_a_workspace_of_another_shape_leaves_no_trace():
    config = tiny_config()
    folded, space = fold(tiny_params(config), config), Workspace(config)
    expected = forward(pixels_of(1, 42, 56), folded, config)

    forward(pixels_of(2, 70, 70), folded, config, space)
    found = forward(pixels_of(1, 42, 56), folded, config, space)

    np.testing.assert_array_equal(found.cls, expected.cls)


def test_results_do_not_share_memory_with_the_workspace():
    config = tiny_config()
    folded, space = fold(tiny_params(config), config), Workspace(config)

    first = forward(pixels_of(1, seed=1), folded, config, space)
    kept = first.patches.copy()
    forward(pixels_of(1, seed=2), folded, config, space)

    np.testing.assert_array_equal(first.patches, kept)


@pytest.mark.parametrize("normed", [True, False])
def test_intermediate_layers_are_the_blocks_through_the_final_norm(normed):
    config = tiny_config(num_register_tokens=4)
    params, pixels = tiny_params(config), pixels_of(1)
    blocks = list(naive_blocks(pixels[0], params, config))

    found = intermediate_layers(pixels, params, config, 2, norm=normed)

    for tokens, expected in zip(found, blocks, strict=True):
        expected = norm(expected, params["norm"]) if normed else expected
        np.testing.assert_allclose(tokens.cls[0], expected[0], atol=2e-5)
        np.testing.assert_allclose(tokens.patches[0], expected[5:], atol=2e-5)


def test_intermediate_layers_take_indices_in_their_order():
    config = tiny_config()
    params, pixels = tiny_params(config), pixels_of(1)

    last, first = intermediate_layers(pixels, params, config, [-1, 0])

    np.testing.assert_array_equal(last.cls, forward(pixels, params, config).cls)
    assert np.abs(first.cls - last.cls).max() > 1e-3


@pytest.mark.parametrize("layers", [0, 3, [2], [-3], []])
def test_layers_that_the_model_lacks_are_refused(layers):
    config = tiny_config()

    with pytest.raises(ValueError, match="blocks 0 to 1"):
        intermediate_layers(pixels_of(1), tiny_params(config), config, layers)


@pytest.mark.parametrize(("kind", "third"), [("query", 0), ("key", 1), ("value", 2)])
def test_facets_are_the_thirds_of_qkv(kind, third):
    config = tiny_config(num_register_tokens=4)
    params, pixels = tiny_params(config), pixels_of(1)
    first, _ = naive_blocks(pixels[0], params, config)
    block = params["blocks"][1]
    expected = np.split(linear(norm(first, block["norm1"]), block["attn"]["qkv"]), 3, axis=1)[third]

    found = facet(pixels, params, config, block=1, kind=kind)

    np.testing.assert_allclose(found.cls[0], expected[0], atol=3e-5)
    np.testing.assert_allclose(found.registers[0], expected[1:5], atol=3e-5)
    np.testing.assert_allclose(found.patches[0], expected[5:], atol=3e-5)


def test_consuming_fold_empties_the_blocks_it_was_given():
    config = tiny_config()
    params = tiny_params(config)

    fold(params, config, consume=True)

    assert params["blocks"] == [None, None]


@pytest.mark.parametrize(
    ("pixels", "code", "words"),
    [
        (
            np.zeros((1, 3, 71, 70), np.float32),
            "pixels.size",
            "71 x 70 is no multiple of the patch size 14; resize to 70",
        ),
        (np.zeros((1, 3, 0, 70), np.float32), "pixels.size", "0 x 70"),
        (np.zeros((1, 4, 70, 70), np.float32), "pixels.channels", "4 channels, expected 3"),
        (np.zeros((3, 70, 70), np.float32), "pixels.shape", "expected (b, 3, H, W)"),
        (np.zeros((1, 3, 70, 70), np.uint8), "pixels.dtype", "uint8"),
        (np.full((1, 3, 70, 70), np.nan, np.float32), "pixels.nonfinite", "NaN"),
        (np.full((1, 3, 70, 70), np.inf, np.float32), "pixels.nonfinite", "infinite"),
        (
            np.zeros((1, 3, 14, 14 * (MAX_PATCHES + 1)), np.float32),
            "pixels.tokens",
            "at most 16384",
        ),
    ],
)
def test_pixels_that_the_model_cannot_take_are_refused_with_a_reason(pixels, code, words):
    config = tiny_config()

    with pytest.raises(UsageError) as caught:
        forward(pixels, tiny_params(config), config)

    assert caught.value.code == code
    assert words in str(caught.value)


def test_large_but_finite_pixels_are_not_taken_for_infinite():
    config = tiny_config()

    tokens = forward(np.full((1, 3, 70, 70), 1e3, np.float32), tiny_params(config), config)

    assert np.isfinite(tokens.cls).all()
