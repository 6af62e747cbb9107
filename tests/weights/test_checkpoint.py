"""Folders, sharded sets, and files whose name says something else than their content."""

import json
import random
from pathlib import Path

import numpy as np
import pytest

from dinoseek.errors import MachineError, WeightsError
from dinoseek.weights.load import load_params, summarise


def shard(folder, flat, write, suffix=".safetensors", count=3):
    """Splits tensors over files with an index, as Hugging Face does for large models."""
    stem = "model" if suffix == ".safetensors" else "pytorch_model"
    names = [f"{stem}-{i + 1:05}-of-{count:05}{suffix}" for i in range(count)]
    weight_map = {tensor: names[i % count] for i, tensor in enumerate(flat)}
    for name in names:
        content = {tensor: flat[tensor] for tensor, where in weight_map.items() if where == name}
        written = write(folder / f"{stem}{'.pth' if suffix == '.bin' else suffix}", content)
        written.rename(folder / name)
    index = folder / f"{stem}{suffix}.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map}))
    return index


@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
@pytest.mark.parametrize("by", ["index", "folder"])
def test_sharded_sets_load_by_index_or_folder(make_tiny, write, same, tmp_path, suffix, by):
    model = make_tiny(registers=4)
    index = shard(tmp_path, model.hugging_face, write, suffix)

    params, config = load_params(index if by == "index" else tmp_path)

    assert same(params, model.flat)
    assert config == model.config


def test_a_shard_that_is_not_here_is_named(tiny, write, tmp_path):
    index = shard(tmp_path, tiny.flat, write)
    (tmp_path / "model-00002-of-00003.safetensors").unlink()

    with pytest.raises(MachineError, match=r"1 of its 3 files .*00002-of-00003") as caught:
        load_params(index)

    assert caught.value.code == "weights.missing"


def test_tensors_in_two_shards_are_refused(tiny, write, tmp_path):
    index = shard(tmp_path, tiny.flat, write)
    write(tmp_path / "m.safetensors", tiny.flat).rename(
        tmp_path / "model-00002-of-00003.safetensors"
    )

    with pytest.raises(WeightsError, match="holds two tensors called"):
        load_params(index)


@pytest.mark.parametrize(
    "weight_map",
    [
        {"a": "../m.safetensors"},
        {"a": "/etc/passwd"},
        {"a": ".."},
        {"a": ""},
        {"a": None},
        {},
        [],
        "text",
        {str(i): f"{i}.safetensors" for i in range(300)},
    ],
    ids=lambda value: str(value)[:30],
)
def test_an_index_that_names_files_elsewhere_or_none_is_refused(tiny, write, tmp_path, weight_map):
    folder = tmp_path / "deep"
    folder.mkdir()
    write(tmp_path / "m.safetensors", tiny.flat)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))

    with pytest.raises((WeightsError, MachineError)) as caught:
        load_params(index)

    assert caught.value.code in ("weights.format", "weights.missing")


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b" " * 5_000_000])
def test_a_damaged_index_is_refused(tmp_path, text):
    index = tmp_path / "model.safetensors.index.json"
    index.write_bytes(text)

    with pytest.raises(WeightsError):
        load_params(index)


def test_a_folder_prefers_the_usual_names_and_takes_a_single_other_file(
    tiny, write, same, tmp_path
):
    only = write(tmp_path / "epoch_12.npz", tiny.flat)
    (tmp_path / "notes.txt").write_text("x")
    assert summarise(tmp_path).path == only

    usual = write(tmp_path / "model.safetensors", tiny.flat)
    write(tmp_path / "other.safetensors", tiny.flat)
    assert summarise(tmp_path).path == usual
    assert same(load_params(tmp_path)[0], tiny.flat)


def test_a_folder_with_several_candidates_is_ambiguous(tiny, write, tmp_path):
    for name in ("a.npz", "b.pth"):
        write(tmp_path / name, tiny.flat)

    with pytest.raises(WeightsError, match=r"several weights files \(a\.npz, b\.pth\)") as caught:
        load_params(tmp_path)

    assert caught.value.code == "weights.ambiguous"


@pytest.mark.parametrize("content", [".safetensors", ".npz", ".pth"])
@pytest.mark.parametrize("name", [".safetensors", ".npz", ".pth", ".pt", ".bin"])
def test_WTS_02_a_name_that_contradicts_the_content_is_refused(
    tiny, write, tmp_path, content, name
):
    kinds = {".safetensors": "safetensors", ".npz": "npz", ".pth": "torch", ".pt": "torch"}
    kinds[".bin"] = "torch"
    path = tmp_path / f"m{name}"
    write(tmp_path / f"written{content}", tiny.flat).rename(path)

    if kinds[content] == kinds[name]:
        assert summarise(path).container == kinds[content]
        return
    with pytest.raises(WeightsError, match=f"is a {kinds[content]} file under the name") as caught:
        load_params(path)
    assert caught.value.code == "weights.format"


@pytest.mark.parametrize("content", [".safetensors", ".npz", ".pth"])
def test_a_name_that_says_nothing_leaves_it_to_the_content(tiny, write, same, tmp_path, content):
    path = tmp_path / "ae1e99fcefd534ed978cdeb8326f08030c96e28b"
    write(tmp_path / f"m{content}", tiny.flat).rename(path)

    assert same(load_params(path)[0], tiny.flat)


NOISE = random.Random(0).randbytes(600)  # other noise may begin as a known format does


@pytest.mark.parametrize(
    "content",
    [b"<!doctype html><html>404", b"\x89HDF\r\n\x1a\n" + bytes(100), NOISE, b"x"],
    ids=["html", "hdf5", "noise", "one byte"],
)
def test_WTS_02_other_files_are_refused(tmp_path, content):
    path = tmp_path / "m.safetensors"
    path.write_bytes(content)

    with pytest.raises(WeightsError) as caught:
        load_params(path)

    assert caught.value.code == "weights.format"


def test_WTS_02_other_zip_files_are_refused(tmp_path):
    import zipfile

    path = tmp_path / "photos.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.jpg", "x")

    with pytest.raises(WeightsError, match="of neither NumPy nor PyTorch"):
        load_params(path)


def test_files_are_closed_even_when_they_are_refused(tiny, write, tmp_path):
    path = write(tmp_path / "m.npz", tiny.flat | {"extra": np.ones(2, np.float32)})
    before = len(list(Path("/proc/self/fd").iterdir()))

    for _ in range(5):
        with pytest.raises(WeightsError):
            load_params(path)

    assert len(list(Path("/proc/self/fd").iterdir())) == before
