"""Fitted files: what is written is read, and nothing else is."""

import dataclasses

import numpy as np
import pytest
from safetensors.numpy import save_file

from dinoseek.errors import MachineError, UsageError, WeightsError
from dinoseek.weights.fitted import Fitted, fitted_with_digest, load_fitted, save_fitted

ARRAYS = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.ones(3, np.float32)}
FITTED = Fitted(kind="pca", facts={"whiten": True}, arrays=ARRAYS)


@pytest.fixture
def file(tmp_path):
    save_fitted(tmp_path / "f.safetensors", FITTED)
    return tmp_path / "f.safetensors"


def test_what_is_written_is_read(file, tmp_path):
    found = load_fitted(file, "pca", tmp_path)

    assert (found.kind, found.facts, found.digest) == ("pca", {"whiten": True}, FITTED.digest)
    np.testing.assert_array_equal(found.arrays["a"], ARRAYS["a"])


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "vlad"},
        {"facts": {"whiten": False}},
        {"arrays": {**ARRAYS, "b": np.zeros(3, np.float32)}},
        {"arrays": {"c": ARRAYS["a"], "b": ARRAYS["b"]}},
        {"arrays": {**ARRAYS, "a": ARRAYS["a"].reshape(3, 2)}},
    ],
)
def test_whatever_changes_has_another_digest(change):
    assert dataclasses.replace(FITTED, **change).digest != FITTED.digest


def test_a_copy_is_kept_under_its_digest(file, tmp_path):
    cache = tmp_path / "cache"
    assert fitted_with_digest(FITTED.digest, cache) is None

    load_fitted(file, "pca", cache)
    file.unlink()

    kept = fitted_with_digest(FITTED.digest, cache)
    assert load_fitted(kept, "pca", cache).digest == FITTED.digest


def test_a_cache_that_cannot_be_written_is_not_used(file, tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")

    assert load_fitted(file, "pca", tmp_path / "cache").digest == FITTED.digest


def test_another_file_is_replaced_only_when_asked(file):
    with pytest.raises(UsageError, match="use --force"):
        save_fitted(file, FITTED)
    save_fitted(file, FITTED, force=True)


def test_another_suffix_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"name it \.safetensors"):
        save_fitted(tmp_path / "f.npz", FITTED)


def test_another_kind_is_refused(file, tmp_path):
    with pytest.raises(WeightsError, match="fitted for pca, not for vlad") as found:
        load_fitted(file, "vlad", tmp_path)
    assert found.value.code == "fitted.kind"


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(MachineError, match=r"none\.safetensors"):
        load_fitted(tmp_path / "none.safetensors", "pca", tmp_path)


@pytest.mark.parametrize("content", ["text", "cut", "weights", "newer", "nan", "double"])
def test_a_damaged_or_foreign_file_is_refused_on_one_line(file, tmp_path, content):
    path = tmp_path / "bad.safetensors"
    header = {"dinoseek.fitted": '{"format": 1, "kind": "pca", "facts": {}}'}
    match content:
        case "text":
            path.write_text("not a file of tensors")
        case "cut":
            path.write_bytes(file.read_bytes()[:-5])
        case "weights":
            save_file(ARRAYS, path)
        case "newer":
            save_file(ARRAYS, path, {"dinoseek.fitted": '{"format": 2, "kind": "pca"}'})
        case "nan":
            save_file({"a": np.float32([np.nan])}, path, header)
        case "double":
            save_file({"a": np.zeros(3)}, path, header)

    with pytest.raises(WeightsError, match=r"bad\.safetensors") as found:
        load_fitted(path, "pca", tmp_path)

    assert found.value.code == "fitted.corrupt"
    assert "\n" not in str(found.value)
