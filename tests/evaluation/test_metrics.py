"""The measures against loops that say what they mean, with ties, duplicates and singletons."""

from functools import partial

import numpy as np
import pytest

from dinoseek.evaluation.metrics import (
    average_precision,
    map_at_r,
    measured,
    precision_at,
    precision_at_recall,
    r_precision,
    recall_at,
)
from dinoseek.evaluation.scoring import score_ranking, score_vectors
from dinoseek.evaluation.truth import Truth, label_truth

MEASURES = {
    "recall@1": partial(recall_at, 1),
    "recall@5": partial(recall_at, 5),
    "precision@5": partial(precision_at, 5),
    "map@r": map_at_r,
    "r-precision": r_precision,
    "map": average_precision,
}


def naive(scores, positives, excluded):
    """The measures of one query, by sorting and counting."""
    order = sorted(
        (row for row in range(len(scores)) if row not in excluded),
        key=lambda row: (-scores[row], row),
    )
    right = [row in positives for row in order]
    total = sum(right)
    if not total:
        return dict.fromkeys(MEASURES, np.nan)
    precision = [sum(right[: i + 1]) / (i + 1) for i in range(len(right))]
    return {
        "recall@1": float(any(right[:1])),
        "recall@5": float(any(right[:5])),
        "precision@5": sum(right[:5]) / 5,
        "map@r": sum(p for p, r in zip(precision[:total], right, strict=False) if r) / total,
        "r-precision": sum(right[:total]) / total,
        "map": sum(p for p, r in zip(precision, right, strict=True) if r) / total,
    }


def vectors(kind, rows, seed=0):
    rng = np.random.default_rng(seed)
    if kind == "ties":  # rows of an identity: every score is exactly 0 or 1
        return np.eye(6, dtype=np.float32)[rng.integers(0, 6, rows)]
    found = rng.standard_normal((rows, 16), dtype=np.float32)
    if kind == "duplicates":
        found[rows // 2 :] = found[: rows - rows // 2]
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def exact(queries, rows):
    """Scores in float64, each added in one order, so that equal rows have equal scores."""
    return np.einsum("qd,md->qm", queries.astype(np.float64), rows.astype(np.float64))


@pytest.mark.parametrize("kind", ["plain", "ties", "duplicates"])
@pytest.mark.parametrize("classes", [2, 7, 60])  # many positives are sorted, few are counted
def test_measures_of_labels_equal_naive_loops(kind, classes):
    rows = vectors(kind, 90)
    labels = np.random.default_rng(1).integers(0, classes, 90)
    truth = label_truth(labels, labels, np.arange(90))
    values, _, _ = measured(score_vectors(rows, rows, truth), MEASURES)
    scores = exact(rows, rows)
    for query in range(90):
        positives = {i for i in range(90) if labels[i] == labels[query] and i != query}
        expected = naive(scores[query], positives, {query})
        for name, value in expected.items():
            np.testing.assert_allclose(values[name][query], value, rtol=0, atol=1e-12)


def test_the_query_is_left_out_by_its_place_and_not_as_the_first_hit():
    """Of two equal images of two classes, one must not vanish in place of the query itself."""
    rows = np.eye(3, dtype=np.float32)[[0, 0, 1, 1]]
    labels = np.array([5, 5, 6, 7])
    truth = label_truth(labels, labels, np.arange(4))
    values, tied, _ = measured(score_vectors(rows, rows, truth), MEASURES)
    assert values["recall@1"][:2].tolist() == [1, 1]
    assert np.isnan(values["recall@1"][2:]).all()  # singletons have nothing to find
    assert tied == 0  # each positive is alone at its score once the query is out


def test_a_gallery_apart_loses_nothing():
    """In-Shop: what looks like the query is there to be found, however equal."""
    queries, gallery = np.eye(2, dtype=np.float32)[[0]], np.eye(2, dtype=np.float32)[[0, 0, 1]]
    truth = label_truth(np.array([1]), np.array([2, 1, 1]))
    values, tied, _ = measured(score_vectors(queries, gallery, truth), MEASURES)
    assert values["recall@1"][0] == 0  # equal scores: the earlier row ranks higher
    assert values["map"][0] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert tied == 1


def test_a_ranking_gives_what_its_scores_give():
    rng = np.random.default_rng(4)
    rows, queries = vectors("plain", 50), vectors("plain", 9, seed=5)
    positives = [np.sort(rng.choice(50, 20, replace=False)) for _ in range(9)]
    junk = [np.sort(rng.choice(50, 8, replace=False)) for _ in range(9)]  # some are positives too
    truth = Truth(positives=positives, junk=junk)
    order = np.argsort(-(queries @ rows.T), axis=1, kind="stable")
    by_scores, _, curve = measured(score_vectors(queries, rows, truth), MEASURES)
    by_ranking, _, same = measured(score_ranking(order.T, truth), MEASURES)
    for name in MEASURES:
        np.testing.assert_array_equal(by_scores[name], by_ranking[name])
    np.testing.assert_array_equal(curve, same)
    for query in range(9):
        wanted = set(positives[query].tolist()) - set(junk[query].tolist())
        expected = naive(exact(queries, rows)[query], wanted, set(junk[query].tolist()))
        for name, value in expected.items():
            np.testing.assert_allclose(by_scores[name][query], value, rtol=0, atol=1e-12)


def test_queries_in_several_blocks_give_the_same(monkeypatch):
    from dinoseek.evaluation import scoring

    rows, labels = vectors("duplicates", 70), np.random.default_rng(1).integers(0, 9, 70)
    truth = label_truth(labels, labels, np.arange(70))
    whole, _, _ = measured(score_vectors(rows, rows, truth), MEASURES)
    monkeypatch.setattr(scoring, "_QUERIES_AT_ONCE", 8)
    parts, _, _ = measured(score_vectors(rows, rows, truth), MEASURES)
    monkeypatch.setattr(scoring, "_FEW", 0)
    by_sort, _, _ = measured(score_vectors(rows, rows, truth), MEASURES)
    for name in MEASURES:
        np.testing.assert_array_equal(whole[name], parts[name])
        np.testing.assert_array_equal(whole[name], by_sort[name])


def test_equal_images_tie_exactly_wherever_they_stand_and_whatever_is_beside_them():
    rng = np.random.default_rng(0)
    for size in (2, 7, 63, 65, 130, 301):
        rows = rng.standard_normal((size, 384), dtype=np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        rows[-1] = rows[0]
        queries = rng.standard_normal((5, 384), dtype=np.float32)
        none = np.empty(0, np.int64)
        truth = Truth(positives=[np.array([0, size - 1])] * 5, junk=[none] * 5)
        for found in score_vectors(queries, rows, truth):
            assert found.tied == 2
            assert found.ranks[1] == found.ranks[0] + 1
    rows = vectors("duplicates", 128)  # queries and gallery are one matrix, which BLAS could halve
    truth = Truth(positives=[np.array([i, i + 64]) for i in range(64)], junk=[none] * 64)
    assert all(found.ranks.tolist() == [0, 1] for found in score_vectors(rows[:64], rows, truth))


def test_the_curve_has_the_best_precision_at_each_recall_or_more():
    ranks = np.array([0, 3, 4, 9])
    precisions = [1 / 1, 2 / 4, 3 / 5, 4 / 10]
    curve = precision_at_recall(ranks)
    for step in range(101):
        reached = [p for j, p in enumerate(precisions, start=1) if j / 4 >= step / 100 - 1e-12]
        assert curve[step] == pytest.approx(max(reached))
