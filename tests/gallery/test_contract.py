"""What every store must do. A further store becomes one more entry of STORES."""

import json
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dinoseek.errors import DinoseekError, GalleryError, UsageError
from dinoseek.gallery.base import Gallery
from dinoseek.gallery.factory import open_gallery

STORES: dict[str, Callable[..., Gallery]] = {
    "sqlite": lambda folder, embedder: open_gallery(folder / "photos.dino", embedder),
}


@pytest.fixture(params=STORES)
def reopen(request, tmp_path, embedder) -> Iterator[Callable[[], Gallery]]:
    """Opens the same store again, after closing it."""
    opened: list[Gallery] = []

    def open_again() -> Gallery:
        for gallery in opened:
            gallery.close()
        opened.append(STORES[request.param](tmp_path, embedder))
        return opened[-1]

    yield open_again
    for gallery in opened:
        gallery.close()


@pytest.fixture
def gallery(reopen) -> Gallery:
    return reopen()


def names(hits):
    return [hit.file.name for hit in hits]


def test_IDX_01_an_empty_gallery_has_no_hits(gallery, unit_vectors):
    assert len(gallery) == 0
    assert gallery.search(unit_vectors(2), 5) == [[], []]


def test_what_was_added_is_found_first(gallery, make_record, unit_vectors):
    vectors = unit_vectors(20)
    gallery.add([make_record(i) for i in range(20)], vectors)
    assert len(gallery) == 20
    for i, hits in enumerate(gallery.search(vectors, 3)):
        assert hits[0].file.name == f"{i}.jpg"
        assert hits[0].score == pytest.approx(1, abs=1e-5)
        assert [hit.rank for hit in hits] == [1, 2, 3]


@pytest.mark.parametrize("k", [1, 7, 20, 10**9])
def test_hits_are_those_of_sorting_all_cosines(gallery, make_record, unit_vectors, k):
    vectors, queries = unit_vectors(20), unit_vectors(4, seed=1)
    gallery.add([make_record(i) for i in range(20)], vectors)
    cosines = queries @ vectors.T
    for row, hits in zip(cosines, gallery.search(queries, k), strict=True):
        order = np.argsort(-row)[:k]
        assert names(hits) == [f"{i}.jpg" for i in order]
        np.testing.assert_allclose([hit.score for hit in hits], row[order], atol=2e-3)  # float16


def test_IDX_34_equal_vectors_rank_by_id(gallery, make_record, unit_vectors):
    vectors = np.repeat(unit_vectors(1), 50, axis=0)
    gallery.add([make_record(i) for i in range(50)], vectors)
    (hits,) = gallery.search(vectors[:1], 50)
    ids = [hit.id for hit in hits]
    assert ids == sorted(ids)
    assert names(hits) == [f"{i}.jpg" for i in range(50)]


def test_what_was_added_is_there_after_reopening(reopen, make_record, unit_vectors):
    record = make_record(1, caption="a café", metadata={"a": [1, None, "ü"], "b": {"c": 0.5}})
    reopen().add([record], unit_vectors(1))
    ((hit,),) = reopen().search(unit_vectors(1), 3)
    assert hit.caption == "a café"
    assert reopen().get([hit.id]) == [record]


def test_only_known_digests_are_known(gallery, make_record, unit_vectors):
    records = [make_record(i) for i in range(1200)]  # more than a statement's parameters
    gallery.add(records, unit_vectors(1200))
    asked = [record.digest for record in records]
    assert gallery.known([*asked, "0" * 64]) == set(asked)
    assert gallery.known([]) == set()


def test_same_bytes_at_two_paths_are_one_image(gallery, make_record, unit_vectors):
    gallery.add(
        [make_record("b"), make_record("a", digest=make_record("b").digest)], unit_vectors(2)
    )
    assert len(gallery) == 1
    ((hit,),) = gallery.search(unit_vectors(1), 5)
    assert hit.file.name == "a.jpg"  # the first by name


def test_IDX_23_adding_twice_changes_nothing(gallery, make_record, unit_vectors):
    records, vectors = [make_record(i) for i in range(5)], unit_vectors(5)
    gallery.add(records, vectors)
    before = gallery.search(vectors, 5)
    gallery.add(records, vectors)
    assert len(gallery) == 5
    assert gallery.search(vectors, 5) == before


def test_a_new_vector_replaces_the_old(gallery, make_record, unit_vectors):
    old, new = unit_vectors(2)[:1], unit_vectors(2)[1:]
    gallery.add([make_record(1)], old)
    gallery.search(old, 1)  # whatever was derived from the old one must go
    gallery.add([make_record(1)], new)
    ((hit,),) = gallery.search(new, 1)
    assert hit.score == pytest.approx(1, abs=1e-5)


def test_an_empty_caption_does_not_erase_one(gallery, make_record, unit_vectors):
    gallery.add([make_record(1, caption="old", metadata={"a": 1})], unit_vectors(1))
    gallery.add([make_record(1)], unit_vectors(1))
    ((hit,),) = gallery.search(unit_vectors(1), 1)
    (record,) = gallery.get([hit.id])
    assert (record.caption, record.metadata) == ("old", {"a": 1})
    gallery.add([make_record(1, caption="new", metadata={"b": 2})], unit_vectors(1))
    (record,) = gallery.get([hit.id])
    assert (record.caption, record.metadata) == ("new", {"b": 2})


def test_IDX_22_adding_nothing_is_no_error(gallery, unit_vectors):
    gallery.add([], np.empty((0, 8), np.float32))
    assert len(gallery) == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 0.0, 1e200])
def test_IDX_21_vectors_without_direction_are_refused_whole(
    gallery, make_record, unit_vectors, bad
):
    vectors = unit_vectors(3).astype(np.float64)
    vectors[1] = 0
    vectors[1, 2] = bad
    with pytest.raises(GalleryError, match=r"1\.jpg") as caught:
        gallery.add([make_record(i) for i in range(3)], vectors)
    assert caught.value.code == "vector.invalid"
    assert len(gallery) == 0
    assert gallery.known([make_record(0).digest]) == set()


@pytest.mark.parametrize("shape", [(3, 7), (2, 8), (24,), (3, 8, 1)])
def test_IDX_22_vectors_of_another_shape_are_refused(gallery, make_record, shape):
    with pytest.raises(ValueError, match="expected"):
        gallery.add([make_record(i) for i in range(3)], np.ones(shape, np.float32))
    assert len(gallery) == 0


def test_IDX_22_layout_and_type_of_vectors_do_not_matter(gallery, make_record, unit_vectors):
    vectors = unit_vectors(6)
    strided = np.asfortranarray(np.repeat(vectors.astype(np.float64), 2, axis=1)[:, ::2] * 3)
    gallery.add([make_record(i) for i in range(6)], strided)
    for i, (hit,) in enumerate(gallery.search(vectors, 1)):
        assert hit.file.name == f"{i}.jpg"


def test_queries_of_another_length_are_refused(gallery, make_record, unit_vectors):
    gallery.add([make_record(1)], unit_vectors(1))
    with pytest.raises(UsageError, match="expected"):
        gallery.search(unit_vectors(1, dim=9), 1)


def test_removed_images_are_not_found_again(gallery, make_record, unit_vectors):
    vectors = unit_vectors(10)
    gallery.add([make_record(i) for i in range(10)], vectors)
    ids = [hits[0].id for hits in gallery.search(vectors, 1)]
    assert gallery.remove([ids[3], ids[4], 10**6]) == 2
    assert gallery.remove([ids[3]]) == 0
    assert len(gallery) == 8
    assert {hit.id for hit in gallery.search(vectors[3:4], 10)[0]} == set(ids) - {ids[3], ids[4]}
    assert gallery.known([make_record(3).digest, make_record(5).digest]) == {make_record(5).digest}


def test_IDX_24_a_gallery_can_be_emptied_and_filled_again(gallery, make_record, unit_vectors):
    gallery.add([make_record(1)], unit_vectors(1))
    ((old,),) = gallery.search(unit_vectors(1), 1)
    gallery.remove([old.id])
    assert len(gallery) == 0
    assert gallery.search(unit_vectors(1), 5) == [[]]
    gallery.add([make_record(1)], unit_vectors(1))
    ((new,),) = gallery.search(unit_vectors(1), 1)
    assert new.id != old.id  # an id is never used twice


def test_an_unknown_id_is_named(gallery):
    with pytest.raises(UsageError, match="99"):
        gallery.get([99])


def test_records_come_in_the_order_asked(gallery, make_record, unit_vectors):
    gallery.add([make_record(i) for i in range(3)], unit_vectors(3))
    ids = [hits[0].id for hits in gallery.search(unit_vectors(3), 1)]
    assert [r.path for r in gallery.get([ids[2], ids[0], ids[2]])] == [b"2.jpg", b"0.jpg", b"2.jpg"]


@pytest.mark.parametrize(
    "name",
    [
        b"\xff\xfe.jpg",
        b"a\nb\tc.jpg",
        b"-rf.jpg",
        b"\xe2\x80\xaegpj.exe",
        b"\xf0\x9f\x90\xb1.jpg",
        b"n" * 255,
    ],
    ids=repr,
)
def test_FS_07_names_of_any_bytes_are_kept(gallery, make_record, unit_vectors, name):
    import os

    gallery.add([make_record(name)], unit_vectors(1))
    ((hit,),) = gallery.search(unit_vectors(1), 1)
    assert os.fsencode(hit.file).endswith(b"/" + name)
    assert gallery.get([hit.id])[0].path == name
    assert hit.path.isprintable()
    json.loads(json.dumps(hit.as_dict()))
    hit.path.encode()


def test_a_hit_for_json_has_the_promised_fields(gallery, make_record, unit_vectors):
    gallery.add([make_record(1, caption="c")], unit_vectors(1))
    ((hit,),) = gallery.search(unit_vectors(1), 1)
    assert list(hit.as_dict())[:6] == ["query", "rank", "id", "path", "score", "caption"]


def test_closing_twice_is_no_error(gallery):
    gallery.close()
    gallery.close()


def test_errors_have_codes(gallery, make_record):
    with pytest.raises(DinoseekError) as caught:
        gallery.add([make_record(1)], np.zeros((1, 8)))
    assert caught.value.as_dict()["code"] == "vector.invalid"


@given(
    rows=st.lists(
        st.lists(st.floats(-1e3, 1e3, width=32), min_size=8, max_size=8).filter(
            lambda row: max(map(abs, row)) > 1e-3
        ),
        min_size=1,
        max_size=12,
    )
)
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_vectors_survive_the_store_to_half_precision(gallery, make_record, rows):
    gallery.remove([hit.id for hit in gallery.search(np.eye(8, dtype=np.float32)[:1], 10**6)[0]])
    vectors = np.array(rows, np.float32)
    gallery.add([make_record(f"{i}") for i in range(len(rows))], vectors)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for query, hits in zip(unit, gallery.search(unit, len(rows)), strict=True):
        for hit in hits:
            expected = float(query @ unit[int(hit.file.stem)])
            assert hit.score == pytest.approx(expected, abs=2e-3)
