"""SuperGlobal's re-ranking against loops, written from the paper and the authors' description."""

import numpy as np
import pytest

from dinoseek.rerank.options import SuperGlobal
from dinoseek.rerank.super_global import super_global_scores

from .conftest import clustered


def dot(a, b):
    return sum(float(x) * float(y) for x, y in zip(a, b, strict=True))


def naive_scores(query, hits, neighbors, beta):
    refined = []
    for i, hit in enumerate(hits):
        others = sorted(
            (j for j in range(len(hits)) if j != i), key=lambda j: (-dot(hit, hits[j]), j)
        )
        total, weight = [float(v) for v in hit], 1.0
        for j in others[:neighbors]:
            share = beta * max(0.0, dot(hit, hits[j]))
            total = [a + share * float(b) for a, b in zip(total, hits[j], strict=True)]
            weight += share
        refined.append([value / weight for value in total])
    first = [dot(query, each) for each in refined]
    best = sorted(range(len(hits)), key=lambda i: (-first[i], i))[: neighbors + 1]
    new = [max(refined[i][c] for i in best) for c in range(len(query))]
    return [(first[i] + dot(new, refined[i])) / 2 for i in range(len(hits))]


@pytest.mark.parametrize(("neighbors", "beta"), [(9, 0.15), (1, 0.5), (100, 0.15), (3, 0.0)])
def test_scores_are_what_loops_give(queries, gallery, rankings, neighbors, beta):
    for query, ranking in zip(queries, rankings, strict=True):
        found = super_global_scores(
            query, gallery[ranking], SuperGlobal(neighbors=neighbors, beta=beta)
        )

        expected = naive_scores(query, gallery[ranking], neighbors, beta)
        np.testing.assert_allclose(found, expected, atol=5e-6)


def test_one_hit_alone_has_a_score():
    assert np.isfinite(super_global_scores(clustered(1)[0], clustered(2)[1:], SuperGlobal())).all()
