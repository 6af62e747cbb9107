"""Loading keeps one float32 copy of the weights in memory, and little else."""

import subprocess
import sys

import numpy as np
import pytest

from dinoseek.vit.config import ViTConfig
from dinoseek.weights.infer import tensor_shapes

# ViT-B's width and positions, one block: 34 MiB in all, 9 MiB in the largest tensor.
CONFIG = ViTConfig(embed_dim=768, depth=1, num_heads=12, hidden_dim=3072)
MIB = 1 << 20
CODE = """
import re, sys
from pathlib import Path
from dinoseek.weights.load import load_params

def kib(field):
    return int(re.search(rf"{field}:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

before = kib("VmRSS")
params, _ = load_params(sys.argv[1])
print(kib("VmHWM") - before)
"""


@pytest.fixture(scope="module")
def flat():
    generator = np.random.default_rng(0)
    return {
        name: generator.standard_normal(shape, dtype=np.float32)
        for name, shape in tensor_shapes(CONFIG).items()
    }


@pytest.mark.parametrize("suffix", [".safetensors", ".npz", ".pth"])
def test_loading_peaks_at_one_float32_copy(flat, write, tmp_path, suffix):
    path = write(tmp_path / f"m{suffix}", flat)
    copy = sum(value.nbytes for value in flat.values())

    peak = peak_of(path)

    assert peak <= copy + 16 * MIB, f"{peak / MIB:.0f} MiB for {copy / MIB:.0f} MiB of weights"


def test_loading_half_precision_peaks_at_one_float32_copy(flat, write, tmp_path):
    path = write(tmp_path / "m.safetensors", {k: v.astype(np.float16) for k, v in flat.items()})
    copy = sum(value.nbytes for value in flat.values())

    assert peak_of(path) <= copy + 16 * MIB


def test_joining_query_key_and_value_takes_no_second_copy(flat, write, tmp_path):
    names = {}
    for name, value in flat.items():
        if "attn.qkv" in name:
            for part, rows in zip(("query", "key", "value"), np.split(value, 3), strict=True):
                hf = name.replace("blocks.", "encoder.layer.")
                names[hf.replace("attn.qkv", f"attention.attention.{part}")] = rows
    rest = {
        name.replace("blocks.", "encoder.layer.").replace("ls1.gamma", "layer_scale1.lambda1")
        .replace("ls2.gamma", "layer_scale2.lambda1").replace("attn.proj", "attention.output.dense")
        .replace("patch_embed.proj", "embeddings.patch_embeddings.projection")
        .replace("cls_token", "embeddings.cls_token")
        .replace("pos_embed", "embeddings.position_embeddings"): value
        for name, value in flat.items()
        if "attn.qkv" not in name and not name.startswith("norm.")
    }  # fmt: skip
    rest |= {f"layer{name}": flat[name] for name in ("norm.weight", "norm.bias")}
    path = write(tmp_path / "m.safetensors", names | rest)
    copy = sum(value.nbytes for value in flat.values())

    assert peak_of(path) <= copy + 16 * MIB


def peak_of(path) -> int:
    """The most memory, in bytes, that a fresh process needs above what the imports take."""
    run = subprocess.run(
        [sys.executable, "-c", CODE, str(path)], capture_output=True, text=True, check=True
    )
    return int(run.stdout) * 1024
