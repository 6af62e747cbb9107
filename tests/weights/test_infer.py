"""Configurations read off shapes, and the one error that names every misfit."""

from dataclasses import replace
from pathlib import Path

import pytest

from dinoseek.errors import WeightsError
from dinoseek.vit.config import SIZES
from dinoseek.weights.infer import make_plan, tensor_shapes
from dinoseek.weights.naming import DIALECTS, spellings

PATH = Path("m.safetensors")


def shapes_of(config, dialect="facebook"):
    """The shapes of a whole model in a dialect, joined tensors in its parts."""
    result = {}
    for name, (rows, *rest) in tensor_shapes(config).items():
        parts = spellings(name, DIALECTS[dialect])
        result |= {part: (rows // len(parts), *rest) for part in parts}
    return result


@pytest.mark.parametrize("dialect", ["facebook", "huggingface", "transformers-5"])
@pytest.mark.parametrize("registers", [0, 4])
@pytest.mark.parametrize("size", SIZES)
def test_the_official_sizes_are_recognised(size, registers, dialect):
    config = replace(SIZES[size], num_register_tokens=registers)

    plan = make_plan(PATH, shapes_of(config, dialect))

    assert plan.config == config
    assert plan.dialect == dialect


# Counted by others: `sum(p.numel() for p in model.parameters())` of the official models.
@pytest.mark.parametrize(
    ("size", "registers", "parameters"),
    [
        ("small", 0, 22_056_576),
        ("small", 4, 22_058_112),
        ("base", 0, 86_580_480),
        ("large", 0, 304_368_640),
        ("giant", 0, 1_136_480_768),
        ("giant", 4, 1_136_486_912),
    ],
)
def test_the_tensors_of_a_size_add_up_to_its_published_parameters(size, registers, parameters):
    from math import prod

    config = replace(SIZES[size], num_register_tokens=registers)
    mask_token = config.embed_dim

    assert sum(prod(shape) for shape in tensor_shapes(config).values()) + mask_token == parameters


@pytest.mark.parametrize("dialect", ["facebook", "huggingface"])
def test_WTS_03_a_missing_and_an_unexpected_tensor_are_named(dialect):
    shapes = shapes_of(SIZES["small"], dialect)
    gone = spellings("blocks.7.attn.qkv.bias", DIALECTS[dialect])[-1]
    del shapes[gone]
    shapes["decoder.weight"] = (3,)

    with pytest.raises(WeightsError) as caught:
        make_plan(PATH, shapes)

    assert caught.value.code == "weights.tensors"
    assert f"{gone} is missing" in str(caught.value)
    assert "decoder.weight is unexpected" in str(caught.value)
    assert "2 tensors do not fit" in str(caught.value)


def test_WTS_03_of_many_misfits_ten_are_shown_and_all_are_counted():
    shapes = {
        name: shape for name, shape in shapes_of(SIZES["small"]).items() if "mlp.fc1" not in name
    }

    with pytest.raises(WeightsError, match=r"24 tensors do not fit.*and 14 more") as caught:
        make_plan(PATH, shapes)

    assert str(caught.value).count("is missing") == 10


@pytest.mark.parametrize(
    "name", ["patch_embed.proj.weight", "cls_token", "pos_embed", "norm.weight"]
)
def test_WTS_03_each_tensor_can_be_the_missing_one(name):
    shapes = shapes_of(SIZES["small"])
    del shapes[name]

    with pytest.raises(WeightsError, match=f"1 tensor does not fit .*: {name} is missing"):
        make_plan(PATH, shapes)


@pytest.mark.parametrize("name", list(shapes_of(SIZES["small"]))[:20])
def test_WTS_04_one_misshapen_tensor_is_named_with_what_was_expected(name):
    right = shapes_of(SIZES["small"])
    wrong = (*right[name][:-1], right[name][-1] + 1)

    with pytest.raises(WeightsError) as caught:
        make_plan(PATH, right | {name: wrong})

    assert f"{name} is {wrong}, expected " in str(caught.value)


def test_WTS_04_a_transposed_tensor_is_named():
    shapes = shapes_of(SIZES["small"]) | {"blocks.3.mlp.fc2.weight": (1536, 384)}

    with pytest.raises(WeightsError, match=r"fc2\.weight is \(1536, 384\), expected \(384, 1536\)"):
        make_plan(PATH, shapes)


@pytest.mark.parametrize("shape", [(1, 1371, 384), (1, 0, 384), (1370, 384), (1, 1369, 384), ()])
def test_position_grids_that_are_no_square_plus_one_are_refused(shape):
    with pytest.raises(WeightsError, match="pos_embed is"):
        make_plan(PATH, shapes_of(SIZES["small"]) | {"pos_embed": shape})


def test_a_gap_between_blocks_is_named():
    shapes = {name: shape for name, shape in shapes_of(SIZES["small"]).items() if ".5." not in name}

    with pytest.raises(
        WeightsError, match=r"14 tensors do not fit.*blocks\.5\.norm1\.weight is missing"
    ):
        make_plan(PATH, shapes)


def test_a_block_of_absurd_number_is_refused_at_once():
    shapes = shapes_of(SIZES["small"]) | {"blocks.999999999.norm1.weight": (384,)}

    with pytest.raises(WeightsError, match="models have at most 256"):
        make_plan(PATH, shapes)


def test_several_backbones_are_ambiguous():
    one = shapes_of(SIZES["small"])
    shapes = {
        f"{prefix}.{name}": shape for prefix in ("left", "right") for name, shape in one.items()
    }

    with pytest.raises(WeightsError, match=r"holds 2 backbones \(left\., right\.\)") as caught:
        make_plan(PATH, shapes)

    assert caught.value.code == "weights.ambiguous"


@pytest.mark.parametrize("names", [(), ("conv1.weight", "fc.bias")])
def test_files_of_other_models_are_refused(names):
    with pytest.raises(WeightsError, match="no DINOv2 backbone") as caught:
        make_plan(PATH, dict.fromkeys(names, (3, 3)))

    assert caught.value.code == "weights.unknown"


def test_a_width_that_is_no_multiple_of_64_needs_the_number_of_heads():
    config = replace(SIZES["small"], embed_dim=32, num_heads=2, hidden_dim=128)

    with pytest.raises(WeightsError, match=r"number of heads is unknown.*config\.json"):
        make_plan(PATH, shapes_of(config))
    assert make_plan(PATH, shapes_of(config), num_heads=2).config == config


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(WeightsError, match="describes no possible model"):
        make_plan(PATH, shapes_of(SIZES["small"]), num_heads=7)


def test_WTS_05_patch_sizes_grids_and_depths_other_than_the_official_are_taken_as_they_are():
    config = replace(SIZES["base"], patch_size=16, grid=14, depth=3, num_register_tokens=1)

    assert make_plan(PATH, shapes_of(config)).config == config
