"""Searching what changes: always the present answer, and no large file for a small change."""

import sqlite3
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dinoseek.errors import UsageError
from dinoseek.gallery import delta, view
from dinoseek.gallery.factory import open_gallery
from dinoseek.gallery.matrix_cache import load, stored_key
from dinoseek.gallery.spaces import spaces_of

DIM = 8


@pytest.fixture
def folder(tmp_path, embedder, make_record, unit_vectors) -> Path:
    with open_gallery(tmp_path / "g.dino", embedder) as gallery:
        gallery.add([make_record(i) for i in range(40)], unit_vectors(40))
        gallery.search(unit_vectors(1), 1)  # makes the matrix
    return tmp_path / "g.dino"


@pytest.fixture
def rewrites(monkeypatch) -> list[int]:
    """One entry for each time that all vectors are read from the record."""
    calls = []

    def counting(connection, space):
        calls.append(space.key.version)
        return read_matrix(connection, space)

    read_matrix = view.read_matrix
    monkeypatch.setattr(view, "read_matrix", counting)
    return calls


def ranked_from_the_record(folder, queries, allowed=None):
    """Ids by score, from the record's bytes alone: float64, ties to the lower id."""
    with sqlite3.connect(folder / "gallery.sqlite") as connection:
        rows = connection.execute("SELECT image_id, vector FROM vectors ORDER BY image_id")
        kept = [(id, blob) for id, blob in rows if allowed is None or id in allowed]
    connection.close()
    ids = np.array([id for id, _ in kept])
    vectors = np.array([np.frombuffer(blob, "<f2") for _, blob in kept]).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    scores = (queries.astype(np.float64) @ vectors.astype(np.float64).T).astype(np.float32)
    return [ids[np.argsort(-row, kind="stable")].tolist() for row in scores]


def ranking(gallery, queries, k=10**6, allowed=None):
    with gallery.reading():
        (space,) = spaces_of(gallery._connection)
        found = gallery._nearest.search(space, queries, k, allowed)
    return [ids.tolist() for ids, _ in found]


CHANGES = st.lists(
    st.tuples(st.sampled_from(["add", "replace", "remove"]), st.integers(0, 60)),
    min_size=1,
    max_size=12,
)


@given(batches=st.lists(CHANGES, min_size=1, max_size=4), seed=st.integers(0, 99))
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_every_change_counts_at_once_for_open_and_new_readers(
    tmp_path_factory, make_embedder, batches, seed
):
    from dinoseek.gallery.base import Record  # its fixture is made for one example only

    rng, embedder = np.random.default_rng(seed), make_embedder()
    folder = tmp_path_factory.mktemp("changes") / "g.dino"

    def add(gallery, numbers):
        facts = {"root": "/p", "width": 1, "height": 1, "bytes": 1, "mtime_ns": 1, "format": "PNG"}
        records = [Record(path=b"%d" % n, digest=f"{n:064}", **facts) for n in numbers]
        # few different vectors: ties between the matrix and the tail
        gallery.add(records, rng.integers(-1, 2, (len(numbers), DIM)) + np.eye(1, DIM) / 3)

    queries = rng.standard_normal((3, DIM)).astype(np.float32)
    with open_gallery(folder, embedder) as writer, pytest.MonkeyPatch.context() as patch:
        patch.setattr(delta, "_FEW", 9)  # some examples make the matrix anew, others do not
        add(writer, range(30))
        ranking(writer, queries)
        readers = [open_gallery(folder, embedder, readonly=True)]
        for batch in batches:
            for change, number in batch:
                if change == "remove":
                    writer.remove([number])
                else:
                    add(writer, [number if change == "replace" else 100 + number])
            readers.append(open_gallery(folder, embedder, readonly=True))
            expected = ranked_from_the_record(folder, queries)
            allowed = np.arange(3, 25)
            among = ranked_from_the_record(folder, queries, set(allowed.tolist()))
            for reader in [writer, *readers]:
                assert ranking(reader, queries) == expected
                assert ranking(reader, queries, 5) == [row[:5] for row in expected]
                assert ranking(reader, queries, 10**6, allowed) == among
        for reader in readers:
            reader.close()


def test_a_few_changes_do_not_rewrite_the_matrix(
    folder, embedder, make_record, unit_vectors, rewrites
):
    (file,) = (folder / "cache").glob("*.matrix")
    before = file.read_bytes()
    with open_gallery(folder, embedder) as gallery:
        gallery.add([make_record("new"), make_record(3)], unit_vectors(2, seed=1))
        gallery.remove([7])
        queries = unit_vectors(4, seed=2)
        assert ranking(gallery, queries) == ranked_from_the_record(folder, queries)
    assert not rewrites
    assert file.read_bytes() == before


def test_what_changed_again_and_again_is_followed_without_the_record(
    folder, embedder, make_record, unit_vectors, rewrites
):
    queries = unit_vectors(4, seed=2)
    with open_gallery(folder, embedder) as gallery:
        ranking(gallery, queries)
        for seed in range(3):
            gallery.add([make_record("new"), make_record(3)], unit_vectors(2, seed=seed))
            assert ranking(gallery, queries) == ranked_from_the_record(folder, queries)
        gallery.remove([4, 41])
        assert ranking(gallery, queries) == ranked_from_the_record(folder, queries)
    assert not rewrites


def test_IDX_06_a_gap_in_the_log_is_noticed_where_the_numbers_add_up(
    folder, embedder, make_record, unit_vectors, rewrites
):
    with open_gallery(folder, embedder) as gallery:
        gallery.add([make_record(3), make_record("new")], unit_vectors(2, seed=1))
    connection = sqlite3.connect(folder / "gallery.sqlite")
    connection.execute("DELETE FROM changes WHERE version = 41")  # that of image 4
    connection.commit()
    connection.close()
    queries = unit_vectors(3, seed=2)
    with open_gallery(folder, embedder) as gallery:
        assert ranking(gallery, queries) == ranked_from_the_record(folder, queries)
    assert len(rewrites) == 1


def test_many_changes_do(folder, embedder, make_record, unit_vectors, rewrites, monkeypatch):
    monkeypatch.setattr(delta, "_FEW", 5)
    with open_gallery(folder, embedder) as gallery:
        gallery.add([make_record(f"n{i}") for i in range(5)], unit_vectors(5, seed=1))
        ranking(gallery, unit_vectors(1))
        assert not rewrites
        gallery.add([make_record("n5")], unit_vectors(1, seed=2))
        ranking(gallery, unit_vectors(1))
        assert len(rewrites) == 1
    key = stored_key(folder / "cache", embedder.fingerprint.id)
    assert key.rows == 46


@pytest.mark.parametrize(
    "tampering",
    [
        "DELETE FROM changes WHERE version = 41",  # a gap
        "DELETE FROM changes WHERE version = 40",  # the matrix's own version
        "UPDATE changes SET stamp = randomblob(16) WHERE version = 40",
        "UPDATE changes SET stamp = randomblob(16) WHERE version = 42",
        "UPDATE changes SET image_id = 39 WHERE version = 41",  # the numbers do not add up
        "DELETE FROM changes",
    ],
)
def test_IDX_06_without_proof_the_matrix_is_made_anew(
    folder, embedder, make_record, unit_vectors, rewrites, tampering
):
    with open_gallery(folder, embedder) as gallery:
        gallery.add([make_record("a"), make_record("b")], unit_vectors(2, seed=1))
    connection = sqlite3.connect(folder / "gallery.sqlite")
    connection.execute(tampering)
    connection.commit()
    connection.close()
    queries = unit_vectors(3, seed=2)
    with open_gallery(folder, embedder) as gallery:
        assert ranking(gallery, queries) == ranked_from_the_record(folder, queries)
    assert len(rewrites) == 1


def test_IDX_06_the_matrix_of_another_history_is_not_used(
    folder, embedder, make_record, unit_vectors
):
    """The record goes back to a backup and on from there, past the version of the matrix."""
    backup = (folder / "gallery.sqlite").read_bytes()
    with open_gallery(folder, embedder) as gallery:
        gallery.add([make_record("lost")], unit_vectors(1, seed=1))
    for file in (folder / "cache").glob("*"):
        file.unlink()
    with open_gallery(folder, embedder) as gallery:
        ranking(gallery, unit_vectors(1))
    for left in folder.glob("gallery.sqlite*"):
        left.unlink()
    (folder / "gallery.sqlite").write_bytes(backup)
    with open_gallery(folder, embedder) as gallery:
        gallery.add([make_record("x"), make_record("y")], unit_vectors(2, seed=2))
        queries = unit_vectors(3, seed=3)
        assert ranking(gallery, queries) == ranked_from_the_record(folder, queries)


def test_a_damaged_row_of_a_change_is_reported(folder, embedder, make_record, unit_vectors):
    with open_gallery(folder, embedder) as gallery:
        gallery.add([make_record("a")], unit_vectors(1, seed=1))
    connection = sqlite3.connect(folder / "gallery.sqlite")
    connection.execute("UPDATE vectors SET checksum = checksum + 1 WHERE image_id = 41")
    connection.execute(
        "UPDATE spaces SET version = 41, stamp = (SELECT stamp FROM changes WHERE version = 41)"
    )
    connection.execute("DELETE FROM changes WHERE version = 42")
    connection.commit()
    connection.close()
    with (
        open_gallery(folder, embedder) as gallery,
        pytest.raises(Exception, match="image 41 changed on the disk"),
    ):
        gallery.search(unit_vectors(1), 1)


def test_a_vector_that_became_damaged_while_open_is_read_from_the_record(
    folder, embedder, unit_vectors, rewrites, caplog
):
    (file,) = (folder / "cache").glob("*.matrix")
    queries = unit_vectors(2, seed=1)
    with open_gallery(folder, embedder) as gallery:
        assert ranking(gallery, queries, 3, np.arange(2, 4))  # opens it; reads two rows
        with file.open("r+b") as written:
            written.seek(128 + 30 * DIM * 4)
            written.write(b"\xff")
        assert ranking(gallery, queries) == ranked_from_the_record(folder, queries)
        assert "damaged" in caplog.text
    assert len(rewrites) == 1
    matrix = load(folder / "cache", embedder.fingerprint.id)
    assert len(matrix.whole()) == 40
    matrix.close()


def test_vectors_come_from_the_matrix_and_the_tail(folder, embedder, make_record, unit_vectors):
    new = unit_vectors(2, seed=1)
    with open_gallery(folder, embedder) as gallery:
        gallery.add([make_record("new"), make_record(3)], new)
        gallery.remove([7])
        found = gallery.vectors([41, 1, 4, 40, 1])
        expected = np.concatenate([new[:1], unit_vectors(1), new[1:], unit_vectors(40)[39:]])
        np.testing.assert_allclose(found[:4], expected, atol=1e-3)
        np.testing.assert_array_equal(found[4], found[1])
        for unknown in (7, 42, 0, -1):
            with pytest.raises(UsageError, match=f"id {unknown}"):
                gallery.vectors([1, unknown])


def test_the_log_of_changes_keeps_what_the_matrix_needs(
    folder, embedder, make_record, unit_vectors, rewrites, monkeypatch
):
    monkeypatch.setattr(delta, "KEPT", 0)
    queries = unit_vectors(2, seed=3)

    def logged():
        with sqlite3.connect(folder / "gallery.sqlite") as connection:
            rows = connection.execute("SELECT version FROM changes ORDER BY version").fetchall()
        connection.close()
        return [version for (version,) in rows]

    with open_gallery(folder, embedder) as gallery:
        gallery.add([make_record("a")], unit_vectors(1, seed=1))
        with gallery.writing() as writer:
            writer.settle()
        assert logged() == [40, 41]
        assert ranking(gallery, queries) == ranked_from_the_record(folder, queries)
        assert not rewrites
        next((folder / "cache").glob("*.matrix")).unlink()
        with gallery.writing() as writer:
            writer.settle()
        assert logged() == [41]


def test_IDX_07_without_derived_files_or_with_foreign_ones_the_answer_is_the_same(
    folder, embedder, unit_vectors
):
    cache, queries = folder / "cache", unit_vectors(2, seed=3)
    (file,) = cache.glob("*.matrix")
    whole, expected = file.read_bytes(), ranked_from_the_record(folder, queries)
    cases = [[], [("x.matrix", whole)], [(file.name, b""), (f"{file.stem}.ann", whole)]]
    for contents in cases:
        for left in cache.iterdir():
            left.unlink()
        for name, content in contents:
            (cache / name).write_bytes(content)
        with open_gallery(folder, embedder, readonly=True) as gallery:
            assert ranking(gallery, queries) == expected
