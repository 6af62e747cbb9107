"""Revisited Oxford and Paris against the reference code's numbers, and against a literal loop."""

import json
import pickle

import numpy as np
import pytest

from dinoseek.evaluation.ground_truth import load_ground_truth
from dinoseek.evaluation.revisited import (
    LEVELS,
    measure_revisited,
    score_revisited,
    score_revisited_ranking,
)


def literal(order, positives, junk):
    """Average precision and mP@1, 5, 10 of one ranking, as the protocol is written down."""
    kept = [row for row in order if row not in junk]
    ranks = [rank for rank, row in enumerate(kept) if row in positives]
    if not ranks:
        return [np.nan] * 4
    area = 0.0
    for j, rank in enumerate(ranks):
        before = 1.0 if rank == 0 else j / rank
        area += (before + (j + 1) / (rank + 1)) / 2 / len(ranks)
    found = [area]
    for k in (1, 5, 10):
        cut = min(ranks[-1] + 1, k)
        found.append(sum(rank < cut for rank in ranks) / cut)
    return found


@pytest.fixture
def gnd(tmp_path):
    """Twelve queries over 60 images; some have no easy or no hard ones, some no junk."""
    rng = np.random.default_rng(0)
    queries = []
    for number in range(12):
        rows = rng.permutation(60).tolist()
        easy, hard, junk = rows[:4], rows[4:9], rows[9:14]
        queries.append(
            {
                "bbx": [0, 0, 1, 1],
                "easy": easy if number % 4 else [],
                "hard": hard if number % 5 else [],
                "junk": junk if number % 3 else [],
            }
        )
    path = tmp_path / "gnd.pkl"
    names = [f"i{i}" for i in range(60)]
    gnd = {"imlist": names, "qimlist": [f"q{i}" for i in range(12)], "gnd": queries}
    path.write_bytes(pickle.dumps(gnd))
    return load_ground_truth(path)


def expected(gnd, orders):
    values = {}
    for level, (wanted, left) in LEVELS.items():
        rows = [
            literal(
                orders[query].tolist(),
                {int(i) for part in wanted for i in getattr(gnd, part)[query]},
                {int(i) for part in left for i in getattr(gnd, part)[query]},
            )
            for query in range(len(gnd.queries))
        ]
        for column, name in enumerate(("mAP", "mP@1", "mP@5", "mP@10")):
            values[f"{name} {level}"] = np.array([row[column] for row in rows])
    return values


def check(values, wanted):
    for name, column in wanted.items():
        np.testing.assert_allclose(values[name], column, rtol=0, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("name", ["roxford5k", "rparis6k"])
@pytest.mark.weights
def test_GT_13_the_reference_rankings_score_what_the_reference_code_says(shared, name):
    golden = json.loads((shared / "golden/revisitop-seed0.json").read_text())[name]["0"]
    gnd = load_ground_truth(shared / f"data/revisitop/gnd_{name}.pkl")
    with np.load(shared / f"golden/{name}-ranks-seed0.npz") as file:
        values, _, _ = measure_revisited(score_revisited_ranking(file["ranks"], gnd), gnd)
    for level, wanted in golden.items():
        assert abs(np.nanmean(values[f"mAP {level}"]) - wanted["map"]) <= 1e-12
        for k, precision in wanted["mp@k"].items():
            assert abs(np.nanmean(values[f"mP@{k} {level}"]) - precision) <= 1e-12


def test_one_positive_at_the_second_place_has_a_quarter_and_not_a_half(tmp_path):
    path = tmp_path / "gnd.pkl"
    query = {"bbx": [0, 0, 1, 1], "easy": [1], "hard": [], "junk": []}
    path.write_bytes(pickle.dumps({"imlist": ["a", "b", "c"], "qimlist": ["q"], "gnd": [query]}))
    gnd = load_ground_truth(path)
    values, _, _ = measure_revisited(score_revisited_ranking(np.array([[0], [1], [2]]), gnd), gnd)
    assert values["mAP easy"][0] == 0.25
    assert values["mP@10 easy"][0] == 0.5  # of the first two, since the last positive is second


def test_GT_09_queries_without_positives_have_no_value(gnd):
    ranking = np.stack([np.random.default_rng(q).permutation(60) for q in range(12)], axis=1)
    values, _, _ = measure_revisited(score_revisited_ranking(ranking, gnd), gnd)
    check(values, expected(gnd, ranking.T))
    empty = [query for query in range(12) if query % 4 == 0]
    assert np.flatnonzero(np.isnan(values["mAP easy"])).tolist() == empty
    assert not np.isnan(values["mAP medium"][1:]).any()  # query 0 has neither easy nor hard ones


@pytest.mark.parametrize("spread", [0, 3], ids=["no ties", "many ties"])
def test_scores_give_what_the_sorted_ranking_gives(gnd, spread):
    rng = np.random.default_rng(1)
    queries, gallery = unit(rng, 12, spread), unit(rng, 60, spread)
    scores = queries @ gallery.T
    order = np.argsort(-scores, axis=1, kind="stable")
    values, tied, _ = measure_revisited(score_revisited(queries, gallery, gnd), gnd)
    check(values, expected(gnd, order))
    assert (tied > 0) == bool(spread)


def unit(rng, rows, spread):
    """Unit vectors; with `spread`, of few values, so that scores are exactly equal."""
    if spread:
        return np.eye(8, dtype=np.float32)[rng.integers(0, spread, rows)]
    vectors = rng.standard_normal((rows, 8), dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_GT_10_images_that_tie_rank_in_the_order_of_the_ground_truths_list(gnd):
    gallery = np.tile(np.eye(1, 8, dtype=np.float32), (60, 1))
    queries = np.tile(np.eye(1, 8, dtype=np.float32), (12, 1))
    values, tied, _ = measure_revisited(score_revisited(queries, gallery, gnd), gnd)
    check(values, expected(gnd, np.tile(np.arange(60), (12, 1))))
    assert tied == sum(map(len, (*gnd.easy, *gnd.hard, *gnd.junk)))


@pytest.mark.parametrize("spread", [0, 3])
def test_distractors_count_without_being_sorted(gnd, spread):
    rng = np.random.default_rng(2)
    queries, gallery, more = (unit(rng, rows, spread) for rows in (12, 60, 500))
    scores = queries @ np.concatenate([gallery, more]).T
    order = np.argsort(-scores, axis=1, kind="stable")

    def blocks():
        yield more[:7]
        yield more[7:]

    values, _, _ = measure_revisited(
        score_revisited(queries, gallery, gnd, distractors=blocks), gnd
    )
    check(values, expected(gnd, order))
    ranked, _, _ = measure_revisited(score_revisited_ranking(order.T, gnd), gnd)
    check(ranked, expected(gnd, order))


def test_GT_08_images_without_a_vector_rank_behind_everything(gnd):
    rng = np.random.default_rng(3)
    queries, gallery = unit(rng, 12, 0), unit(rng, 60, 0)
    missing = np.zeros(60, bool)
    missing[[3, 17, 40]] = True
    scores = queries @ gallery.T
    scores[:, missing] = -np.inf
    order = np.argsort(-scores, axis=1, kind="stable")
    found = score_revisited(queries, gallery, gnd, missing=missing)
    values, _, _ = measure_revisited(found, gnd)
    check(values, expected(gnd, order))
