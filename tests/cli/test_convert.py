"""`dinoseek convert`: any checkpoint to safetensors or .npz."""

import io
import json
import struct

import numpy as np
import pytest
from click.testing import CliRunner

from dinoseek.cli.convert import command
from dinoseek.errors import MachineError, UsageError, WeightsError
from dinoseek.vit.config import ViTConfig
from dinoseek.weights.infer import tensor_shapes
from dinoseek.weights.load import load_params, save_params, summarise
from dinoseek.weights.naming import nest

CONFIG = ViTConfig(embed_dim=64, depth=1, num_heads=1, hidden_dim=16, patch_size=2, grid=2)


def run(*arguments: object):
    return CliRunner().invoke(command, [str(a) for a in arguments], catch_exceptions=False)


@pytest.fixture
def flat() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {
        name: generator.standard_normal(shape, dtype=np.float32)
        for name, shape in tensor_shapes(CONFIG).items()
    }


@pytest.fixture
def source(flat, tmp_path):
    """A safetensors file under a wrapper's prefix, without our configuration."""
    header, data = {}, io.BytesIO()
    for name, value in flat.items():
        start = data.tell()
        data.write(value.tobytes())
        entry = {"dtype": "F32", "shape": value.shape, "data_offsets": [start, data.tell()]}
        header[f"pretrained.{name}"] = entry
    text = json.dumps(header).encode()
    path = tmp_path / "source.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + data.getvalue())
    return path


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_the_result_holds_the_same_weights_under_facebooks_names(source, flat, tmp_path, suffix):
    target = tmp_path / f"out{suffix}"

    result = run(source, target)

    assert result.exit_code == 0
    assert result.stdout == f"{target}\n"
    params, config = load_params(target)
    assert config == CONFIG
    assert summarise(target).prefix == ""
    assert np.array_equal(
        params["blocks"][0]["attn"]["qkv"]["weight"], flat["blocks.0.attn.qkv.weight"]
    )


def test_what_was_read_is_told_on_stderr(source, flat, tmp_path):
    result = run(source, tmp_path / "out.npz")

    for part in (
        "safetensors",
        "facebook names",
        f"{len(flat)} tensors",
        "F32",
        "embed_dim 64",
        "MLP",
    ):
        assert part in result.stderr


def test_float16_is_stored_on_request(source, flat, tmp_path):
    target = tmp_path / "half.safetensors"

    assert run(source, target, "--float16").exit_code == 0

    assert summarise(target).dtypes == ("F16",)
    found = load_params(target)[0]["norm"]["bias"]
    assert np.array_equal(found, flat["norm.bias"].astype(np.float16).astype(np.float32))


def test_an_existing_file_is_replaced_only_by_force(source, tmp_path):
    target = tmp_path / "out.npz"
    target.write_bytes(b"precious")

    with pytest.raises(UsageError, match="--force") as caught:
        run(source, target)

    assert caught.value.code == "file.exists"
    assert target.read_bytes() == b"precious"
    assert run(source, target, "--force").exit_code == 0
    assert summarise(target).config == CONFIG


def test_a_converted_file_can_be_converted_again_to_itself(flat, tmp_path):
    path = tmp_path / "m.safetensors"
    save_params(path, nest(flat), CONFIG)
    before = path.read_bytes()

    assert run(path, path, "--force").exit_code == 0
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["out.pth", "out"])
def test_an_output_of_another_kind_is_refused_before_anything_is_read(tmp_path, name):
    with pytest.raises(UsageError, match="safetensors or"):
        run(tmp_path / "not read", tmp_path / name)

    assert not (tmp_path / name).exists()


def test_a_missing_source_is_told(tmp_path):
    with pytest.raises(MachineError, match="no such weights file"):
        run(tmp_path / "nowhere.pth", tmp_path / "out.npz")


def test_a_damaged_source_writes_nothing(source, tmp_path):
    source.write_bytes(source.read_bytes()[:-1])

    with pytest.raises(WeightsError):
        run(source, tmp_path / "out.npz")

    assert not (tmp_path / "out.npz").exists()


def test_a_result_that_does_not_read_back_is_told(source, tmp_path, monkeypatch):
    import dinoseek.weights.load as load

    real = load.save_params

    def corrupting(path, params, config, **options):
        real(path, params, config, **options)
        content = bytearray(path.read_bytes())
        content[-2] ^= 0x40
        path.write_bytes(content)

    monkeypatch.setattr(load, "save_params", corrupting)

    with pytest.raises(WeightsError):
        run(source, tmp_path / "out.safetensors")
