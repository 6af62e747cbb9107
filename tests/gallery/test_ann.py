"""Indexes: scores are exact, what changed counts at once, what others wrote is not read."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest

from dinoseek.errors import UsageError
from dinoseek.gallery import ann, ann_file, approximate, index_key
from dinoseek.gallery.ann_plan import Plan, free_memory, hnsw_bytes, planned
from dinoseek.gallery.factory import open_gallery
from dinoseek.gallery.matrix_cache import DamagedError
from dinoseek.gallery.nearest import Nearest
from dinoseek.gallery.spaces import spaces_of
from dinoseek.gallery.view import View

pytest.importorskip("faiss")

ROWS, DIM = 3000, 16


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    """Unit vectors around 100 centres; the last hundred are for queries."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((100, DIM))
    rows = centres[rng.integers(0, 100, ROWS + 100)] + 0.4 * rng.standard_normal((ROWS + 100, DIM))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def filled(tmp_path_factory, vectors) -> Path:
    """A gallery of 3,000 vectors with no index yet; copied by each test that changes it."""
    from .conftest import PREAMBLE

    names: dict[str, object] = {}
    exec(PREAMBLE, names)  # fixtures of a module cannot use those of a function
    folder = tmp_path_factory.mktemp("ann") / "g.dino"
    fingerprint = names["Fingerprint"](
        model="tiny",
        weights="0" * 64,
        preprocess="squash",
        pooling="cls",
        pos_flavour="hub",
        dim=DIM,
    )
    embedder = names["Embedder"](None, names["find_preset"]("squash"), fingerprint)
    with open_gallery(folder, embedder) as gallery:
        gallery.add([names["record"](i) for i in range(ROWS)], vectors[:ROWS])
    return folder


@pytest.fixture
def gallery(tmp_path, filled):
    import shutil

    shutil.copytree(filled, tmp_path / "g.dino")
    with open_gallery(tmp_path / "g.dino") as opened:
        opened.use_index_key(tmp_path / "keys" / "index.key")
        yield opened


def searched(gallery, queries, k=10, allowed=None):
    with gallery.reading():
        (space,) = spaces_of(gallery._connection)
        return gallery._nearest.search(space, queries, k, allowed)


def recall(found, exact):
    both = zip(found, exact, strict=True)
    return np.mean([np.isin(a[0], b[0]).mean() for a, b in both])


def exactly(gallery, queries, k=10, allowed=None):
    """The answer of another object, without an index."""
    with open_gallery(gallery.path, readonly=True) as other:
        other.use_index_key(gallery.path / "no key")
        return searched(other, queries, k, allowed)


@pytest.mark.parametrize("kind", ["hnsw", "ivf"])
@pytest.mark.parametrize("reopened", [False, True])
def test_IDX_33_recall_is_measured_kept_and_true(gallery, vectors, tmp_path, kind, reopened):
    said = gallery.build_index(kind)
    assert said["kind"] == said["asked"] == kind
    assert said["recall"] >= 0.98
    assert (said["rows"], said["tail"], said["tombstones"]) == (ROWS, 0, 0)
    if reopened:
        gallery.close()
        gallery = open_gallery(gallery.path)
        gallery.use_index_key(tmp_path / "keys" / "index.key")
    queries = vectors[ROWS:]
    found, exact = searched(gallery, queries), exactly(gallery, queries)
    assert gallery._nearest._ann is not None
    assert recall(found, exact) >= 0.95
    for (ids, scores), (exact_ids, exact_scores) in zip(found, exact, strict=True):
        known = dict(zip(exact_ids.tolist(), exact_scores.tolist(), strict=True))
        same = [id in known for id in ids.tolist()]
        assert [known[id] for id in ids[same].tolist()] == scores[same].tolist()  # to the last bit
        assert list(scores) == sorted(scores, reverse=True)
    assert gallery.info()["spaces"][0]["index"] == said
    gallery.close()


def test_IDX_33_a_recall_below_the_least_is_a_warning(gallery, monkeypatch, caplog):
    monkeypatch.setattr(approximate, "LEAST_RECALL", 1.1)
    gallery.build_index("hnsw")
    assert "of the ten nearest; --index exact finds all" in caplog.text


def test_IDX_33_the_effort_rises_until_enough_is_found(monkeypatch):
    rng = np.random.default_rng(1)  # without any structure: the hardest there is
    vectors = rng.standard_normal((4000, 32)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index = ann.build(Plan(kind="ivf", size=100, effort=1), vectors)
    view = of_vectors(vectors)
    found = approximate.tuned(view, index)
    assert index.plan.effort > 8
    assert found >= 0.7
    # an independent measurement
    queries, best = approximate.sample(vectors, 0.9)  # as for IVF
    exact = np.sort(queries.astype(np.float64) @ vectors.T.astype(np.float64), axis=1)[:, -10:]
    np.testing.assert_allclose(np.sort(best, axis=1), exact, atol=1e-6)
    scores = [scores for _, scores in approximate.search(view, index, queries, 10)]
    hits = [(row >= least - 1e-7).mean() for row, least in zip(scores, exact[:, 0], strict=True)]
    assert np.mean(hits) == pytest.approx(found, abs=0.005)


def of_vectors(vectors) -> View:
    from dinoseek.gallery.matrix_cache import Matrix, MatrixKey
    from dinoseek.gallery.view import as_it_was

    key = MatrixKey(space="0" * 16, version=1, stamp=b"", rows=len(vectors), dim=vectors.shape[1])
    return as_it_was(Matrix.in_memory(key, np.arange(len(vectors)) + 1, vectors))


def test_the_queries_that_measure_recall_are_none_of_the_vectors(vectors):
    queries, _ = approximate.sample(vectors, 0.5)
    assert (queries @ vectors.T).max() < 0.99999
    np.testing.assert_allclose(np.linalg.norm(queries, axis=1), 1, atol=1e-5)


def test_IDX_33_the_recall_promised_is_that_of_images_not_in_the_gallery():
    """Many near copies of few images: what lies close to a copy is found all too easily."""
    rng = np.random.default_rng(3)

    def images(count):
        return rng.standard_normal((count, 12)) @ basis

    def unit(rows):
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    basis = rng.standard_normal((12, 64))
    stored = np.repeat(unit(images(400)), 20, axis=0)
    stored = unit(stored + 0.4 * unit(rng.standard_normal(stored.shape)))
    queries = unit(images(300))
    view, index = of_vectors(stored), ann.build(planned("ivf", len(stored), 64, 0, None), stored)
    promised = approximate.tuned(view, index)
    exact = np.sort(queries.astype(np.float64) @ stored.T.astype(np.float64), axis=1)[:, -10]
    found = [scores for _, scores in approximate.search(view, index, queries, 10)]
    kept = [(row >= least - 1e-7).mean() for row, least in zip(found, exact, strict=True)]
    assert promised <= np.mean(kept) + 0.02


@pytest.mark.parametrize("kind", ["hnsw", "ivf"])
def test_what_changes_counts_at_once_with_an_index(gallery, vectors, make_record, kind):
    gallery.build_index(kind)
    gallery.close()
    embedder = open_with(gallery.path)
    with embedder as writer:
        writer.use_index_key(gallery.path.parent / "keys" / "index.key")
        queries = vectors[ROWS : ROWS + 20]
        before = searched(writer, queries)
        gone = np.unique(np.concatenate([ids[:5] for ids, _ in before])).tolist()
        writer.remove(gone)  # the nearest of all: what the index proposes first
        writer.add([make_record(f"new{i}") for i in range(5)], queries[:5])
        found, exact = searched(writer, queries), exactly(writer, queries)
        assert writer._nearest._ann is not None
        assert not np.isin(np.concatenate([ids for ids, _ in found]), gone).any()
        assert [ids[0] for ids, _ in found[:5]] == [ids[0] for ids, _ in exact[:5]]
        assert all(scores[0] > 0.999 for _, scores in found[:5])
        assert recall(found, exact) >= 0.95
        said = writer.info()["spaces"][0]["index"]
        assert (said["tail"], said["tombstones"]) == (5, len(gone))


def open_with(folder):
    """The gallery with an embedder that has its only space's fingerprint."""
    from dinoseek.embedder import Embedder
    from dinoseek.images.preprocess import find_preset

    with open_gallery(folder) as opened, opened.reading():
        (space,) = spaces_of(opened._connection)
    return open_gallery(folder, Embedder(None, find_preset("squash"), space.fingerprint))


@pytest.mark.parametrize("kind", ["hnsw", "ivf"])
@pytest.mark.parametrize("count", [0, 7, 200, 1500, 2900])
def test_a_filter_finds_as_much_as_an_exact_search(gallery, vectors, kind, count):
    gallery.build_index(kind)
    queries = vectors[ROWS : ROWS + 30]
    rng = np.random.default_rng(count)
    allowed = np.sort(rng.choice(np.arange(1, ROWS + 200), count, replace=False))
    found, exact = searched(gallery, queries, 10, allowed), exactly(gallery, queries, 10, allowed)
    for (ids, _), (exact_ids, _) in zip(found, exact, strict=True):
        assert np.isin(ids, allowed).all()
        assert len(ids) == len(exact_ids)
    if count:
        assert recall(found, exact) >= (1 if count <= ROWS / 8 else 0.95)


@pytest.mark.parametrize("kind", ["hnsw", "ivf"])
def test_a_filter_that_leaves_out_just_the_nearest_is_answered_exactly(gallery, vectors, kind):
    gallery.build_index(kind)
    for query in vectors[ROWS : ROWS + 10, None]:
        ((nearest, _),) = exactly(gallery, query, 1200)
        allowed = np.setdiff1d(np.arange(1, ROWS + 1), nearest)
        (found,) = searched(gallery, query, 10, allowed)
        (exact,) = exactly(gallery, query, 10, allowed)
        assert found[0].tolist() == exact[0].tolist()


def test_more_than_the_index_would_propose_is_exact(gallery, vectors):
    gallery.build_index("hnsw")
    queries = vectors[ROWS : ROWS + 3]
    for k in (1500, 10**6):
        for (ids, scores), exact in zip(
            searched(gallery, queries, k), exactly(gallery, queries, k), strict=True
        ):
            assert ids.tolist() == exact[0].tolist()
            assert scores.tolist() == exact[1].tolist()


# files


def index_file(gallery) -> Path:
    (file,) = (gallery.path / "cache").glob("*.ann")
    return file


def test_an_index_of_another_user_is_not_read(gallery, vectors, tmp_path, monkeypatch):
    gallery.build_index("hnsw")
    index_key.make(tmp_path / "other.key")
    monkeypatch.setattr(ann, "read", None)  # it would fail
    for key in ("other.key", "missing.key"):
        with open_gallery(gallery.path, readonly=True) as reader:
            reader.use_index_key(tmp_path / key)
            assert recall(searched(reader, vectors[:5]), exactly(gallery, vectors[:5])) == 1


def test_IDX_02_03_every_flipped_byte_of_an_index_is_detected(gallery, vectors, tmp_path, caplog):
    """All bytes of the proof, and of the body: none ever reaches faiss."""
    gallery.build_index("ivf")
    key = index_key.read(tmp_path / "keys" / "index.key")
    file = index_file(gallery)
    whole = file.read_bytes()
    assert len(whole) > 50_000

    def body(content):
        file.write_bytes(content)
        parts = []
        with ann_file.proven(file, key) as opened:
            while opened is not None and (part := opened.read(4096)):
                parts.append(part)
        return b"".join(parts) if opened is not None else None

    right = body(whole)
    caplog.set_level(logging.ERROR)
    bent = bytearray(whole)
    for position in range(len(whole)):
        bent[position] ^= 1 << position % 8
        if 64 <= position < 64 + len(right) and position % 97:
            pass  # the body is one block: a sample of its bytes is enough for its checksum
        else:
            with pytest.raises(DamagedError) if 64 <= position < 64 + len(right) else nothing():
                assert body(bytes(bent)) is None, position
        bent[position] ^= 1 << position % 8
    for length in [*range(200), *range(200, len(whole), 997)]:
        assert body(whole[:length]) is None


def nothing():
    from contextlib import nullcontext

    return nullcontext()


@pytest.mark.parametrize("at", [3, 70, 20_000, -5])
def test_IDX_03_a_damaged_index_means_an_exact_search(gallery, vectors, tmp_path, at, caplog):
    gallery.build_index("ivf")
    file = index_file(gallery)
    content = bytearray(file.read_bytes())
    content[at] ^= 4
    file.write_bytes(content)
    queries = vectors[ROWS:]
    expected = exactly(gallery, queries)
    with open_gallery(gallery.path) as reader:
        reader.use_index_key(tmp_path / "keys" / "index.key")
        caplog.set_level(logging.INFO)
        found = searched(reader, queries)
        assert [ids.tolist() for ids, _ in found] == [ids.tolist() for ids, _ in expected]
        assert "without the index" in caplog.text
        reader.build_index("ivf")  # the next run makes it anew
        searched(reader, queries)
        assert reader._nearest._ann is not None


def test_blocks_are_proven_one_by_one(tmp_path, monkeypatch):
    monkeypatch.setattr(ann_file, "BLOCK", 10)
    parts = [b"a" * 7, b"b" * 25, b"", b"c" * 9, b"d" * 3]
    path, key = tmp_path / "x.ann", b"k" * 32

    def write(put):
        for part in parts:
            put(part)

    ann_file.store(path, key, {"a": 1}, write)
    with ann_file.proven(path, key) as file:
        assert file.facts == {"a": 1}
        found = [file.read(8) for _ in range(12)]
    assert b"".join(found) == b"".join(parts)
    whole = bytearray(path.read_bytes())
    whole[64 + 25] ^= 1
    path.write_bytes(whole)
    with ann_file.proven(path, key) as file:
        first = [file.read(10), file.read(10)]
        assert first == [b"a" * 7 + b"b" * 3, b"b" * 10]
        with pytest.raises(DamagedError):
            file.read(10)


def test_the_key_is_private_and_made_once(tmp_path):
    path = tmp_path / "deep" / "down" / "index.key"
    key = index_key.make(path)
    assert len(key) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert index_key.make(path) == index_key.read(path) == key
    assert [file.name for file in path.parent.iterdir()] == ["index.key"]
    path.chmod(0o622)
    assert index_key.read(path) is None
    path.chmod(0o600)
    path.write_bytes(b"short")
    assert index_key.read(path) is None
    assert index_key.make(path) is None


# when what is built


def test_an_index_is_built_once_and_again_when_a_tenth_changed(
    gallery, vectors, make_record, monkeypatch
):
    built = []
    build = ann.build
    monkeypatch.setattr(ann, "build", lambda *args: built.append(1) or build(*args))
    gallery.build_index("hnsw")
    gallery.build_index()
    assert len(built) == 1
    with open_with(gallery.path) as writer:
        writer.use_index_key(gallery.path.parent / "keys" / "index.key")
        many = np.tile(vectors, (2, 1))
        writer.add([make_record(i) for i in range(290)], many[:290])
        assert writer.build_index()["tail"] == 290
        assert len(built) == 1
        writer.add([make_record(i) for i in range(290, 301)], many[:11])
        assert (said := writer.build_index())["tail"] == 0
        assert (said["kind"], said["rows"]) == ("hnsw", ROWS + 301)  # the kind is remembered
        assert len(built) == 2
        assert writer.build_index("ivf")["kind"] == "ivf"
        assert writer.build_index("exact")["kind"] == "exact"
        assert writer.build_index()["asked"] == "exact"
        assert writer.build_index("auto")["kind"] == "exact"  # too few for an index
        assert not list((writer.path / "cache").glob("*.ann"))


def test_a_space_above_the_threshold_gets_an_index_by_itself(gallery, tmp_path):
    nearest = Nearest(
        gallery._connection, gallery.path / "cache", key_file=tmp_path / "key", threshold=ROWS - 1
    )
    with gallery.reading():
        (space,) = spaces_of(gallery._connection)
    assert nearest.build(space)["kind"] == "hnsw"
    nearest.close()


def test_a_reader_never_builds_an_index(gallery, vectors, monkeypatch):
    monkeypatch.setattr(ann, "build", None)
    with open_gallery(gallery.path, readonly=True) as reader:
        searched(reader, vectors[:3])
        assert not list((reader.path / "cache").glob("*.ann"))


def test_an_unknown_kind_is_a_programmers_mistake(gallery):
    with pytest.raises(ValueError, match="tree"):
        gallery.build_index("tree")


def test_without_faiss_only_an_explicit_kind_is_an_error(gallery, vectors, monkeypatch, caplog):
    import sys

    gallery.build_index("hnsw")
    monkeypatch.setitem(sys.modules, "faiss", None)
    monkeypatch.setattr(ann, "installed", lambda: False)
    with pytest.raises(UsageError, match=r"pip install dinoseek\[faiss\]"):
        gallery.build_index("ivf")
    monkeypatch.setattr(gallery._nearest._indexes, "_threshold", 10)
    caplog.clear()
    assert gallery.build_index("auto")["kind"] == "exact"
    assert caplog.text.count("pip install dinoseek[faiss]") == 1


def test_an_index_without_faiss_to_read_it_means_an_exact_search(
    gallery, vectors, tmp_path, monkeypatch
):
    import sys

    gallery.build_index("hnsw")
    monkeypatch.setitem(sys.modules, "faiss", None)
    with open_gallery(gallery.path, readonly=True) as reader:
        reader.use_index_key(tmp_path / "keys" / "index.key")
        assert recall(searched(reader, vectors[:5]), exactly(gallery, vectors[:5])) == 1


@pytest.mark.parametrize(
    ("asked", "rows", "memory", "kind"),
    [
        ("auto", 200_000, None, None),
        ("auto", 200_001, None, "hnsw"),
        ("auto", 10**6, 2 * 10**9, "hnsw"),
        ("auto", 10**6, 10**9, "ivf"),
        ("hnsw", 10**6, 10**9, "hnsw"),
        ("hnsw", 100, 10**9, "hnsw"),
        ("ivf", 100, None, "ivf"),
        ("exact", 10**9, None, None),
        ("hnsw", 1, None, None),
    ],
)
def test_the_plan_follows_from_size_and_memory(asked, rows, memory, kind):
    plan = planned(asked, rows, 384, 200_000, memory)
    assert (plan.kind if plan else None) == kind


def test_the_estimate_of_memory_is_that_of_the_file(gallery):
    gallery.build_index("hnsw")
    size = index_file(gallery).stat().st_size
    assert 0.8 < hnsw_bytes(ROWS, DIM, 16) / size < 1.25


def test_free_memory_is_known_here():
    assert 2**20 < free_memory() < 2**50


def test_what_is_kept_of_an_index_is_json(gallery, tmp_path):
    gallery.build_index("ivf")
    with ann_file.proven(
        index_file(gallery), index_key.read(tmp_path / "keys" / "index.key")
    ) as file:
        assert json.loads(json.dumps(file.facts))["plan"]["kind"] == "ivf"
