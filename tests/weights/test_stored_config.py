"""Where the configuration comes from: shapes, a config.json beside it, our own metadata."""

import numpy as np
import pytest

from dinoseek.errors import WeightsError
from dinoseek.vit.config import ViTConfig
from dinoseek.weights.load import load_params, save_params, verify_saved

KINDS = [
    {"registers": registers, "swiglu": swiglu} for registers in (0, 4) for swiglu in (False, True)
]


def test_num_heads_is_a_64th_of_the_width_unless_a_config_beside_it_knows_better(
    tiny, write, tmp_path
):
    path = write(tmp_path / "m.safetensors", tiny.flat)
    beside = tmp_path / "config.json"

    assert load_params(path)[1].num_heads == 1
    beside.write_text('{"hidden_size": 64, "num_attention_heads": 4}')
    assert load_params(path)[1].num_heads == 4


@pytest.mark.parametrize(
    "text",
    [
        '{"hidden_size": 768, "num_attention_heads": 12}',
        '{"hidden_size": 64, "num_attention_heads": 5}',
        '{"hidden_size": 64, "num_attention_heads": -2}',
        '{"hidden_size": 64, "num_attention_heads": true}',
        '{"hidden_size": 64, "num_attention_heads": "2"}',
        '{"num_attention_heads": 2}',
        "[]",
        "{",
        "\x00\xff",
        "[" * 100_000,
    ],
)
def test_a_config_that_is_about_something_else_or_damaged_is_ignored(tiny, write, tmp_path, text):
    path = write(tmp_path / "m.safetensors", tiny.flat)
    (tmp_path / "config.json").write_text(text)

    assert load_params(path)[1] == tiny.config


def test_a_config_beside_it_is_never_believed_about_shapes(tiny, write, tmp_path):
    path = write(tmp_path / "m.safetensors", tiny.hugging_face)
    (tmp_path / "config.json").write_text(
        '{"hidden_size": 64, "num_attention_heads": 2, "num_hidden_layers": 40, "patch_size": 16,'
        ' "image_size": 224, "use_swiglu_ffn": true}'
    )

    config = load_params(path)[1]

    assert (config.depth, config.patch_size, config.grid, config.swiglu) == (2, 2, 3, False)


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_what_was_saved_loads_with_its_configuration(make_tiny, same, tmp_path, kind, suffix):
    model = make_tiny(**kind)
    config = ViTConfig(**{**model.config.as_dict(), "num_heads": 8, "pos_flavour": "timm"})
    (tmp_path / "config.json").write_text('{"hidden_size": 64, "num_attention_heads": 2}')
    path = tmp_path / f"m{suffix}"

    save_params(path, model.params, config)
    params, loaded = load_params(path)

    assert same(params, model.flat)
    assert loaded == config
    verify_saved(path, params, config)


def test_WTS_05_a_stored_configuration_of_another_model_is_refused(make_tiny, tmp_path):
    model = make_tiny()
    wrong = ViTConfig(**{**model.config.as_dict(), "num_register_tokens": 4})
    save_params(tmp_path / "m.safetensors", model.params, wrong)

    with pytest.raises(WeightsError, match=r"look like .* but its config says .* 4 registers"):
        load_params(tmp_path / "m.safetensors")


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '{"embed_dim": 64}', '{"embed_dim": "64"}', "9" * 5000, "[" * 100_000, "null"],
)
def test_a_stored_configuration_that_is_nonsense_is_refused(tiny, tmp_path, text):
    from safetensors.numpy import save_file

    path = tmp_path / "m.safetensors"
    save_file(tiny.flat, path, metadata={"dinoseek.config": text})

    with pytest.raises(WeightsError) as caught:
        load_params(path)

    assert caught.value.code == "weights.config"


@pytest.mark.parametrize("value", ['"1"', "1.0", "true", "null", "[1]"])
def test_a_stored_number_of_another_type_is_refused(tiny, tmp_path, value):
    from safetensors.numpy import save_file

    text = str(tiny.config.as_dict()).replace("'", '"').replace("False", "false")
    text = text.replace('"num_heads": 1', f'"num_heads": {value}')
    assert value in text
    save_file(tiny.flat, tmp_path / "m.safetensors", metadata={"dinoseek.config": text})

    with pytest.raises(WeightsError, match="num_heads"):
        load_params(tmp_path / "m.safetensors")


def test_verify_saved_notices_one_changed_value(tiny, tmp_path):
    path = tmp_path / "m.npz"
    save_params(path, tiny.params, tiny.config)
    changed = tiny.params
    changed["norm"]["bias"] = np.where(np.arange(64) == 7, 0.25, changed["norm"]["bias"])

    with pytest.raises(WeightsError, match=r"reads back differently.*norm\.bias"):
        verify_saved(path, changed, tiny.config)
