"""Maps in Parquet: what Embedding Atlas takes, and what an import takes back."""

import json
import sys

import numpy as np
import pytest

from dinoseek.errors import UsageError
from dinoseek.gallery.factory import open_gallery
from dinoseek.interchange.exporting import exported
from dinoseek.interchange.feature_files import from_npy
from dinoseek.interchange.files import read_vectors
from dinoseek.interchange.map_parquet import write_map_parquet

pandas = pytest.importorskip("pandas")


@pytest.fixture
def written(tmp_path, npy, fill):
    """A map of an imported gallery, with made-up places; returns its file and what went in."""
    fill(from_npy(npy))
    with open_gallery(tmp_path / "g.dino", readonly=True) as gallery, gallery.reading():
        found = exported(gallery, None, None)
        batches = list(found.batches())
        rows = [row for part, _ in batches for row in part]
        vectors = np.concatenate([part for _, part in batches])
        rng = np.random.default_rng(0)
        points = rng.standard_normal((len(rows), 2)).astype(np.float32)
        near = (rng.integers(0, len(rows), (len(rows), 3)), rng.uniform(-1, 1, (len(rows), 3)))
        pictures = [b"jpeg" if i % 2 else None for i in range(len(rows))]
        target = tmp_path / "map.parquet"
        write_map_parquet(target, found, rows, vectors, points, near, pictures)
    return target, rows, vectors, points, near


def test_places_neighbours_and_pictures_stand_beside_the_export(written):
    target, rows, vectors, points, (ids, cosines) = written

    frame = pandas.read_parquet(target)

    assert frame["path"].tolist() == [row["path"] for row in rows]
    np.testing.assert_array_equal(frame[["projection_x", "projection_y"]], points)
    np.testing.assert_array_equal(np.stack(frame["vector"]), vectors)
    for place, cell in enumerate(frame["neighbors"]):
        assert cell["ids"].tolist() == ids[place].tolist()
        np.testing.assert_allclose(cell["distances"], 1 - cosines[place], atol=1e-6)
    assert frame["image"][1] == {"bytes": b"jpeg"}
    assert frame["image"][0]["bytes"] is None
    assert frame["label"][1] == "red"


def test_columns_have_the_types_that_embedding_atlas_takes(written):
    import pyarrow
    import pyarrow.parquet

    schema = pyarrow.parquet.read_schema(written[0])

    assert schema.field("projection_x").type == pyarrow.float32()
    assert schema.field("neighbors").type == pyarrow.struct(
        {"ids": pyarrow.list_(pyarrow.int64()), "distances": pyarrow.list_(pyarrow.float32())}
    )
    assert schema.field("vector").type == pyarrow.list_(pyarrow.float32(), 8)
    assert json.loads(schema.metadata[b"dinoseek.fingerprint"])["model"] == "imported"


def test_a_map_can_be_imported_like_an_export(written):
    given = read_vectors(written[0])

    (entries, vectors), *_ = given.batches()
    assert given.rows == len(written[1])
    np.testing.assert_array_equal(vectors, written[2][: len(vectors)])
    assert entries[1].metadata["label"] == "red"
    assert "projection_x" not in entries[1].metadata


def test_metadata_of_the_same_name_keeps_its_column(tmp_path, npy, fill):
    said = json.loads((tmp_path / "metadata.json").read_text("utf-8"))
    (tmp_path / "metadata.json").write_text(
        json.dumps([{**each, "neighbors": "n"} for each in said])
    )
    fill(from_npy(npy))
    with open_gallery(tmp_path / "g.dino", readonly=True) as gallery, gallery.reading():
        found = exported(gallery, None, None)
        rows, vectors = next(iter(found.batches()))
        near = (np.zeros((len(rows), 1), np.int64), np.ones((len(rows), 1)))
        write_map_parquet(tmp_path / "m.parquet", found, rows, vectors, vectors[:, :2], near)

    frame = pandas.read_parquet(tmp_path / "m.parquet")
    assert frame["neighbors"][0] == "n"
    assert frame["map_neighbors"][0]["ids"].tolist() == [0]
    assert "image" not in frame


def test_without_pyarrow_it_says_what_to_install(tmp_path, npy, fill, monkeypatch):
    fill(from_npy(npy))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with open_gallery(tmp_path / "g.dino", readonly=True) as gallery, gallery.reading():
        found = exported(gallery, None, None)
        with pytest.raises(UsageError, match=r"dinoseek\[parquet\]"):
            write_map_parquet(
                tmp_path / "m.parquet", found, [], np.empty((0, 8)), np.empty((0, 2)), (None, None)
            )
