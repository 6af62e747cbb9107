"""k-reciprocal encoding against sets and loops, written from the paper."""

import math

import numpy as np
import pytest

from dinoseek.rerank.k_reciprocal import k_reciprocal_scores
from dinoseek.rerank.options import KReciprocal

from .conftest import clustered


def naive_scores(query, hits, k1, k2, weight):
    points = [query, *hits]
    n = len(points)
    away = [[0.0 if i == j else max(0.0, 2 - 2 * dot(points[i], points[j])) for j in range(n)]
            for i in range(n)]  # fmt: skip
    away = [[value / max(row) for value in row] for row in away]
    order = [sorted(range(n), key=lambda j: (j != i, away[i][j], j)) for i in range(n)]

    def reciprocal(i, k):
        return {j for j in order[i][: k + 1] if i in order[j][: k + 1]}

    def encoded(i):
        wide = reciprocal(i, k1)
        members = set(wide)
        for j in wide:
            narrow = reciprocal(j, round(k1 / 2))
            if len(wide & narrow) >= 2 / 3 * len(narrow):
                members |= narrow
        weights = [math.exp(-away[i][j]) if j in members else 0.0 for j in range(n)]
        return [value / sum(weights) for value in weights]

    single = [encoded(i) for i in range(n)]
    averaged = [
        [sum(single[j][c] for j in order[i][:k2]) / len(order[i][:k2]) for c in range(n)]
        for i in range(n)
    ]
    scores = []
    for i in range(1, n):
        smaller = sum(min(a, b) for a, b in zip(averaged[0], averaged[i], strict=True))
        larger = sum(max(a, b) for a, b in zip(averaged[0], averaged[i], strict=True))
        jaccard = 1 - smaller / larger
        scores.append(1 - ((1 - weight) * jaccard + weight * away[0][i]))
    return scores


def dot(a, b):
    return sum(float(x) * float(y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize(
    ("k1", "k2", "weight"), [(20, 6, 0.3), (5, 2, 0.3), (7, 1, 0.0), (50, 50, 1.0), (1, 1, 0.5)]
)
def test_scores_are_what_sets_and_loops_give(queries, gallery, rankings, k1, k2, weight):
    options = KReciprocal(k1=k1, k2=k2, weight=weight)

    for query, ranking in zip(queries, rankings, strict=True):
        found = k_reciprocal_scores(query, gallery[ranking], options)

        expected = naive_scores(query, gallery[ranking], k1, k2, weight)
        np.testing.assert_allclose(found, expected, atol=5e-6)


def test_members_of_the_query_s_group_overtake_a_nearer_stranger_with_other_friends():
    rng = np.random.default_rng(3)
    query, aside = np.eye(8, dtype=np.float32)[:2]
    members = [query + 0.25 * rng.standard_normal(8) * [0, 0, 1, 1, 1, 1, 1, 1] for _ in range(9)]
    friends = [query + 0.8 * aside + 0.1 * rng.standard_normal(8) for _ in range(12)]
    hits = np.array([query + 0.55 * aside, *members, *friends])
    hits = (hits / np.linalg.norm(hits, axis=1, keepdims=True)).astype(np.float32)

    cosines = hits @ query
    scores = k_reciprocal_scores(query, hits, KReciprocal(k1=9, k2=3))

    worse_by_cosine = [i for i in range(1, 10) if cosines[i] < cosines[0]]
    assert worse_by_cosine, "the stranger has to be nearer than a member"
    assert all(scores[i] > scores[0] for i in worse_by_cosine)


def test_copies_of_the_query_come_first_and_score_alike():
    hits = clustered(20, seed=5)
    hits = np.concatenate([hits[:3], hits[7:8], hits[7:8], hits])

    scores = k_reciprocal_scores(hits[3], hits, KReciprocal(k1=6, k2=2))

    assert set(np.argsort(-scores)[:3]) <= {3, 4, 12}
    assert np.isfinite(scores).all()


def test_one_hit_alone_has_a_score():
    assert np.isfinite(k_reciprocal_scores(clustered(1)[0], clustered(2)[1:], KReciprocal())).all()
    assert np.isfinite(k_reciprocal_scores(clustered(1)[0], clustered(1), KReciprocal())).all()
