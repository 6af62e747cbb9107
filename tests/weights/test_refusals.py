"""What load_params refuses: wrong dtypes, values not finite, files not there or changing."""

import os
import subprocess
import sys

import numpy as np
import pytest

from dinoseek.errors import MachineError, WeightsError
from dinoseek.weights.load import load_params

SUFFIXES = (".safetensors", ".npz", ".pth")


@pytest.mark.parametrize("dtype", ["int64", "complex64", "bool", "U4"])
def test_WTS_06_other_dtypes_are_refused_by_name(tiny, write, tmp_path, dtype):
    stored = tiny.flat | {"norm.bias": np.zeros(64, dtype)}

    with pytest.raises(WeightsError, match=r"norm\.bias is of dtype") as caught:
        load_params(write(tmp_path / "m.npz", stored))

    assert caught.value.code == "weights.dtype"


def test_WTS_06_int8_safetensors_and_long_tensors_are_refused(tiny, write, torch_file, tmp_path):
    stored = tiny.flat | {"norm.bias": np.zeros(64, np.int8)}
    state = {name: torch_file.tensor(value) for name, value in tiny.flat.items()}
    state["norm.bias"] = torch_file.tensor(np.zeros(64, np.int64))

    for path in (
        write(tmp_path / "m.safetensors", stored),
        torch_file.write(tmp_path / "m.pt", state),
    ):
        with pytest.raises(WeightsError, match=r"norm\.bias is of dtype I"):
            load_params(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_WTS_07_values_that_are_not_finite_are_refused_by_name(tiny, write, tmp_path, suffix, bad):
    values = tiny.flat["blocks.1.mlp.fc1.weight"].copy()
    values[3, 5] = bad
    path = write(tmp_path / f"m{suffix}", tiny.flat | {"blocks.1.mlp.fc1.weight": values})

    with pytest.raises(WeightsError, match=r"blocks\.1\.mlp\.fc1\.weight has NaN") as caught:
        load_params(path)

    assert caught.value.code == "weights.nonfinite"


def test_WTS_07_a_double_that_float32_cannot_hold_is_refused(tiny, write, tmp_path):
    stored = tiny.flat | {"norm.bias": np.full(64, 1e300)}

    with pytest.raises(WeightsError, match=r"norm\.bias has NaN or infinite"):
        load_params(write(tmp_path / "m.npz", stored))


def test_WTS_07_the_part_of_qkv_that_is_not_finite_is_named_as_the_file_spells_it(
    tiny, write, tmp_path
):
    names = tiny.hugging_face
    names["encoder.layer.0.attention.attention.key.bias"] = np.full(64, np.nan, np.float32)

    with pytest.raises(WeightsError, match=r"encoder\.layer\.0\.attention\.attention\.key\.bias"):
        load_params(write(tmp_path / "m.npz", names))


def test_WTS_01_a_missing_file_is_named_with_how_to_get_weights(tmp_path):
    with pytest.raises(MachineError, match=r"nowhere\.pth.*dinoseek models list") as caught:
        load_params(tmp_path / "nowhere.pth")

    assert caught.value.code == "weights.missing"


def test_WTS_01_an_empty_file_is_refused(tmp_path):
    path = tmp_path / "m.safetensors"
    path.touch()

    with pytest.raises(WeightsError, match="is empty"):
        load_params(path)


def test_WTS_01_a_folder_without_weights_is_refused(tmp_path):
    with pytest.raises(MachineError, match="folder without weights") as caught:
        load_params(tmp_path)

    assert caught.value.code == "weights.missing"


def test_WTS_01_a_pipe_is_refused_and_not_waited_for(tmp_path):
    path = tmp_path / "m.safetensors"
    os.mkfifo(path)

    with pytest.raises(WeightsError, match="not a regular file"):
        load_params(path)


def test_WTS_01_an_unreadable_file_is_told_as_such(tiny, write, tmp_path):
    path = write(tmp_path / "m.npz", tiny.flat)
    path.chmod(0)
    code = f"""
import os
from dinoseek.errors import MachineError
from dinoseek.weights.load import load_params
os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    load_params({str(path)!r})
except MachineError as error:
    print(error.code)
"""
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)  # pytest's own folders are closed to others

    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert run.stdout == "weights.unreadable\n"


def test_ST_06_a_file_that_changes_while_it_is_read_is_refused(tiny, write, tmp_path, monkeypatch):
    import dinoseek.weights.load as load

    path = write(tmp_path / "m.safetensors", tiny.flat)
    real = load.read_tensors

    def slow(checkpoint, plan):
        yield from real(checkpoint, plan)
        os.utime(path, ns=(1, 1))

    monkeypatch.setattr(load, "read_tensors", slow)

    with pytest.raises(WeightsError, match="changed while it was read"):
        load_params(path)


def test_ST_06_a_file_that_shrinks_while_it_is_read_does_not_kill_the_process(
    tiny, write, tmp_path, monkeypatch
):
    import dinoseek.weights.load as load

    path = write(tmp_path / "m.safetensors", tiny.flat)
    real = load.read_tensors

    def shrinking(checkpoint, plan):
        os.truncate(path, 10_000)
        yield from real(checkpoint, plan)

    monkeypatch.setattr(load, "read_tensors", shrinking)

    with pytest.raises(WeightsError, match=r"ends .* bytes too early"):
        load_params(path)
