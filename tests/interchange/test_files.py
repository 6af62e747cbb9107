"""Exports: what DuckDB, pandas and NumPy find in them, and that they come back as they were."""

import json
import sqlite3
from contextlib import closing

import numpy as np
import pytest

from dinoseek.errors import GalleryError, MachineError, UsageError
from dinoseek.gallery import filters
from dinoseek.gallery.factory import open_gallery
from dinoseek.interchange import columns, parquet
from dinoseek.interchange.columns import columns_of
from dinoseek.interchange.files import export_vectors, read_vectors

from .conftest import COUNT, DIM, stored_of


@pytest.fixture
def folder(npy, fill):
    return fill(read_vectors(npy))[0]


def export(folder, target, **options):
    with open_gallery(folder, readonly=True) as gallery:
        return export_vectors(gallery, target, **options)


def contents(folder):
    """Everything of a gallery that an export has to carry, in the order of ids."""
    query = (
        "SELECT digest, width, height, bytes, format, caption, metadata, path, size, vector,"
        " checksum FROM images JOIN files ON files.image_id = id"
        " JOIN vectors ON vectors.image_id = id ORDER BY id, root_id"
    )
    with closing(sqlite3.connect(folder / "gallery.sqlite")) as connection:
        return connection.execute(query).fetchall()


# Parquet


def test_an_export_comes_back_as_it_was_to_the_last_bit(folder, tmp_path, fill):
    export(folder, tmp_path / "v.parquet")
    again, _ = fill(read_vectors(tmp_path / "v.parquet"), "again.dino")
    assert contents(again) == contents(folder)
    with open_gallery(folder) as first, open_gallery(again) as second:
        assert second.info()["spaces"][0]["id"] == first.info()["spaces"][0]["id"]
    export(again, tmp_path / "v2.parquet")
    assert (tmp_path / "v.parquet").read_bytes() == (tmp_path / "v2.parquet").read_bytes()


def test_pandas_finds_rows_columns_and_vectors(folder, tmp_path, features, said):
    pandas = pytest.importorskip("pandas")
    assert export(folder, tmp_path / "v.parquet") == COUNT
    frame = pandas.read_parquet(tmp_path / "v.parquet")
    assert list(frame.columns) == [
        *("id", "path", "url", "caption", "width", "height", "bytes", "format", "digest"),
        *("label", "stars", "mixed", "tags"),
        "vector",
    ]
    assert frame["id"].tolist() == list(range(1, COUNT + 1))
    assert frame["caption"].tolist() == [row["caption"] for row in said]
    assert frame["stars"].dtype == np.float64
    assert frame["mixed"].tolist()[:2] == ['"three"', "1"], "of several kinds: as JSON"
    assert json.loads(frame["tags"][7]) == ["a", 7]
    np.testing.assert_array_equal(np.stack(frame["vector"]), stored_of(features))


def test_duckdb_filters_and_computes_with_it(folder, tmp_path, features):
    duckdb = pytest.importorskip("duckdb")
    export(folder, tmp_path / "v.parquet")
    table = f"'{tmp_path / 'v.parquet'}'"
    found = duckdb.sql(
        f"SELECT id, label, list_cosine_similarity(vector, (SELECT vector FROM {table}"
        f" WHERE id = 8)) AS score FROM {table} WHERE label = 'red' ORDER BY score DESC LIMIT 5"
    ).fetchall()
    rows = stored_of(features).astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    scores = {n + 1: rows[n] @ rows[7] for n in range(1, COUNT, 2)}
    assert [id for id, _, _ in found] == sorted(scores, key=scores.get, reverse=True)[:5]
    assert found[0][2] == pytest.approx(1)


def test_the_file_says_what_made_its_vectors_and_has_vectors_of_a_fixed_length(folder, tmp_path):
    arrow = pytest.importorskip("pyarrow.parquet")
    export(folder, tmp_path / "v.parquet")
    schema = arrow.read_schema(tmp_path / "v.parquet")
    with open_gallery(folder) as gallery:
        made = gallery.info()["spaces"][0]
    assert json.loads(schema.metadata[b"dinoseek.fingerprint"])["weights"] == made["weights"]
    assert schema.field("vector").type.list_size == DIM
    assert str(schema.field("vector").type.value_type) == "float"


def test_a_filter_chooses_what_is_exported(folder, tmp_path):
    arrow = pytest.importorskip("pyarrow.parquet")
    where = filters.parse("label = 'red' and stars < 5")
    assert export(folder, tmp_path / "v.parquet", where=where) == 10
    assert arrow.read_table(tmp_path / "v.parquet")["id"].to_pylist() == list(range(2, 21, 2))


def test_large_exports_have_several_row_groups(folder, tmp_path, monkeypatch):
    arrow = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(parquet, "_ROWS_IN_GROUP", 256)
    monkeypatch.setattr("dinoseek.interchange.exporting._ROWS_AT_ONCE", 100)
    export(folder, tmp_path / "v.parquet")
    file = arrow.ParquetFile(tmp_path / "v.parquet")
    assert [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)] == [300, 300]
    assert file.read()["id"].to_pylist() == list(range(1, COUNT + 1))


def test_parquet_of_others_needs_only_a_vector_and_a_place(tmp_path, fill):
    arrow = pytest.importorskip("pyarrow")
    rows = np.eye(3, dtype=np.float64).tolist()
    table = arrow.table({"url": [f"http://a.example/{n}" for n in range(3)], "vector": rows})
    arrow.parquet.write_table(table, tmp_path / "v.parquet")
    given = read_vectors(tmp_path / "v.parquet")
    assert (given.rows, given.dim, given.fingerprint) == (3, 3, None)
    folder, _ = fill(given)
    assert len(contents(folder)) == 3


def bad_parquet(arrow):
    urls, eye = [f"http://a.example/{n}" for n in range(3)], np.eye(3).tolist()
    text = {b"dinoseek.metadata": b"[1]"}
    made = {b"dinoseek.fingerprint": b"{}"}
    return {
        "no vector": (arrow.table({"url": urls}), "import.columns"),
        "no place": (arrow.table({"vector": eye}), "import.columns"),
        "integers": (arrow.table({"url": urls, "vector": [[1], [2], [3]]}), "import.columns"),
        "ragged": (
            arrow.table({"url": urls, "vector": [[1.0], [1.0, 2.0], [1.0]]}),
            "import.shape",
        ),
        "missing vector": (
            arrow.table({"url": urls, "vector": [[1.0], None, [1.0]]}),
            "import.shape",
        ),
        "null in it": (
            arrow.table({"url": urls, "vector": [[1.0], [None], [1.0]]}),
            "import.shape",
        ),
        "no rows": (arrow.table({"url": urls[:0], "vector": eye[:0]}), "import.columns"),
        "NaN": (
            arrow.table({"url": urls, "vector": [[1.0], [float("nan")], [1.0]]}),
            "import.vector",
        ),
        "numbers as urls": (arrow.table({"url": [1, 2, 3], "vector": eye}), "import.format"),
        "bad columns": (
            arrow.table({"url": urls, "vector": eye}).replace_schema_metadata(text),
            "import.format",
        ),
        "bad fingerprint": (
            arrow.table({"url": urls, "vector": eye}).replace_schema_metadata(made),
            "import.format",
        ),
    }


BAD = ["no vector", "no place", "integers", "ragged", "missing vector", "null in it", "no rows"]
BAD += ["NaN", "numbers as urls", "bad columns", "bad fingerprint"]


@pytest.mark.parametrize("name", BAD)
def test_parquet_of_something_else_is_refused_in_one_line(tmp_path, name):
    arrow = pytest.importorskip("pyarrow")
    table, code = bad_parquet(arrow)[name]
    arrow.parquet.write_table(table, tmp_path / "v.parquet")
    with pytest.raises(UsageError) as caught:
        read_vectors(tmp_path / "v.parquet")
    assert caught.value.code == code
    assert "\n" not in str(caught.value)


def test_damaged_parquet_is_refused(folder, tmp_path):
    export(folder, tmp_path / "v.parquet")
    whole = (tmp_path / "v.parquet").read_bytes()
    for content in (b"", b"PAR1", whole[:-1], whole[: len(whole) // 2]):
        (tmp_path / "v.parquet").write_bytes(content)
        with pytest.raises(UsageError):
            read_vectors(tmp_path / "v.parquet")


def test_a_flipped_byte_of_an_export_is_refused_or_harmless(folder, tmp_path):
    file = tmp_path / "v.parquet"
    export(folder, file)
    whole = file.read_bytes()
    expected = [(entries, vectors.tolist()) for entries, vectors in read_vectors(file).batches()]
    rng, refused = np.random.default_rng(1), 0
    for place in rng.integers(0, len(whole), 80):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        try:
            found = [
                (entries, vectors.tolist()) for entries, vectors in read_vectors(file).batches()
            ]
            assert [vectors for _, vectors in found] == [vectors for _, vectors in expected]
        except UsageError:
            refused += 1
    assert refused > 40


# metadata as columns


def test_names_of_one_kind_are_columns_of_that_kind():
    rows = [
        {"i": 1, "f": 0.5, "b": True, "s": "x", "m": 1, "n": None, "big": 1 << 70},
        {"i": -2, "f": 1.0, "b": False, "s": "y", "m": "x", "n": 1, "big": 1},
    ]
    found = {each.name: each for each in columns_of(rows, ())}
    assert {name: each.kind for name, each in found.items()} == {
        **{"i": "int", "f": "float", "b": "bool", "s": "text"},
        **{"m": "json", "n": "json", "big": "json"},
    }
    for row in rows:
        back: dict = {}
        for each in found.values():
            back |= each.restored(each.value(row))
        assert back == row


def test_headings_are_unlike_each_other_for_those_who_know_no_case():
    names = ["id", "ID", "path", "Label", "label", "metadata_id", ""]
    found = columns_of([dict.fromkeys(names, "x")], ("id", "path"))
    headings = [each.column.lower() for each in found]
    assert len({*headings, "id", "path"}) == len(names) + 2


def test_very_many_names_are_one_column(monkeypatch):
    monkeypatch.setattr(columns, "MOST_COLUMNS", 3)
    row = {"a": 1, "b": "x", "c": [1], "d": None}
    (column,) = columns_of([row], ("id",))
    assert column.column == "metadata"
    assert column.restored(column.value(row)) == row


# NumPy


def test_npz_has_features_and_paths(folder, tmp_path, features, said, fill):
    export(folder, tmp_path / "f.npz")
    with np.load(tmp_path / "f.npz", allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["features"], stored_of(features))
        assert archive["features"].dtype == np.float32
        assert archive["paths"].tolist()[3] == "http://lh6.ggpht.com/3.JPG?imgmax=800"
    assert read_vectors(tmp_path / "f.npz").rows == COUNT


def test_npy_has_vectors_and_the_list_beside_it_what_they_are(
    folder, tmp_path, features, said, fill
):
    export(folder, tmp_path / "out.npy")
    np.testing.assert_array_equal(
        np.load(tmp_path / "out.npy", allow_pickle=False), stored_of(features)
    )
    rows = json.loads((tmp_path / "out.json").read_text("utf-8"))
    assert rows == said
    again, _ = fill(read_vectors(tmp_path / "out.npy"), "again.dino")
    assert [row[5:] for row in contents(again)] == [row[5:] for row in contents(folder)]


# whole or not at all


@pytest.mark.parametrize("suffix", [".parquet", ".npz", ".npy"])
def test_what_is_there_is_replaced_only_when_asked_and_then_at_once(folder, tmp_path, suffix):
    target = tmp_path / "out" / f"v{suffix}"
    target.parent.mkdir()
    target.write_bytes(b"precious")
    with pytest.raises(UsageError, match="is there already"):
        export(folder, target)
    assert target.read_bytes() == b"precious"
    export(folder, target, force=True)
    assert target.read_bytes() != b"precious"
    beside = ["v.json"] if suffix == ".npy" else []
    assert sorted(file.name for file in target.parent.iterdir()) == sorted([target.name, *beside])


@pytest.mark.parametrize("suffix", [".parquet", ".npz", ".npy"])
def test_a_damaged_vector_ends_an_export_and_leaves_nothing(folder, tmp_path, suffix):
    with closing(sqlite3.connect(folder / "gallery.sqlite")) as connection:
        connection.execute("UPDATE vectors SET checksum = checksum + 1 WHERE image_id = 500")
        connection.commit()
    (tmp_path / "out").mkdir()
    with pytest.raises(GalleryError, match="image 500 changed"):
        export(folder, tmp_path / "out" / f"v{suffix}")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_place_that_cannot_be_written_is_told(folder, tmp_path):
    for suffix in (".parquet", ".npz", ".npy"):
        with pytest.raises(MachineError) as caught:
            export(folder, tmp_path / "no" / f"v{suffix}")
        assert caught.value.code == "export.unwritable"


def test_of_several_spaces_one_has_to_be_named(npz, npy, fill, tmp_path):
    fill(read_vectors(npy))
    folder, _ = fill(read_vectors(npz))
    with open_gallery(folder) as gallery:
        first, second = (space["id"] for space in gallery.info()["spaces"])
    with pytest.raises(UsageError, match=f"{first}.*{second}.*--space"):
        export(folder, tmp_path / "v.npz")
    assert export(folder, tmp_path / "v.npz", space=second) == COUNT


def test_nothing_to_export_and_other_suffixes_are_told(folder, tmp_path):
    with pytest.raises(UsageError, match="no image is to be exported"):
        export(folder, tmp_path / "v.npz", where=filters.parse("label = 'green'"))
    with pytest.raises(UsageError, match=r"\.parquet, \.npz or \.npy"):
        export(folder, tmp_path / "v.csv")
