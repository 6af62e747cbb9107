"""The seeds' formats, and files that only look like them."""

import io
import json
import zipfile

import numpy as np
import pytest

from dinoseek.errors import DinoseekError, MachineError, UsageError
from dinoseek.interchange.files import read_vectors

from .conftest import COUNT, DIM


def rows_of(given):
    parts = list(given.batches())
    return [entry for entries, _ in parts for entry in entries], np.concatenate(
        [vectors for _, vectors in parts]
    )


def test_npy_and_metadata_are_read_in_order(npy, features, said):
    given = read_vectors(npy)
    entries, vectors = rows_of(given)
    assert (given.rows, given.dim, given.fingerprint) == (COUNT, DIM, None)
    np.testing.assert_array_equal(vectors, features)
    assert [entry.url for entry in entries] == [row["url"] for row in said]
    assert entries[5].caption == said[5]["caption"]
    kept = {"label", "stars", "mixed", "tags"}
    assert entries[5].metadata == {name: said[5][name] for name in kept}


def test_npz_is_read_in_order(npz, features, tmp_path):
    entries, vectors = rows_of(read_vectors(npz))
    np.testing.assert_array_equal(vectors, features)
    assert [entry.path for entry in entries][:2] == [
        str(tmp_path / "static/gallery/0000é.jpg"),
        str(tmp_path / "static/gallery/0001é.jpg"),
    ]


@pytest.mark.parametrize("dtype", ["<f2", ">f4", "<f8"])
def test_all_floats_are_read(tmp_path, npy, features, dtype):
    np.save(npy, features.astype(dtype))
    _, vectors = rows_of(read_vectors(npy))
    np.testing.assert_array_equal(vectors, features.astype(dtype))


def test_the_list_may_have_the_name_of_the_features_or_any_other(npy, tmp_path, said):
    (tmp_path / "metadata.json").rename(tmp_path / "gallery_features.json")
    assert read_vectors(npy).rows == COUNT
    (tmp_path / "gallery_features.json").rename(tmp_path / "other.json")
    assert read_vectors(npy, tmp_path / "other.json").rows == COUNT
    with pytest.raises(UsageError, match=r"no metadata\.json beside it"):
        read_vectors(npy)


def as_npy(array, **options) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, **options)
    return file.getvalue()


def objects() -> bytes:
    return as_npy(np.array([[{}]], object), allow_pickle=True)


def claiming(shape, descr="<f8") -> bytes:
    file = io.BytesIO()
    header = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + b"\0" * 64


BAD_NPY = {
    "objects": (objects(), "import.pickle"),
    "integers": (as_npy(np.ones((COUNT, DIM), np.int64)), "import.shape"),
    "complex": (as_npy(np.ones((COUNT, DIM), np.complex64)), "import.shape"),
    "one dimension": (as_npy(np.ones(COUNT)), "import.shape"),
    "no rows": (as_npy(np.ones((0, DIM))), "import.shape"),
    "columns": (as_npy(np.asfortranarray(np.ones((COUNT, DIM)))), "import.shape"),
    "fewer rows": (as_npy(np.ones((COUNT - 1, DIM))), "import.count"),
    "more rows": (as_npy(np.ones((COUNT + 1, DIM))), "import.count"),
    "empty": (b"", "import.format"),
    "text": (b"hello" * 100, "import.format"),
    "cut": (as_npy(np.ones((COUNT, DIM)))[:-1], "import.format"),
    "longer": (as_npy(np.ones((COUNT, DIM))) + b"x", "import.format"),
    "huge": (claiming((1 << 40, 1 << 20)), "import.format"),
    "negative": (claiming((-1, -8)), "import.format"),
    "wide": (as_npy(np.ones((1, 1 << 18))), "import.too_large"),
    "pickle of another kind": (b"\x80\x04\x95.", "import.format"),
}


@pytest.mark.parametrize("name", BAD_NPY)
def test_what_is_no_features_is_refused_in_one_line(npy, name):
    content, code = BAD_NPY[name]
    npy.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        read_vectors(npy)
    assert caught.value.code == code
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(npy))


@pytest.mark.parametrize("value", [np.nan, np.inf, 0, 1e300])
def test_a_vector_without_direction_is_named_by_its_row(npy, features, value):
    features[300] = value
    np.save(npy, features)
    with pytest.raises(UsageError, match="vector of row 301 is") as caught:
        read_vectors(npy)
    assert caught.value.code == "import.vector"


BAD_JSON = {
    "no JSON": b"[{",
    "no list": b'{"url": "http://a.example/1.jpg"}',
    "no objects": b"[1]",
    "neither url nor path": b'[{"caption": "c"}]',
    "a number that is none": b'[{"path": "a", "x": NaN}]',
    "half a character": b'[{"path": "a", "x": "\\ud800"}]',
    "deep": b"[" * 100_000,
    "not UTF-8": b'[{"path": "\xff\xff"}]',
}


@pytest.mark.parametrize("name", BAD_JSON)
def test_what_is_no_list_of_images_is_refused(npy, tmp_path, name):
    (tmp_path / "metadata.json").write_bytes(BAD_JSON[name])
    with pytest.raises(UsageError) as caught:
        read_vectors(npy)
    assert caught.value.code == "import.metadata"


def packed(path, entries, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


ONES = as_npy(np.ones((4, DIM)))
NAMES = as_npy(np.array(list("abcd")))
BAD_NPZ = {
    "objects": ({"features.npy": ONES, "paths.npy": objects()}, "import.pickle"),
    "no paths": ({"features.npy": ONES}, "import.format"),
    "numbers as paths": ({"features.npy": ONES, "paths.npy": ONES}, "import.shape"),
    "fewer paths": (
        {"features.npy": ONES, "paths.npy": as_npy(np.array(list("abc")))},
        "import.count",
    ),
    "very long paths": (
        {"features.npy": ONES, "paths.npy": as_npy(np.array(["a", "b", "c", "x" * 5000]))},
        "import.too_large",
    ),
    "claims more than it has": (
        {"features.npy": claiming((1 << 40, DIM)), "paths.npy": NAMES},
        "import.format",
    ),
    "a bomb": (
        {"features.npy": ONES, "paths.npy": NAMES[:128] + b"\0" * 50_000_000},
        "import.format",
    ),
}


@pytest.mark.parametrize("name", BAD_NPZ)
def test_an_archive_of_something_else_is_refused(tmp_path, name):
    entries, code = BAD_NPZ[name]
    with pytest.raises(UsageError) as caught:
        read_vectors(packed(tmp_path / "x.npz", entries))
    assert caught.value.code == code


def test_a_bomb_of_zeros_is_refused_at_its_first_rows(tmp_path):
    header = claiming((10_000_000, 8))[:-64]
    paths = np.zeros(10_000_000, "<U1")
    content = {"features.npy": header + bytes(640_000_000), "paths.npy": as_npy(paths)}
    with pytest.raises(UsageError, match="vector of row 1 is zero"):
        read_vectors(packed(tmp_path / "bomb.npz", content))


def test_each_cut_of_an_archive_is_refused(tmp_path, npz):
    whole = npz.read_bytes()
    for length in range(0, len(whole) - 1, len(whole) // 40):
        npz.write_bytes(whole[:length])
        with pytest.raises(UsageError):
            read_vectors(npz)


def test_a_flipped_byte_of_an_archive_is_refused_or_harmless(npz):
    whole, expected = npz.read_bytes(), rows_of(read_vectors(npz))[1]
    rng, refused = np.random.default_rng(1), 0
    for place in rng.integers(0, len(whole), 60):
        npz.write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
        try:
            given = read_vectors(npz)
            np.testing.assert_array_equal(rows_of(given)[1], expected)
        except DinoseekError:
            refused += 1
    assert refused > 40


def test_other_suffixes_and_missing_files_are_told(tmp_path):
    with pytest.raises(UsageError, match=r"\.parquet, \.npz or \.npy"):
        read_vectors(tmp_path / "x.pkl")
    for suffix in ("npy", "npz", "parquet"):
        with pytest.raises(MachineError) as caught:
            read_vectors(tmp_path / f"x.{suffix}")
        assert caught.value.code == "path.unreadable"


def test_a_folder_or_a_pipe_is_refused_without_waiting(tmp_path):
    import os

    (tmp_path / "folder.npz").mkdir()
    os.mkfifo(tmp_path / "pipe.npy")
    for name in ("folder.npz", "pipe.npy"):
        with pytest.raises(UsageError, match="not a file"):
            read_vectors(tmp_path / name)


def test_the_seeds_own_reference_features_are_read(shared, tmp_path):
    rows = [{"path": "cat.jpg"}, {"path": "dog.jpg"}]
    (tmp_path / "list.json").write_text(json.dumps(rows))
    given = read_vectors(shared / "data/szu/cat_dog_feature.npy", tmp_path / "list.json")
    _, vectors = rows_of(given)
    assert vectors.shape == (2, 768)
    assert vectors[0, 0] == pytest.approx(-0.63643933)
