"""Classification by nearest neighbours against DINOv2's procedure, written out for one image."""

import math

import numpy as np
import pytest

from dinoseek.evaluation.knn import NEIGHBOURS, classify


def literal(query, train, classes, k, temperature, most=200):
    """Softmax over the 200 nearest, then the first k weights summed for each class."""
    cosines = [(float(np.dot(row.astype(np.float64), query)), i) for i, row in enumerate(train)]
    nearest = sorted(cosines, key=lambda pair: (-pair[0], pair[1]))[:most]
    weights = [math.exp(cosine / temperature) for cosine, _ in nearest]
    votes = {}
    for weight, (_, i) in list(zip(weights, nearest, strict=True))[:k]:
        votes[classes[i]] = votes.get(classes[i], 0) + weight / sum(weights)
    return sorted(votes, key=lambda each: (-votes[each], each))


def unit(rng, rows):
    found = rng.standard_normal((rows, 8), dtype=np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_votes_are_those_of_the_literal_procedure(temperature):
    rng = np.random.default_rng(0)
    train, test = unit(rng, 400), unit(rng, 40)
    classes, true = rng.integers(0, 12, 400), rng.integers(0, 12, 40)
    voted = list(classify(test, true, train, classes, temperature=temperature))
    for query, found in enumerate(voted):
        for i, k in enumerate(NEIGHBOURS):
            order = literal(test[query], train, classes.tolist(), k, temperature)
            assert found.first[i] == (order[0] == true[query])
            assert found.among_five[i] == (true[query] in order[:5])
    assert 0 < np.mean([each.first for each in voted]) < np.mean([v.among_five for v in voted])


def test_leaving_one_out_no_image_votes_for_itself():
    rng = np.random.default_rng(1)
    rows = unit(rng, 30)
    rows[15:] = rows[:15]  # so that the image itself is not the only nearest
    classes = np.repeat([0, 1], 15)
    voted = list(classify(rows, classes, rows, classes, neighbours=(1,), own=np.arange(30)))
    assert not any(each.first[0] for each in voted)  # the twin has the other class
    kept = list(classify(rows, classes, rows, classes, neighbours=(1,)))
    assert sum(each.first[0] for each in kept) == 15  # the lower row of each pair wins


def test_a_class_that_nobody_voted_for_is_not_among_the_five():
    train = np.eye(4, dtype=np.float32)
    found = next(classify(train[:1], np.array([9]), train, np.array([0, 1, 2, 3])))
    assert not found.first.any()
    assert not found.among_five.any()
