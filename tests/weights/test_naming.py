"""What dialects call their tensors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dinoseek.weights.naming import (
    DIALECTS,
    FACEBOOK,
    backbone_prefixes,
    detect_dialect,
    flatten,
    nest,
    spellings,
    without_prefix,
)


@pytest.mark.parametrize(
    ("dialect", "canonical", "expected"),
    [
        ("facebook", "blocks.3.attn.qkv.weight", ("blocks.3.attn.qkv.weight",)),
        ("timm", "register_tokens", ("reg_token",)),
        ("timm", "blocks.3.mlp.w12.bias", ("blocks.3.mlp.fc1.bias",)),
        ("huggingface", "norm.bias", ("layernorm.bias",)),
        ("huggingface", "blocks.11.norm1.bias", ("encoder.layer.11.norm1.bias",)),
        ("huggingface", "blocks.0.ls2.gamma", ("encoder.layer.0.layer_scale2.lambda1",)),
        (
            "huggingface",
            "blocks.0.attn.qkv.bias",
            tuple(
                f"encoder.layer.0.attention.attention.{x}.bias" for x in ("query", "key", "value")
            ),
        ),
        (
            "transformers-5",
            "blocks.2.attn.qkv.weight",
            tuple(f"encoder.layer.2.attention.{x}_proj.weight" for x in "qkv"),
        ),
        (
            "transformers-5",
            "blocks.2.mlp.w12.weight",
            tuple(f"encoder.layer.2.mlp.{x}_proj.weight" for x in ("gate", "up")),
        ),
        ("transformers-5", "blocks.2.mlp.w3.bias", ("encoder.layer.2.mlp.down_proj.bias",)),
    ],
)
def test_each_dialect_spells_the_parameters_in_its_own_way(dialect, canonical, expected):
    assert spellings(canonical, DIALECTS[dialect]) == expected


def test_every_dialect_knows_every_parameter():
    for dialect in DIALECTS.values():
        assert dialect.table.keys() == FACEBOOK.keys()


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ({"patch_embed.proj.weight": ()}, "facebook"),
        ({"reg_token": ()}, "timm"),
        ({"blocks.0.mlp.fc1.weight": (64, 8), "blocks.0.mlp.fc2.weight": (8, 32)}, "timm"),
        ({"blocks.0.mlp.fc1.weight": (32, 8), "blocks.0.mlp.fc2.weight": (8, 32)}, "facebook"),
        ({"embeddings.cls_token": ()}, "huggingface"),
        ({"encoder.layer.0.attention.q_proj.weight": ()}, "transformers-5"),
    ],
)
def test_the_dialect_shows_in_names_and_shapes(names, expected):
    assert detect_dialect(names).name == expected


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["patch_embed.proj.weight"], [""]),
        (["x.patch_embed.proj.weight"], ["x."]),
        (["xpatch_embed.proj.weight"], []),
        (["dinov2.embeddings.patch_embeddings.projection.weight"], ["dinov2."]),
        (["pos_embed"], [""]),
        (["a.patch_embed.proj.weight", "b.patch_embed.proj.weight"], ["a.", "b."]),
        (["student.patch_embed.proj.weight", "teacher.patch_embed.proj.weight"], ["teacher."]),
        (["a.teacher.b.patch_embed.proj.weight", "patch_embed.proj.weight"], ["a.teacher.b."]),
        (["decoder.weight"], []),
    ],
)
def test_backbones_are_found_by_a_name_that_each_has(names, expected):
    assert backbone_prefixes(names) == expected


def test_the_second_of_two_tensors_with_one_name_stays_unexpected():
    names = without_prefix(["blocks.0.norm1.bias", "blocks.0.0.norm1.bias", "other"], "")

    assert sorted(names) == ["blocks.0.0.norm1.bias", "blocks.0.norm1.bias", "other"]


words = st.text("abcdefgh_", min_size=1, max_size=5).filter(lambda word: word != "blocks")
trees = st.dictionaries(
    words,
    st.recursive(
        st.just(0), lambda children: st.dictionaries(words, children, min_size=1), max_leaves=9
    ),
)
params = st.builds(
    lambda tree, blocks: {**tree, "blocks": blocks},
    trees,
    st.lists(st.dictionaries(words, st.just(1), min_size=1), min_size=1, max_size=12),
)


@given(params)
def test_nest_undoes_flatten(tree):
    flat = flatten(tree)

    assert nest(flat) == tree
    assert all(not isinstance(value, dict | list) for value in flat.values())


def test_flatten_names_blocks_by_their_number():
    tree = {"norm": {"bias": np.ones(2)}, "blocks": [{"ls1": {"gamma": 3}}, {"ls1": {"gamma": 4}}]}

    assert list(flatten(tree)) == ["norm.bias", "blocks.0.ls1.gamma", "blocks.1.ls1.gamma"]
