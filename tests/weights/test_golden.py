"""Weights as transformers writes them, loaded and run: the same tokens come out as there."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dinoseek.vit.model import forward
from dinoseek.weights.load import load_params, summarise

FILES = sorted((Path(__file__).parents[1] / "golden").glob("hf-*.npz"))
FORMAT = 1
TOLERANCE = 5e-5


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def golden(request):
    with np.load(request.param) as arrays:
        golden = dict(arrays)
    golden["about"] = json.loads(str(golden["about"]))
    assert golden["about"]["format"] == FORMAT, "stale: run tools/make_golden.py again"
    return golden


def in_memory(state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The file's tensors under the names that transformers 5 has in memory, gate and up apart."""
    result = {}
    for name, value in state.items():
        for old, new in (
            ("attention.attention.query", "attention.q_proj"),
            ("attention.attention.key", "attention.k_proj"),
            ("attention.attention.value", "attention.v_proj"),
            ("attention.output.dense", "attention.o_proj"),
            ("mlp.weights_out", "mlp.down_proj"),
        ):
            name = name.replace(old, new)
        if "weights_in" in name:
            gate, up = np.split(value, 2)
            result |= {name.replace("weights_in", "gate_proj"): gate}
            result |= {name.replace("weights_in", "up_proj"): up}
        else:
            result[name] = value
    return result


def stored(golden, names: str) -> dict[str, np.ndarray]:
    state = {name[5:]: value for name, value in golden.items() if name.startswith("file.")}
    return state if names == "file" else in_memory(state)


def save(golden, folder: Path, names: str, suffix: str, write) -> Path:
    (folder / "config.json").write_text(json.dumps(golden["about"]["config"]))
    return write(folder / f"model{suffix}", stored(golden, names))


def test_the_names_in_memory_are_those_that_transformers_has(golden):
    assert sorted(in_memory(stored(golden, "file"))) == golden["about"]["memory_names"]


@pytest.mark.parametrize("suffix", [".safetensors", ".npz", ".pth"])
@pytest.mark.parametrize("names", ["file", "memory"])
def test_both_dialects_of_hugging_face_give_its_tokens(golden, names, suffix, write, tmp_path):
    path = save(golden, tmp_path, names, suffix, write)

    params, config = load_params(path)

    assert summarise(path).dialect == ("huggingface" if names == "file" else "transformers-5")
    about = golden["about"]["config"]
    assert config.embed_dim == about["hidden_size"]
    assert config.depth == about["num_hidden_layers"]
    assert config.num_heads == about["num_attention_heads"]
    assert config.num_register_tokens == about["num_register_tokens"]
    for size in ("70x70", "42x98"):
        tokens = forward(
            golden[f"{size}.pixels"].astype(np.float32), params, replace(config, pos_flavour="hf")
        )
        found = np.concatenate([tokens.cls[:, None], tokens.registers, tokens.patches], axis=1)
        error = np.abs(found - golden[f"{size}.tokens"]).max()
        assert error <= TOLERANCE, f"{size}: off by {error:.1e}"


def test_the_flavour_matters_where_the_grid_is_not_the_stored_one(golden, write, tmp_path):
    """Else the comparison above would not see a wrong interpolation."""
    params, config = load_params(save(golden, tmp_path, "file", ".npz", write))
    pixels = golden["42x98.pixels"].astype(np.float32)

    cls = forward(pixels, params, replace(config, pos_flavour="hub")).cls

    differs = np.abs(cls - golden["42x98.tokens"][:, 0]).max() > TOLERANCE
    assert differs == (config.num_register_tokens == 0)  # register models have but one flavour
