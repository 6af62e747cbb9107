"""The cached matrix: what was stored comes back, and nothing else ever does."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dinoseek.gallery import matrix_cache
from dinoseek.gallery.matrix_cache import (
    DamagedError,
    MatrixKey,
    cache_file,
    load,
    size_of,
    store,
    stored_key,
    sweep,
)
from dinoseek.gallery.row_sums import row_sums

KEY = MatrixKey(space="0123456789abcdef", version=7, stamp=b"s" * 16, rows=5, dim=8)


@pytest.fixture
def stored(tmp_path, unit_vectors) -> tuple[Path, np.ndarray, np.ndarray]:
    ids, matrix = np.array([2, 3, 5, 7, 2**40]), unit_vectors(5)
    assert store(tmp_path / "cache", KEY, ids, matrix)
    return tmp_path / "cache", ids, matrix


def read(folder: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """Ids and all vectors as copies, or None where the file is refused."""
    matrix = load(folder, KEY.space)
    if matrix is None:
        return None
    try:
        return matrix.ids, matrix.whole().copy()
    except DamagedError:
        return None
    finally:
        matrix.close()


def read_some(folder: Path, places: np.ndarray) -> np.ndarray | None:
    """The vectors at some places, or None where the file or one of them is refused."""
    matrix = load(folder, KEY.space)
    if matrix is None:
        return None
    try:
        return matrix.rows(places)
    except DamagedError:
        return None
    finally:
        matrix.close()


def test_what_was_stored_is_mapped(stored):
    folder, ids, vectors = stored
    matrix = load(folder, KEY.space)
    np.testing.assert_array_equal(matrix.ids, ids)
    np.testing.assert_array_equal(matrix.whole(), vectors)
    assert matrix.key == stored_key(folder, KEY.space) == KEY
    assert matrix.whole().dtype == np.float32
    assert matrix.ids.dtype == np.int64
    assert matrix.whole().ctypes.data % 64 == 0
    assert not matrix.whole().flags.writeable
    matrix.close()


@pytest.mark.parametrize("one_by_one", [0, 100])
@pytest.mark.parametrize("places", [[], [4], [0, 2, 3], [3, 3, 0]], ids=str)
def test_rows_come_as_they_were_asked_for(stored, monkeypatch, places, one_by_one):
    monkeypatch.setattr(matrix_cache, "_READ_ONE_BY_ONE", one_by_one)
    folder, _, vectors = stored
    found = read_some(folder, np.array(places, np.int64))
    np.testing.assert_array_equal(found, vectors[places].reshape(-1, 8))


@pytest.mark.parametrize("ids", [[], [3], [3, 4, 5, 6], [2, 3, 5, 7, 2**40]], ids=str)
def test_images_are_found_by_id(ids, unit_vectors):
    wanted = np.array([-1, 0, 2, 3, 4, 6, 7, 8, 2**40, 2**50])
    matrix = matrix_cache.Matrix.in_memory(KEY, np.array(ids, np.int64), unit_vectors(len(ids)))
    places, known = matrix.find(wanted)
    assert known.tolist() == [id in ids for id in wanted]
    assert [ids[place] for place in places[known]] == [id for id in wanted if id in ids]


@pytest.mark.parametrize("space", ["fedcba9876543210", "0123456789abcde\0"])
def test_IDX_05_06_a_file_of_another_space_is_not_used(stored, space):
    folder, _, _ = stored
    cache_file(folder, KEY.space).rename(cache_file(folder, space.rstrip("\0")))
    assert load(folder, space.rstrip("\0")) is None
    assert stored_key(folder, space.rstrip("\0")) is None


@pytest.mark.parametrize(
    "change", [{"rows": 4}, {"rows": 0}, {"dim": 4, "rows": 9}, {"dim": 2**31}, {"rows": 2**40}]
)
def test_IDX_05_a_header_that_claims_another_size_is_refused_before_memory_is_taken(stored, change):
    folder, _, _ = stored
    file = cache_file(folder, KEY.space)
    whole = file.read_bytes()
    header = matrix_cache._header(replace(KEY, **change), 0)  # its own checksum is right
    file.write_bytes(header + whole[len(header) :])
    assert load(folder, KEY.space) is None


def test_IDX_02_a_file_truncated_at_any_length_is_not_used(stored):
    folder, _, _ = stored
    file = cache_file(folder, KEY.space)
    whole = file.read_bytes()
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        assert load(folder, KEY.space) is None, length
    file.write_bytes(whole + b"\0")
    assert load(folder, KEY.space) is None


def test_IDX_28_a_file_truncated_while_it_is_open_is_refused_and_kills_nothing(stored):
    folder, _, _ = stored
    matrix = load(folder, KEY.space)
    with cache_file(folder, KEY.space).open("r+b") as file:
        file.truncate(140)
    with pytest.raises(DamagedError, match="length"):
        matrix.whole()
    with pytest.raises(DamagedError, match="shorter"):
        matrix.rows(np.array([3]))
    with pytest.raises(DamagedError, match="length"):
        matrix.rows(np.zeros(1000, np.int64))
    matrix.close()


@pytest.mark.parametrize("one_by_one", [0, 100])
def test_IDX_03_a_flipped_bit_anywhere_is_detected_or_harmless(stored, monkeypatch, one_by_one):
    monkeypatch.setattr(matrix_cache, "_READ_ONE_BY_ONE", one_by_one)
    folder, ids, vectors = stored
    file = cache_file(folder, KEY.space)
    whole = file.read_bytes()
    used = 0
    for position in range(8 * len(whole)):
        bent = bytearray(whole)
        bent[position // 8] ^= 1 << position % 8
        file.write_bytes(bent)
        if (found := read(folder)) is not None:
            used += 1
            np.testing.assert_array_equal(found[0], ids)
            np.testing.assert_array_equal(found[1], vectors)
        if (some := read_some(folder, np.array([1, 4]))) is not None:
            np.testing.assert_array_equal(some, vectors[[1, 4]])
    assert used < 8 * 64  # only the padding between the header and the matrix


def test_IDX_03_two_signs_that_flip_or_rows_that_change_places_are_detected(unit_vectors):
    ids, vectors = np.arange(4), unit_vectors(4, 384)
    before = row_sums(ids, vectors)
    for columns in ([1, 9], [100, 200], [301, 303, 305, 307]):
        signs = vectors.copy()
        signs[:, columns] *= -1
        assert (row_sums(ids, signs) != before).all()
    assert (row_sums(ids, vectors[::-1]) != before).all()


@given(rows=st.integers(0, 5), dim=st.integers(1, 9), seed=st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_a_rows_checksum_does_not_depend_on_the_others(rows, dim, seed):
    rng = np.random.default_rng(seed)
    ids, vectors = rng.integers(0, 2**60, rows), rng.standard_normal((rows, dim), np.float32)
    alone = [row_sums(ids[i : i + 1], vectors[i : i + 1])[0] for i in range(rows)]
    assert row_sums(ids, vectors).tolist() == alone


def test_IDX_04_another_magic_or_version_of_the_format_is_not_used(stored):
    folder, _, _ = stored
    file = cache_file(folder, KEY.space)
    whole = file.read_bytes()
    for magic in (b"dinoseek1 little", b"dinoseek3 little", b"dinoseek2 middle", b"\0" * 16):
        file.write_bytes(magic + whole[16:])
        assert load(folder, KEY.space) is None


def test_IDX_30_rows_beyond_the_reach_of_32_bits_are_read_from_their_places(tmp_path, unit_vectors):
    key = replace(KEY, rows=3_000_000, dim=768)  # 9.2 GB, nearly all of it a hole in the file
    ids = np.arange(key.rows)
    places = np.array([0, 2**31 // 3072, 2**32 // 3072, 2**33 // 3072 + 1, key.rows - 1])
    vectors = unit_vectors(len(places), 768)
    write_sparse(tmp_path, key, ids, places, vectors)
    matrix = load(tmp_path, key.space)
    many = np.repeat(places, 60)
    np.testing.assert_array_equal(matrix.rows(places), vectors)
    np.testing.assert_array_equal(matrix.rows(many), np.repeat(vectors, 60, axis=0))
    matrix.close()


def write_sparse(folder, key, ids, places, vectors):
    """The file that `store` would write for a matrix of zeros but for a few rows."""
    sums = np.zeros(key.rows, np.uint64)
    sums[places] = row_sums(ids[places], vectors)
    with cache_file(folder, key.space).open("wb") as file:
        file.write(matrix_cache._header(key, matrix_cache._checksum(ids, sums)))
        for place, vector in zip(places.tolist(), vectors, strict=True):
            file.seek(128 + place * key.dim * 4)
            file.write(vector.data)
        file.seek(128 + key.rows * key.dim * 4)
        file.write(ids.data)
        file.write(sums.data)
        assert file.tell() == size_of(key)


def test_a_missing_file_or_folder_is_no_error(tmp_path):
    assert load(tmp_path / "nowhere", KEY.space) is None


def test_a_directory_in_the_files_place_is_no_error(tmp_path):
    cache_file(tmp_path, KEY.space).mkdir()
    assert load(tmp_path, KEY.space) is None


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
    assert read(folder) is not None
    assert [file.name for file in folder.iterdir()] == [cache_file(folder, KEY.space).name]


def test_IDX_08_only_own_leftovers_are_swept(stored):
    folder, _, _ = stored
    (folder / "0123.tmp").write_text("half")
    (folder / "thumbnail.jpg").write_text("not mine")
    sweep(folder)
    names = {file.name for file in folder.iterdir()}
    assert names == {"thumbnail.jpg", cache_file(folder, KEY.space).name}


def test_OPS_06_files_are_private(stored):
    folder, _, _ = stored
    assert cache_file(folder, KEY.space).stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700


@given(rows=st.integers(0, 20), dim=st.integers(1, 30), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_every_shape_comes_back(tmp_path_factory, rows, dim, seed):
    folder = tmp_path_factory.mktemp("cache")
    rng = np.random.default_rng(seed)
    ids, matrix = rng.integers(0, 2**60, rows), rng.standard_normal((rows, dim), np.float32)
    key = replace(KEY, rows=rows, dim=dim)
    assert store(folder, key, ids, matrix)
    loaded_ids, loaded = read(folder)
    np.testing.assert_array_equal(loaded_ids, ids)
    np.testing.assert_array_equal(loaded, matrix)
