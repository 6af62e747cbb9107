"""The cached matrix: what was stored comes back, and nothing else ever does."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dinoseek.gallery.matrix_cache import MatrixKey, cache_file, load, store, sweep

KEY = MatrixKey(space="0123456789abcdef", version=7, stamp=b"s" * 16, rows=5, dim=8)


@pytest.fixture
def stored(tmp_path, unit_vectors) -> tuple[Path, np.ndarray, np.ndarray]:
    ids, matrix = np.array([2, 3, 5, 7, 2**40]), unit_vectors(5)
    assert store(tmp_path / "cache", KEY, ids, matrix)
    return tmp_path / "cache", ids, matrix


def test_what_was_stored_is_mapped(stored):
    folder, ids, matrix = stored
    loaded_ids, loaded = load(folder, KEY)
    np.testing.assert_array_equal(loaded_ids, ids)
    np.testing.assert_array_equal(loaded, matrix)
    assert loaded.dtype == np.float32
    assert loaded_ids.dtype == np.int64
    assert loaded.ctypes.data % 64 == 0
    assert not loaded.flags.writeable


@pytest.mark.parametrize(
    "change",
    [
        {"version": 8},
        {"stamp": b"t" * 16},
        {"space": "fedcba9876543210"},
        {"rows": 4},
        {"rows": 6},
        {"rows": 0},
        {"dim": 4, "rows": 9},
        {"dim": 2**31},
        {"rows": 2**40},
    ],
    ids=str,
)
def test_IDX_05_06_a_file_of_another_key_is_not_used(stored, change):
    folder, _, _ = stored
    key = replace(KEY, **change)
    if "space" in change:
        cache_file(folder, KEY).rename(cache_file(folder, key))
    assert load(folder, key) is None


def test_IDX_02_a_file_truncated_at_any_length_is_not_used(stored):
    folder, _, _ = stored
    file = cache_file(folder, KEY)
    whole = file.read_bytes()
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        assert load(folder, KEY) is None, length
    file.write_bytes(whole + b"\0")
    assert load(folder, KEY) is None


def test_IDX_03_a_flipped_bit_anywhere_is_detected_or_harmless(stored):
    folder, ids, matrix = stored
    file = cache_file(folder, KEY)
    whole = file.read_bytes()
    used = 0
    for position in range(8 * len(whole)):
        bent = bytearray(whole)
        bent[position // 8] ^= 1 << position % 8
        file.write_bytes(bent)
        if (loaded := load(folder, KEY)) is not None:
            used += 1
            np.testing.assert_array_equal(loaded[0], ids)
            np.testing.assert_array_equal(loaded[1], matrix)
    assert used < 8 * 64  # only the padding between the header and the matrix


def test_IDX_04_another_magic_or_version_of_the_format_is_not_used(stored):
    folder, _, _ = stored
    file = cache_file(folder, KEY)
    whole = file.read_bytes()
    for magic in (b"dinoseek2 little", b"dinoseek1 middle", b"\0" * 16):
        file.write_bytes(magic + whole[16:])
        assert load(folder, KEY) is None


def test_a_missing_file_or_folder_is_no_error(tmp_path):
    assert load(tmp_path / "nowhere", KEY) is None


def test_a_directory_in_the_files_place_is_no_error(tmp_path):
    cache_file(tmp_path, KEY).mkdir()
    assert load(tmp_path, KEY) is None


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path, unit_vectors):
    (tmp_path / "cache").write_text("a file is in the way")
    assert not store(tmp_path / "cache", KEY, np.arange(5), unit_vectors(5))


def test_an_interrupted_write_leaves_the_old_file(stored, unit_vectors, monkeypatch):
    folder, ids, _ = stored

    def cut(self, target):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", cut)
        with pytest.raises(KeyboardInterrupt):
            store(folder, replace(KEY, version=8), ids, unit_vectors(5, seed=3))
    assert load(folder, KEY) is not None
    assert [file.name for file in folder.iterdir()] == [cache_file(folder, KEY).name]


def test_IDX_08_only_own_leftovers_are_swept(stored):
    folder, _, _ = stored
    (folder / "0123.tmp").write_text("half")
    (folder / "thumbnail.jpg").write_text("not mine")
    sweep(folder)
    names = {file.name for file in folder.iterdir()}
    assert names == {"thumbnail.jpg", cache_file(folder, KEY).name}


def test_OPS_06_files_are_private(stored):
    folder, _, _ = stored
    assert cache_file(folder, KEY).stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700


@given(rows=st.integers(0, 20), dim=st.integers(1, 30), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_every_shape_comes_back(tmp_path_factory, rows, dim, seed):
    folder = tmp_path_factory.mktemp("cache")
    rng = np.random.default_rng(seed)
    ids, matrix = rng.integers(0, 2**60, rows), rng.standard_normal((rows, dim), np.float32)
    key = replace(KEY, rows=rows, dim=dim)
    assert store(folder, key, ids, matrix)
    loaded_ids, loaded = load(folder, key)
    np.testing.assert_array_equal(loaded_ids, ids)
    np.testing.assert_array_equal(loaded, matrix)
