"""What scores mean: their place among random pairs, counted one by one, and the cut-off."""

import sqlite3
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dinoseek.errors import UsageError
from dinoseek.gallery import background, schema
from dinoseek.gallery.background import (
    Background,
    automatic,
    load,
    refresh,
    sample,
    store,
)
from dinoseek.gallery.factory import open_gallery
from dinoseek.gallery.spaces import make_space, put_vector, spaces_of


@pytest.fixture
def connection():
    opened = sqlite3.connect(":memory:", isolation_level=None)
    schema.migrate(opened)
    yield opened
    opened.close()


@pytest.fixture
def make_rows(connection, embedder):
    """Puts vectors into a space of their own length and returns the space."""

    def make(vectors, first=1):
        space_id = make_space(connection, embedder.fingerprint)
        for id, vector in enumerate(vectors.astype("<f2"), first):
            row = (id, f"{id:x}", 1, 1, 1, "JPEG", "{}")
            connection.execute(
                "INSERT INTO images (id, digest, width, height, bytes, format, metadata)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                row,
            )
            put_vector(connection, space_id, id, vector)
        return spaces_of(connection)[0]

    return make


def scores_of_pairs(vectors):
    stored = vectors.astype(np.float16).astype(np.float64)
    units = [row / np.linalg.norm(row) for row in stored]
    return np.array([float(a @ b) for a, b in combinations(units, 2)])


def test_a_percentile_is_the_share_of_pairs_that_score_less(connection, make_rows, unit_vectors):
    vectors = unit_vectors(60)
    found = sample(connection, make_rows(vectors))
    pairs = scores_of_pairs(vectors)
    assert (found.rows, found.pairs) == (60, len(pairs))
    for score in np.linspace(-1, 1, 41):
        assert found.percentile(score) == pytest.approx(100 * (pairs < score).mean(), abs=1.01)
    scores = [score for _, score in found.quantiles]
    assert scores == sorted(set(scores))
    assert scores[0] == pytest.approx(pairs.min(), abs=1e-6)
    assert scores[-1] == pytest.approx(pairs.max(), abs=1e-6)


def test_only_what_is_above_all_pairs_is_at_100(connection, make_rows, unit_vectors):
    found = sample(connection, make_rows(unit_vectors(50)))
    highest = found.quantiles[-1][1]
    assert found.percentile(highest) == pytest.approx(100 - 100 / found.pairs)
    assert found.percentile(highest + 1e-6) == 100
    assert found.percentile(-1) == 0
    assert found.percentile(found.quantiles[0][1]) == 0


def test_equal_scores_are_not_less_than_each_other(connection, make_rows):
    same = np.repeat(np.eye(8, dtype=np.float32)[:2], 20, axis=0)  # two images, twenty times each
    found = sample(connection, make_rows(same))
    less = 100 * (20 * 20) / (40 * 39 / 2)  # the pairs of one with the other
    assert found.percentile(0) == 0
    assert found.percentile(1) == pytest.approx(less)


@given(st.lists(st.floats(-1, 1, width=32), min_size=190, max_size=400))
@settings(max_examples=100, deadline=None)
def test_percentiles_grow_with_the_score(scores):
    found = background._of_scores(np.array(scores, np.float32), 20)
    shares = [found.percentile(score) for score in np.linspace(-1.1, 1.1, 50)]
    assert shares == sorted(shares)
    assert min(scores) <= found.cut_off() <= max(scores)


def test_of_n_images_about_one_in_n_reaches_the_cut_off(connection, make_rows, unit_vectors):
    vectors = unit_vectors(400)
    found = sample(connection, make_rows(vectors))
    above = scores_of_pairs(vectors) >= found.cut_off()
    assert 2 * above.sum() / 400 == pytest.approx(1, rel=0.1)  # each pair is seen from both sides


def test_large_spaces_are_sampled(connection, make_rows, unit_vectors, monkeypatch):
    space = make_rows(unit_vectors(300))
    whole = sample(connection, space)
    monkeypatch.setattr(background, "_SAMPLE", 100)
    part = sample(connection, space)
    assert (part.rows, part.pairs) == (300, 100 * 99 / 2)
    assert part == sample(connection, space)  # the choice is not left to chance
    assert part.percentile(0.3) == pytest.approx(whole.percentile(0.3), abs=5)


def test_images_with_gaps_between_their_ids_are_chosen_alike(
    connection, make_rows, unit_vectors, monkeypatch
):
    monkeypatch.setattr(background, "_SAMPLE", 30)
    chosen = []
    monkeypatch.setattr(
        background, "_vectors", lambda *of: chosen.extend(of[2]) or unit_vectors(30)
    )
    make_rows(unit_vectors(100), first=1)
    space = make_rows(unit_vectors(100, seed=1), first=10**9)
    sample(connection, space)
    assert len(set(chosen)) == 30
    assert 8 <= sum(id >= 10**9 for id in chosen) <= 22


def test_what_is_kept_comes_back(connection, make_rows, unit_vectors):
    space = make_rows(unit_vectors(30))
    assert load(connection, space) is None
    found = sample(connection, space)
    store(connection, space, found)
    assert load(connection, space) == found
    assert Background.from_json(found.to_json()) == found
    assert spaces_of(connection)[0].key == space.key  # no vector changed


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{}",
        '{"rows": 0, "pairs": 1, "quantiles": [[0, 1]]}',
        '{"rows": 1, "pairs": 1, "quantiles": []}',
        '{"rows": 1, "pairs": 1, "quantiles": [[0, NaN]]}',
        '{"rows": 1, "pairs": 1, "quantiles": [1]}',
        '{"rows": 1, "pairs": 1, "quantiles": [[1, "x"]]}',
    ],
)
def test_a_damaged_background_is_said_to_be_one(connection, make_rows, unit_vectors, text):
    space = make_rows(unit_vectors(3))
    connection.execute("UPDATE spaces SET background = ?", (text,))
    with pytest.raises(sqlite3.DatabaseError, match="unreadable background"):
        load(connection, space)


@pytest.mark.parametrize(
    ("vector", "reason"),
    [(b"", "no vector"), (b"\xff" * 16, "changed on the disk"), (bytes(16), "changed on the disk")],
)
def test_damaged_vectors_make_no_background(connection, make_rows, unit_vectors, vector, reason):
    space = make_rows(unit_vectors(30))
    connection.execute("UPDATE vectors SET vector = ? WHERE image_id = 7", (vector,))
    with pytest.raises(sqlite3.DatabaseError, match=reason):
        sample(connection, space)


def test_pairs_are_scored_again_when_much_has_changed(connection, make_rows, unit_vectors):
    space = make_rows(unit_vectors(100))
    first = refresh(connection, space)
    assert first.rows == 100
    assert refresh(connection, make_rows(unit_vectors(20, seed=1), first=101)) == first
    assert refresh(connection, make_rows(unit_vectors(1, seed=2), first=121)).rows == 121
    connection.execute("DELETE FROM vectors WHERE image_id > 15")
    assert refresh(connection, spaces_of(connection)[0]) is None
    assert load(connection, spaces_of(connection)[0]) is None


def test_a_few_images_have_no_background_and_no_automatic_cut_off(
    connection, make_rows, unit_vectors
):
    assert sample(connection, make_rows(unit_vectors(19))) is None
    found = sample(connection, make_rows(unit_vectors(1), first=20))
    assert automatic(found, "photos.dino") == found.cut_off()
    with pytest.raises(UsageError, match="it takes 20 images or more") as caught:
        automatic(None, "photos.dino")
    assert caught.value.code == "score.no_background"


@pytest.mark.weights
def test_on_photographs_what_reaches_the_cut_off_shows_the_same_things(
    shared, connection, make_rows, make_embedder, tmp_path, make_record
):
    import json

    folder = shared / "data" / "coco128"
    stored = np.load(folder / "official-dinov2-vits14-cls.npz")
    labels = json.loads((folder / "labels.json").read_text("utf-8"))
    names = [set(labels.get(name, [])) for name in stored["names"].tolist()]
    units = stored["cls"] / np.linalg.norm(stored["cls"], axis=1, keepdims=True)
    embedder = make_embedder(dim=384)
    with open_gallery(tmp_path / "photos.dino", embedder) as gallery:
        gallery.add([make_record(n) for n in range(128)], units)
        with gallery.reading():
            (space,) = spaces_of(gallery._connection)
            found = sample(gallery._connection, space)
    scores = units @ units.T
    pairs = [(a, b) for a, b in combinations(range(128), 2)]
    alike = {pair: bool(names[pair[0]] & names[pair[1]]) for pair in pairs}
    above = [alike[pair] for pair in pairs if scores[pair] >= found.cut_off()]
    below = [alike[pair] for pair in pairs if scores[pair] < found.cut_off()]
    assert np.mean(above) > 0.9
    assert np.mean(below) < 0.4
    assert 40 < len(above) < 90
