"""Rankings of several vectors, with images left out and folded: against naive loops."""

import hashlib

import numpy as np
import pytest

from dinoseek import ranking
from dinoseek.embedder import Embedder, Fingerprint
from dinoseek.errors import UsageError
from dinoseek.gallery.background import Background
from dinoseek.gallery.base import Record
from dinoseek.gallery.factory import open_gallery
from dinoseek.images.preprocess import find_preset
from dinoseek.queries import Mix, Part
from dinoseek.ranking import percent
from dinoseek.search import search, search_many

COUNT, DIM = 120, 6


def no_features(prepared):
    raise AssertionError("these tests bring their own vectors")


@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    """120 images around a dozen points, so that many are near-duplicates."""
    path = tmp_path_factory.mktemp("ranking")
    rng = np.random.default_rng(4)
    vectors = rng.standard_normal((12, DIM))[rng.integers(0, 12, COUNT)]
    vectors += 0.15 * rng.standard_normal((COUNT, DIM))
    names = [f"{i}.jpg".encode() for i in range(COUNT)]
    records = [
        Record(
            path=name,
            root=str(path),
            digest=hashlib.sha256(name).hexdigest(),
            width=4,
            height=3,
            bytes=100,
            mtime_ns=5,
            format="JPEG",
        )
        for name in names
    ]
    made = Fingerprint(
        model="tiny",
        weights="0" * 64,
        preprocess="squash",
        pooling="cls",
        pos_flavour="hub",
        dim=DIM,
    )
    embedder = Embedder(no_features, find_preset("squash"), made)
    with open_gallery(path / "g.dino", embedder) as opened:
        opened.add(records, vectors.astype(np.float32))
        yield opened


@pytest.fixture(scope="module")
def rows(gallery) -> dict[int, list[float]]:
    """The vectors by id, as searched."""
    ids = range(1, COUNT + 1)
    return dict(zip(ids, gallery.vectors(ids).tolist(), strict=True))


def cosine(a, b) -> float:
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / (sum(x * x for x in a) * sum(x * x for x in b)) ** 0.5


def by_score(scores: dict[int, float]) -> list[int]:
    return sorted(scores, key=lambda id: (-scores[id], id))


def ids(hits):
    return [hit.id for hit in hits]


@pytest.mark.parametrize("seed", range(5))
def test_an_average_is_the_weighted_sum_of_unit_vectors(gallery, rows, seed):
    rng = np.random.default_rng(seed)
    likes, unlikes = 3 * rng.standard_normal((3, DIM)), rng.standard_normal((2, DIM))
    weights = [1.0, 2.0, 0.5, 1.0, 1.5]
    target = [0.0] * DIM
    for i, (vector, weight) in enumerate(zip([*likes, *unlikes], weights, strict=True)):
        length = sum(x * x for x in vector) ** 0.5
        for axis in range(DIM):
            target[axis] += (weight if i < 3 else -weight) * vector[axis] / length
    expected = {id: cosine(target, row) for id, row in rows.items()}
    parts = [Part(v, weight=w) for v, w in zip([*likes, *unlikes], weights, strict=True)]

    hits = search(gallery, Mix(parts[:3], parts[3:]), 15)

    assert ids(hits) == by_score(expected)[:15]
    assert [hit.score for hit in hits] == pytest.approx(
        [expected[hit.id] for hit in hits], abs=1e-5
    )


@pytest.mark.parametrize("k", [1, 7, 40, COUNT + 5])
@pytest.mark.parametrize("seed", range(3))
def test_the_best_of_several_is_the_highest_cosine_with_a_positive(gallery, rows, k, seed):
    likes = np.random.default_rng(seed).standard_normal((3, DIM))
    expected = {id: max(cosine(like, row) for like in likes) for id, row in rows.items()}

    hits = search(gallery, Mix(list(likes), combine="best"), k)

    assert ids(hits) == by_score(expected)[:k]
    assert [hit.score for hit in hits] == pytest.approx(
        [expected[hit.id] for hit in hits], abs=1e-5
    )


@pytest.mark.parametrize("k", [1, 10, COUNT])
@pytest.mark.parametrize("seed", range(4))
def test_best_leaves_out_what_is_more_like_a_negative(gallery, rows, k, seed):
    rng = np.random.default_rng(seed)
    likes, unlikes = rng.standard_normal((2, DIM)), rng.standard_normal((3, DIM))
    expected = {}
    for id, row in rows.items():
        nearest = max(cosine(like, row) for like in likes)
        if nearest >= max(cosine(unlike, row) for unlike in unlikes):
            expected[id] = nearest

    hits = search(gallery, Mix(list(likes), list(unlikes), combine="best"), k)

    assert 0 < len(expected) < COUNT
    assert ids(hits) == by_score(expected)[:k]


def naive_collapse(rows, order, threshold, k):
    groups: list[list[int]] = []
    for id in order:
        for group in groups:
            if cosine(rows[id], rows[group[0]]) >= threshold:
                group.append(id)
                break
        else:
            if len(groups) == k:
                break
            groups.append([id])
    return [(group[0], len(group) - 1) for group in groups]


@pytest.mark.parametrize("k", [1, 3, 8, 50])
@pytest.mark.parametrize("threshold", [0.8, 0.95, 1.0, -1.0])
def test_collapse_folds_near_duplicates_and_counts_them(gallery, rows, k, threshold):
    query = np.array(rows[5])
    order = by_score({id: cosine(query, row) for id, row in rows.items()})

    hits = search(gallery, query, k, collapse=True, collapse_score=threshold)

    assert [(hit.id, hit.copies) for hit in hits] == naive_collapse(rows, order, threshold, k)
    assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))


def test_collapse_after_a_cut_off_folds_only_what_is_above(gallery, rows):
    query = np.array(rows[7])
    scores = {id: cosine(query, row) for id, row in rows.items()}
    order = [id for id in by_score(scores) if scores[id] >= 0.5]

    hits = search(gallery, query, 20, collapse=True, collapse_score=0.9, min_score=0.5)

    assert [(hit.id, hit.copies) for hit in hits] == naive_collapse(rows, order, 0.9, 20)


def test_without_collapse_nothing_counts_as_a_copy(gallery, rows):
    assert {hit.copies for hit in search(gallery, 5, 50)} == {0}


def test_only_so_many_images_are_looked_at_for_one_query(gallery, monkeypatch):
    asked = []
    monkeypatch.setattr(ranking, "_MOST", 20)
    search_gallery = type(gallery).search

    def counted(self, queries, k, where=None):
        asked.append(k)
        return search_gallery(self, queries, k, where)

    monkeypatch.setattr(type(gallery), "search", counted)

    (hit,) = search(gallery, 1, 1, collapse=True, collapse_score=-1.0)

    assert asked == [1, 4, 16, 20]
    assert hit.copies == 19


def test_all_operands_are_left_out_of_their_own_hits(gallery, rows):
    mix = Mix([3, Part(4, weight=2)], [9])
    every = ids(search(gallery, mix, COUNT))

    hits = search(gallery, mix, 10, exclude_self=True)

    assert ids(hits) == [id for id in every if id not in (3, 4, 9)][:10]


def test_distance_of_the_best_is_from_the_nearest_positive(gallery, rows):
    for hit in search(gallery, Mix([3, 4], combine="best"), 10, l2=True):
        apart = [
            sum((a - b) ** 2 for a, b in zip(rows[like], rows[hit.id], strict=True)) ** 0.5
            for like in (3, 4)
        ]
        assert hit.distance == pytest.approx(min(apart), abs=1e-4)


def test_queries_of_all_kinds_together_get_the_hits_of_each_alone(gallery):
    queries = [1, Mix([2, 3]), Mix([4, 5, 6], [7], combine="best"), Part(8), np.ones(DIM)]

    for options in ({}, {"collapse": True}, {"l2": True, "min_score": 0.2}, {"exclude_self": True}):
        answers = list(search_many(gallery, queries, 6, batch_size=3, **options))
        for query, (asked, hits) in zip(queries, answers, strict=True):
            assert asked is query
            alone = search(gallery, query, 6, **options)
            assert ids(hits) == ids(alone)
            assert [hit.copies for hit in hits] == [hit.copies for hit in alone]
            assert [hit.query for hit in hits] == [hit.query for hit in alone]


@pytest.mark.parametrize("options", [{"collapse_score": 1.5}, {"collapse_score": float("nan")}])
def test_a_cosine_that_there_is_not_is_refused(gallery, options):
    with pytest.raises(UsageError) as caught:
        search(gallery, 1, collapse=True, **options)
    assert caught.value.code == "search.collapse_score"


@pytest.mark.parametrize("least", [float("nan"), "much"])
def test_a_least_score_that_is_no_number_is_refused(gallery, least):
    with pytest.raises(UsageError) as caught:
        search(gallery, 1, min_score=least)
    assert caught.value.code == "search.min_score"


@pytest.fixture
def background(gallery, monkeypatch):
    """Random pairs whose scores are spread evenly from 0 to 0.8."""
    pairs = Background(rows=100, pairs=1000, quantiles=((0.0, 0.0), (99.9, 0.8)))
    monkeypatch.setattr(type(gallery), "background", lambda _: pairs)
    return pairs


def test_hits_are_placed_among_random_pairs(gallery, background):
    for query in (5, Mix([3, 4]), Mix([3, 4], combine="best")):
        hits = search(gallery, query, COUNT)
        for hit in hits:
            expected = 100.0 if hit.score > 0.8 else max(0.0, hit.score / 0.8 * 99.9)
            assert hit.percentile == pytest.approx(expected, abs=1e-3)
    assert {100.0, 0.0} < {hit.percentile for hit in search(gallery, 5, COUNT)}


def test_without_random_pairs_there_is_no_percentile(gallery, monkeypatch):
    monkeypatch.setattr(type(gallery), "background", lambda _: None)

    assert {hit.percentile for hit in search(gallery, 5, 10)} == {None}
    with pytest.raises(UsageError) as caught:
        search(gallery, 5, 10, min_score="auto")
    assert caught.value.code == "score.no_background"


def test_auto_leaves_out_what_chance_reaches(gallery, background):
    every = search(gallery, 5, COUNT)
    least = background.cut_off()

    hits = search(gallery, 5, COUNT, min_score="auto")

    assert ids(hits) == [hit.id for hit in every if hit.score >= least]
    assert 0 < len(hits) < COUNT
    ((_, many),) = search_many(gallery, [5], COUNT, min_score="auto")
    assert many == hits


@pytest.mark.parametrize(
    ("percentile", "words"),
    [(100.0, "100.00 %"), (99.999, "99.99 %"), (50.0, "50.00 %"), (0.0, "0.00 %")],
)
def test_a_percentile_is_rounded_down(percentile, words):
    assert percent(percentile) == words
