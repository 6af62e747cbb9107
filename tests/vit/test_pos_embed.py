"""Resampled position embeddings against the definition of bicubic interpolation."""

import numpy as np
import pytest
from PIL import Image

from dinoseek.vit.pos_embed import antialiased_matrix, axis_matrix, resample

from .tiny import tiny_config


def test_the_stored_grid_comes_back_untouched():
    positions = np.random.default_rng(0).standard_normal((25, 4)).astype(np.float32)

    assert resample(positions, 5, 5, tiny_config()) is positions


@pytest.mark.parametrize("flavour", ["hub", "hf", "timm"])
@pytest.mark.parametrize("registers", [False, True])
@pytest.mark.parametrize("new", [1, 3, 5, 16, 46])
def test_a_constant_field_stays_constant(flavour, registers, new):
    matrix = axis_matrix(37, new, flavour, registers)

    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-12)


def test_keys_kernel_by_hand():
    """The first output lies at 37 / 16.1 / 2 - 0.5 = 0.649: four taps, the first folded on 0."""
    row = axis_matrix(37, 16, "hub", False)[0]
    t = 37 / 16.1 * 0.5 - 0.5
    near = lambda x: (1.25 * x - 2.25) * x * x + 1  # noqa: E731
    far = lambda x: -0.75 * (((x - 5) * x + 8) * x - 4)  # noqa: E731

    expected = [far(1 + t) + near(t), near(1 - t), far(2 - t)]

    np.testing.assert_allclose(row[:3], expected, atol=1e-12)
    assert not row[3:].any()


def test_the_flavours_of_plain_models_differ_and_those_with_registers_agree():
    hub, hf, timm = (axis_matrix(37, 16, f, False) for f in ("hub", "hf", "timm"))

    assert np.abs(hub - hf).max() > 1e-3
    assert np.abs(hf - timm).max() > 1e-2
    for flavour in ("hub", "hf"):
        np.testing.assert_array_equal(axis_matrix(37, 16, flavour, True), timm)


@pytest.mark.parametrize("new", [9, 16, 23, 37, 46])
def test_antialiased_bicubic_is_pillows(new):
    signal = np.random.default_rng(1).standard_normal((1, 37)).astype(np.float32)
    image = Image.fromarray(signal)

    expected = np.asarray(image.resize((new, 1), Image.Resampling.BICUBIC))[0]

    np.testing.assert_allclose(antialiased_matrix(37, new) @ signal[0], expected, atol=1e-5)


def test_rows_and_columns_are_not_swapped():
    config = tiny_config(grid=6)
    field = np.arange(36, dtype=np.float32).reshape(36, 1)  # value = 6 row + column

    wide = resample(field, 3, 6, config).reshape(3, 6)

    assert (np.diff(wide, axis=0) > 6).all()
    assert (np.diff(wide, axis=1) < 2).all()
