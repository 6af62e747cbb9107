"""Any checkpoint to parameters: containers, dialects and dtypes."""

import re
from pathlib import Path

import numpy as np
import pytest

from dinoseek.vit.config import SIZES
from dinoseek.weights.load import load_params, summarise

SUFFIXES = (".safetensors", ".npz", ".pth")
KINDS = [
    {"registers": registers, "swiglu": swiglu} for registers in (0, 4) for swiglu in (False, True)
]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_facebook_names_load_from_every_container(make_tiny, write, same, tmp_path, kind, suffix):
    model = make_tiny(**kind)

    params, config = load_params(write(tmp_path / f"model{suffix}", model.flat))

    assert same(params, model.flat)
    assert config == model.config


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_hugging_face_names_load_from_every_container(
    make_tiny, write, same, tmp_path, kind, suffix
):
    model = make_tiny(**kind)

    params, config = load_params(write(tmp_path / f"model{suffix}", model.hugging_face))

    assert same(params, model.flat)
    assert config == model.config


def test_timm_names_of_a_plain_model_load(tiny, write, same, tmp_path):
    params, config = load_params(write(tmp_path / "m.safetensors", tiny.timm))

    assert same(params, tiny.flat)
    assert config == tiny.config


def test_timm_packs_swiglu_under_the_names_of_an_mlp(make_tiny, write, same, tmp_path):
    model = make_tiny(swiglu=True)

    params, config = load_params(write(tmp_path / "m.safetensors", model.timm))

    assert same(params, model.flat)
    assert config == model.config


@pytest.mark.parametrize("swiglu", [False, True])
def test_timm_register_models_get_a_blank_position_for_the_class_token(
    make_tiny, write, same, tmp_path, swiglu
):
    model = make_tiny(registers=4, swiglu=swiglu)

    params, config = load_params(write(tmp_path / "m.safetensors", model.timm))

    # What the forward pass adds up stays the same: cls_token + its position, and each position.
    assert np.array_equal(
        params["cls_token"] + params["pos_embed"][:, :1],
        model.flat["cls_token"] + model.flat["pos_embed"][:, :1],
    )
    assert np.array_equal(params["pos_embed"][:, 1:], model.flat["pos_embed"][:, 1:])
    rest = model.flat.keys() - {"cls_token", "pos_embed"}
    params["cls_token"], params["pos_embed"] = (model.flat[n] for n in ("cls_token", "pos_embed"))
    assert same(params, {name: model.flat[name] for name in (*rest, "cls_token", "pos_embed")})
    assert config == model.config


@pytest.mark.parametrize(
    "prefix",
    ["model.", "module.", "pretrained.", "backbone.model.", "teacher.backbone.", "a.b.c.d."],
)
def test_WTS_03_wrappers_are_found_by_their_prefix_and_what_lies_beside_is_left(
    tiny, write, same, tmp_path, prefix
):
    wrapped = {f"{prefix}{name}": value for name, value in tiny.flat.items()}
    wrapped["decoder.weight"] = np.ones((3, 3), np.float32)

    params, _ = load_params(write(tmp_path / "m.npz", wrapped))

    assert same(params, tiny.flat)
    assert summarise(tmp_path / "m.npz").prefix == prefix


@pytest.mark.parametrize("prefix", ["dinov2.", "dinov2_with_registers."])
def test_classifiers_of_hugging_face_are_left_behind(tiny, write, same, tmp_path, prefix):
    wrapped = {f"{prefix}{name}": value for name, value in tiny.hugging_face.items()}
    wrapped |= {"classifier.weight": np.ones((10, 128), np.float32)}

    params, _ = load_params(write(tmp_path / "m.safetensors", wrapped))

    assert same(params, tiny.flat)


def test_the_course_file_with_and_without_model_prefix_is_the_same_model(
    make_tiny, write, same, tmp_path
):
    model = make_tiny()
    names = model.hugging_face
    prefixed = {f"model.{name}": value for name, value in names.items()}

    plain, _ = load_params(write(tmp_path / "vit-dinov2-base.npz", names))
    other, _ = load_params(write(tmp_path / "prefixed.npz", prefixed))

    assert same(plain, model.flat)
    assert same(other, model.flat)


def test_a_training_checkpoint_gives_its_teacher_without_heads(tiny, torch_file, same, tmp_path):
    teacher = {f"backbone.{name}": torch_file.tensor(value) for name, value in tiny.flat.items()}
    teacher["dino_head.mlp.0.weight"] = torch_file.tensor(np.ones((2, 2), np.float32))
    teacher["ibot_head.mlp.0.weight"] = torch_file.tensor(np.ones((2, 2), np.float32))
    student = {f"backbone.{name}": torch_file.tensor(-value) for name, value in tiny.flat.items()}
    tree = {"student": student, "teacher": teacher, "iteration": 7, "note": "text", "lr": 0.5}

    params, _ = load_params(torch_file.write(tmp_path / "teacher.pth", tree))

    assert same(params, tiny.flat)


@pytest.mark.parametrize("wrapper", ["model", "state_dict", "teacher"])
@pytest.mark.parametrize("prefix", ["", "module.", "module.backbone."])
def test_wrapped_checkpoints_of_pytorch_load(tiny, torch_file, same, tmp_path, wrapper, prefix):
    state = {f"{prefix}{name}": torch_file.tensor(value) for name, value in tiny.flat.items()}

    params, _ = load_params(torch_file.write(tmp_path / "c.pth", {wrapper: state, "epoch": 3}))

    assert same(params, tiny.flat)


def test_chunked_blocks_of_training_keep_their_global_number(tiny, write, same, tmp_path):
    chunked = {
        re.sub(r"^blocks\.(\d+)\.", r"blocks.\1.\1.", name): value
        for name, value in tiny.flat.items()
    }
    assert "blocks.1.1.norm1.weight" in chunked

    params, config = load_params(write(tmp_path / "m.pth", chunked))

    assert same(params, tiny.flat)
    assert config.depth == 2


def test_mask_tokens_and_root_heads_are_dropped(tiny, write, same, tmp_path):
    extra = {
        "mask_token": np.zeros((1, 64), np.float32),
        "head.weight": np.ones((5, 64), np.float32),
        "dino_head.last.weight": np.ones((5, 64), np.float32),
    }

    params, _ = load_params(write(tmp_path / "m.safetensors", tiny.flat | extra))

    assert same(params, tiny.flat)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_WTS_06_other_floats_become_float32(tiny, write, same, tmp_path, suffix, dtype):
    stored = {name: value.astype(dtype) for name, value in tiny.flat.items()}

    params, _ = load_params(write(tmp_path / f"m{suffix}", stored))

    assert same(params, tiny.flat)  # its values have few enough bits


def as_bfloat16(value: np.ndarray) -> np.ndarray:
    """The upper 16 bits of each float32, taken from its bytes."""
    return np.frombuffer(value.tobytes(), "<u2")[1::2].reshape(value.shape).copy()


def test_WTS_06_bfloat16_is_decoded_from_safetensors(tiny, write, same, tmp_path):
    stored = {name: as_bfloat16(value) for name, value in tiny.flat.items()}

    params, _ = load_params(write(tmp_path / "m.safetensors", stored))

    assert same(params, tiny.flat)
    assert summarise(tmp_path / "m.safetensors").dtypes == ("BF16",)


def test_WTS_06_bfloat16_is_decoded_from_pytorch(tiny, torch_file, same, tmp_path):
    state = {
        name: torch_file.tensor(as_bfloat16(value), "BFloat16") for name, value in tiny.flat.items()
    }

    params, _ = load_params(torch_file.write(tmp_path / "m.pth", state))

    assert same(params, tiny.flat)


def test_summarise_tells_what_a_file_is_without_its_values(make_tiny, write, tmp_path):
    model = make_tiny(registers=4)
    path = write(tmp_path / "m.pth", model.hugging_face)

    summary = summarise(path)

    assert (summary.container, summary.dialect, summary.dtypes) == (
        "torch",
        "huggingface",
        ("F32",),
    )
    assert summary.config == model.config
    assert summary.tensors == len(model.hugging_face)
    assert summary.parameters == sum(value.size for value in model.flat.values())


@pytest.mark.weights
def test_the_real_vit_s_loads(shared):
    params, config = load_params(shared / "weights" / "dav2-vits14-fp16.safetensors")

    assert config == SIZES["small"]
    assert params["blocks"][11]["attn"]["qkv"]["weight"].shape == (1152, 384)


@pytest.mark.weights
@pytest.mark.parametrize("kind", ["mlp", "mlp-reg4", "swiglu", "swiglu-reg4"])
def test_the_reference_models_load(shared, kind):
    path = Path(shared) / "golden" / "tiny" / f"tiny-{kind}.safetensors"

    _, config = load_params(path)

    assert config.swiglu == ("swiglu" in kind)
    assert config.num_register_tokens == (4 if "reg4" in kind else 0)
    assert (config.embed_dim, config.depth, config.num_heads) == (128, 3, 2)
