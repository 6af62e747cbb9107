"""Weights written whole or not at all, and read back by others."""

import os
import resource
import stat
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file

from dinoseek.errors import MachineError, UsageError, WeightsError
from dinoseek.weights.load import load_params, save_params, verify_saved


def test_other_readers_find_facebooks_names_in_safetensors(tiny, tmp_path):
    save_params(tmp_path / "m.safetensors", tiny.params, tiny.config, metadata={"made by": "me"})

    found = load_file(tmp_path / "m.safetensors")

    assert found.keys() == tiny.flat.keys()
    assert all(np.array_equal(found[name], value) for name, value in tiny.flat.items())


def test_numpy_finds_facebooks_names_in_npz(tiny, tmp_path):
    save_params(tmp_path / "m.npz", tiny.params, tiny.config)

    with np.load(tmp_path / "m.npz") as found:
        assert set(found) == {*tiny.flat, "__dinoseek_config__"}
        assert all(np.array_equal(found[name], value) for name, value in tiny.flat.items())


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_float16_halves_the_file_and_loads_as_float32(tiny, same, tmp_path, suffix):
    full, half = tmp_path / f"full{suffix}", tmp_path / f"half{suffix}"
    save_params(full, tiny.params, tiny.config)
    save_params(half, tiny.params, tiny.config, dtype="float16")

    assert half.stat().st_size < 0.6 * full.stat().st_size
    assert same(load_params(half)[0], tiny.flat)


def test_bfloat16_is_what_another_library_rounds_to(tiny, same, tmp_path):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    params = tiny.params
    rng = np.random.default_rng(0)
    params["norm"]["bias"] = rng.standard_normal(64, dtype=np.float32) * 1e5
    params["norm"]["weight"] = (1 + np.arange(64) * 2**-9).astype(np.float32)  # ties, too
    path = tmp_path / "m.safetensors"

    save_params(path, params, tiny.config, dtype="bfloat16", metadata={"made by": "me"})

    with safe_open(path, framework="numpy") as file:
        assert file.metadata()["made by"] == "me"
        assert {file.get_slice(name).get_dtype() for name in file.keys()} == {"BF16"}  # noqa: SIM118
    found = load_params(path)[0]["norm"]
    for name, values in found.items():
        expected = params["norm"][name].astype(ml_dtypes.bfloat16).astype(np.float32)
        assert np.array_equal(values, expected)
        assert not np.array_equal(values, params["norm"][name])
    verify_saved(path, params, tiny.config, dtype="bfloat16")


def test_npz_has_no_bfloat16(tiny, tmp_path):
    with pytest.raises(UsageError, match=r"name it \.safetensors"):
        save_params(tmp_path / "m.npz", tiny.params, tiny.config, dtype="bfloat16")

    assert list(tmp_path.iterdir()) == []


def test_values_that_bfloat16_cannot_hold_are_refused(tiny, tmp_path):
    params = tiny.params
    params["norm"]["bias"] = np.full(64, np.finfo(np.float32).max)

    with pytest.raises(WeightsError, match=r"norm\.bias has values that bfloat16 cannot hold"):
        save_params(tmp_path / "m.safetensors", params, tiny.config, dtype="bfloat16")


@settings(
    max_examples=30,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
)
@given(
    st.sampled_from([".safetensors", ".npz"]),
    st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=64, max_size=64),
)
def test_any_finite_values_survive_a_round_trip(tiny, tmp_path, suffix, values):
    params = tiny.params
    params["norm"]["bias"] = np.array(values, np.float32)
    path = tmp_path / f"m{suffix}"

    save_params(path, params, tiny.config)
    found = load_params(path)[0]["norm"]["bias"]

    assert found.tobytes() == params["norm"]["bias"].tobytes()  # -0.0 and the smallest included


def test_values_that_float16_cannot_hold_are_refused_by_name(tiny, tmp_path):
    params = tiny.params
    params["norm"]["bias"] = np.full(64, 70_000, np.float32)

    with pytest.raises(WeightsError, match=r"norm\.bias has values that float16 cannot hold"):
        save_params(tmp_path / "m.npz", params, tiny.config, dtype="float16")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["m.pth", "m", "m.bin", "m.SAFETENSORS"])
def test_other_suffixes_are_refused(tiny, tmp_path, name):
    with pytest.raises(UsageError, match=r"name it \.safetensors or \.npz"):
        save_params(tmp_path / name, tiny.params, tiny.config)


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_a_failed_write_leaves_the_old_file_and_no_other(tiny, tmp_path, suffix):
    path = tmp_path / f"m{suffix}"
    path.write_bytes(b"old")
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    code = f"""
import resource, signal, sys
import numpy as np
from dinoseek.errors import MachineError
from dinoseek.vit.config import ViTConfig
from dinoseek.weights.load import save_params
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, {hard}))
config = ViTConfig(embed_dim=64, depth=1, num_heads=1, hidden_dim=16)
params = {{"norm": {{"bias": np.ones(100_000, np.float32)}}, "blocks": []}}
try:
    save_params({str(path)!r}, params, config)
except MachineError as error:
    print(error.code)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert run.stdout == "weights.unwritable\n"
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_a_folder_that_is_not_there_is_told(tiny, tmp_path):
    with pytest.raises(MachineError, match="cannot be written") as caught:
        save_params(tmp_path / "no" / "m.npz", tiny.params, tiny.config)

    assert caught.value.code == "weights.unwritable"


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_the_file_has_the_permissions_that_the_user_wants(tiny, tmp_path, suffix):
    old = os.umask(0o027)
    try:
        save_params(tmp_path / f"m{suffix}", tiny.params, tiny.config)
    finally:
        os.umask(old)

    assert stat.S_IMODE((tmp_path / f"m{suffix}").stat().st_mode) == 0o640


def test_the_content_is_on_disk_before_the_name_changes(tiny, tmp_path, monkeypatch):
    steps = []
    real_fsync, real_replace = os.fsync, type(tmp_path).replace
    monkeypatch.setattr(os, "fsync", lambda fd: (steps.append("sync"), real_fsync(fd))[1])
    monkeypatch.setattr(
        type(tmp_path),
        "replace",
        lambda self, to: (steps.append("rename"), real_replace(self, to))[1],
    )

    save_params(tmp_path / "m.npz", tiny.params, tiny.config)

    assert steps == ["sync", "rename", "sync"]
