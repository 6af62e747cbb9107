"""Classes that are held out, and negatives that are hard."""

import numpy as np
import pytest

from dinoseek.errors import UsageError
from dinoseek.train.data import mining
from dinoseek.train.data.mining import hard_negatives
from dinoseek.train.data.split import split_by_class

LABELS = [f"class {number}" for number in range(40) for _ in range(1 + number % 4)]


def labels_of(rows):
    return {LABELS[row] for row in rows}


@pytest.mark.parametrize("seed", range(5))
def test_no_class_is_on_both_sides_and_no_image_is_lost(seed):
    split = split_by_class(LABELS, 0.2, seed=seed)

    assert sorted([*split.train, *split.validation]) == list(range(len(LABELS)))
    assert not labels_of(split.train) & labels_of(split.validation)
    assert len(labels_of(split.validation)) == 8
    assert all(LABELS.count(label) > 1 for label in labels_of(split.validation))


def test_the_split_does_not_follow_the_order_of_rows():
    order = np.random.default_rng(0).permutation(len(LABELS))
    shuffled = [LABELS[row] for row in order]

    split, again = split_by_class(LABELS, seed=3), split_by_class(shuffled, seed=3)

    assert {shuffled[row] for row in again.validation} == labels_of(split.validation)
    assert labels_of(split_by_class(LABELS, seed=4).validation) != labels_of(split.validation)


def test_two_classes_are_held_out_at_least():
    assert len(set(labels_of(split_by_class(LABELS, 0.001).validation))) == 2


@pytest.mark.parametrize(
    ("labels", "share", "said"),
    [
        (["a", "a", "b", "b", "c"], 0.5, "there are 3 classes, 2 of them with two images"),
        (["a", "a", "b", "c", "d"], 0.1, "there are 4 classes, 1 of them with two images"),
        ([], 0.1, "there are 0 classes"),
        (LABELS, 0.97, "there are 40 classes"),
        (LABELS, 1.0, r"share 1.0: must be between 0 and 1"),
        (LABELS, 0, "share 0: must be"),
    ],
)
def test_a_split_that_leaves_nothing_to_compare_is_refused(labels, share, said):
    with pytest.raises(UsageError, match=said) as caught:
        split_by_class(labels, share)

    assert caught.value.code == "train.split"


def vectors_of(count, seed=0):
    vectors = np.random.default_rng(seed).standard_normal((count, 8)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def by_loops(vectors, labels, count, skip, too_alike):
    found = []
    for i, vector in enumerate(vectors):
        scores = [(-float(np.dot(vector, other)), j) for j, other in enumerate(vectors)]
        fits = [j for score, j in sorted(scores) if labels[j] != labels[i] and -score < too_alike]
        found.append(fits[skip : skip + count])
    return found


@pytest.mark.parametrize(("skip", "too_alike"), [(0, 2.0), (2, 2.0), (0, 0.6)])
def test_the_nearest_of_other_labels_are_found(monkeypatch, skip, too_alike):
    monkeypatch.setattr(mining, "_AT_ONCE", 7)
    vectors = vectors_of(60)
    labels = [number % 9 for number in range(60)]

    found = hard_negatives(vectors, labels, count=5, skip=skip, too_alike=too_alike)

    expected = by_loops(vectors, labels, 5, skip, too_alike)
    if too_alike == 2.0:
        assert [each.tolist() for each in found] == expected
    for i, rows in enumerate(found):
        assert all(labels[row] != labels[i] for row in rows)
        assert rows.tolist() == expected[i][: len(rows)]


def test_what_shows_the_same_thing_is_no_negative():
    vectors = vectors_of(10)
    vectors[3] = vectors[0]  # the same picture under another label

    found = hard_negatives(vectors, list("abcabcabca"), count=3)

    assert 3 not in found[0]
    assert 0 not in found[3]
    assert all(len(rows) == 3 for rows in found)


def test_a_large_class_does_not_hide_the_others():
    vectors = vectors_of(50)
    vectors[:40] = vectors[0] + 0.01 * vectors_of(40, seed=1)  # all of one label, side by side
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    labels = [0] * 40 + list(range(1, 11))

    assert all(len(rows) == 4 for rows in hard_negatives(vectors, labels, count=4)[:40])


def test_nothing_has_no_negatives_and_lengths_must_agree():
    assert hard_negatives(np.empty((0, 8), np.float32), []) == []
    with pytest.raises(ValueError, match="3 vectors, but 2 labels"):
        hard_negatives(vectors_of(3), [0, 1])
