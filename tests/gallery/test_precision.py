"""Spaces that differ in nothing but precision: which is searched, and when that is told."""

from pathlib import Path

import numpy as np
import pytest

from dinoseek.embedder import Embedder
from dinoseek.errors import GalleryError
from dinoseek.gallery import spaces
from dinoseek.gallery.factory import fingerprints_in, open_gallery


@pytest.fixture(autouse=True)
def told_nothing_yet():
    """What was told once in this process may be told again."""
    spaces._tell_coarser.cache_clear()


@pytest.fixture
def in_precision(make_embedder):
    """The embedder of these tests, in a precision."""

    def make(precision: str, **changes: str) -> Embedder:
        exact = make_embedder(**changes)
        fingerprint = exact.fingerprint.in_precision(precision)
        return Embedder(exact.features, exact.preset, fingerprint)

    return make


@pytest.fixture
def fill(tmp_path, in_precision, make_record, unit_vectors):
    """Adds `count` images in the space of a precision; returns the gallery's folder."""

    def make(precision: str, count: int = 3, seed: int = 0) -> Path:
        folder = tmp_path / "g.dino"
        with open_gallery(folder, in_precision(precision)) as gallery:
            gallery.add([make_record(i) for i in range(count)], unit_vectors(count, seed=seed))
        return folder

    return make


def searched(folder, embedder, vectors):
    """Ids and scores of the first three hits of each query."""
    with open_gallery(folder, embedder, readonly=True) as gallery:
        return [[(hit.id, hit.score) for hit in hits] for hits in gallery.search(vectors, 3)]


@pytest.mark.parametrize("space", ["float16", "bfloat16", "int8"])
def test_a_more_exact_query_searches_a_coarser_space_in_silence(
    fill, in_precision, unit_vectors, caplog, space
):
    folder, queries = fill(space), unit_vectors(2, seed=5)

    found = searched(folder, in_precision("float32"), queries)

    assert found == searched(folder, in_precision(space), queries)
    assert len(found[0]) == 3
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("query", "space"), [("bfloat16", "float32"), ("int8", "bfloat16"), ("bfloat16", "float16")]
)
def test_a_coarser_query_is_told_once_with_both_precisions(
    fill, in_precision, unit_vectors, caplog, query, space
):
    folder = fill(space)

    for seed in (5, 6):
        assert len(searched(folder, in_precision(query), unit_vectors(1, seed=seed))[0]) == 3

    (line,) = caplog.messages
    assert line.startswith(f"{folder}: queries are embedded in {query}")
    assert f"({space})" in line
    assert "\n" not in line


def test_the_space_of_the_same_precision_comes_first(fill, in_precision, unit_vectors, caplog):
    folder = fill("float32", seed=1)
    fill("bfloat16", seed=2)
    queries = unit_vectors(1, seed=5)

    for precision, seed in (("float32", 1), ("bfloat16", 2)):
        scores = sorted((unit_vectors(3, seed=seed) @ queries[0]).tolist(), reverse=True)
        found = searched(folder, in_precision(precision), queries)
        np.testing.assert_allclose([score for _, score in found[0]], scores, atol=2e-3)
    assert caplog.messages == []


def test_of_several_others_the_most_exact_is_searched(fill, in_precision, unit_vectors):
    folder = fill("int8", seed=1)
    fill("bfloat16", seed=2)
    queries = unit_vectors(1, seed=5)
    found = searched(folder, in_precision("float32"), queries)
    assert found == searched(folder, in_precision("bfloat16"), queries)
    assert found != searched(folder, in_precision("int8"), queries)


def test_readers_count_what_they_search_and_writers_what_is_their_own(
    fill, in_precision, make_record
):
    folder, digest = fill("bfloat16"), make_record(0).digest
    with open_gallery(folder, in_precision("float32"), readonly=True) as gallery:
        assert (len(gallery), gallery.known([digest])) == (3, {digest})
        assert gallery.searched.precision == "bfloat16"
    with open_gallery(folder, in_precision("float32")) as gallery:
        assert (len(gallery), gallery.known([digest])) == (0, set())


def test_another_precision_that_is_written_gets_a_space_of_its_own(fill):
    folder = fill("float32")
    fill("bfloat16", count=2)
    made = fingerprints_in(folder)
    assert [each.precision for each in made] == ["float32", "bfloat16"]
    assert made[0].family == made[1].family
    assert made[0].id != made[1].id


def test_a_space_that_differs_in_more_is_still_refused(fill, in_precision):
    folder = fill("bfloat16")
    for other in (in_precision("float32", model="base"), in_precision("int8", preprocess="hf")):
        with pytest.raises(GalleryError, match="tiny, squash, cls, bfloat16") as caught:
            open_gallery(folder, other, readonly=True)
        assert caught.value.code == "gallery.model_mismatch"
    assert "--precision int8" in str(caught.value)


def test_a_gallery_that_is_not_there_was_made_by_nobody(tmp_path):
    assert fingerprints_in(tmp_path / "no.dino") == []
