"""Searches compared: hits in common, and Recall@1."""

import numpy as np
import pytest

from dinoseek.export.retrieval import HITS, retrieval_of


def classes(count, seed=0):
    return np.random.default_rng(seed).standard_normal((count, 16), dtype=np.float32)


def naive_first_hits(tokens):
    """The ten most alike of each row, by loops, as sets; and the first."""
    rows = [row / np.linalg.norm(row) for row in tokens.astype(np.float64)]
    order = [
        sorted((o for o in range(len(rows)) if o != q), key=lambda o: -float(rows[q] @ rows[o]))
        for q in range(len(rows))
    ]
    return [set(row[:HITS]) for row in order], [row[0] for row in order]


def test_overlap_and_recall_are_those_of_loops():
    ours, theirs = classes(30), classes(30) + 0.7 * classes(30, seed=1)
    labels = ["abcdef"[row % 6] for row in range(29)] + ["alone"]

    found = retrieval_of(ours, theirs, labels)

    (sets, first), (other_sets, other_first) = naive_first_hits(ours), naive_first_hits(theirs)
    shares = [len(a & b) / HITS for a, b in zip(sets, other_sets, strict=True)]
    assert 0.2 < found.overlap < 0.95  # or it would prove nothing
    assert found.overlap == pytest.approx(sum(shares) / 30)
    assert found.chance == pytest.approx(10 / 29)
    queries = range(29)  # the last has no other of its label
    assert found.recall_at_1_float32 == pytest.approx(
        sum(labels[first[q]] == labels[q] for q in queries) / 29
    )
    assert found.recall_at_1 == pytest.approx(
        sum(labels[other_first[q]] == labels[q] for q in queries) / 29
    )


def test_length_does_not_matter_and_equal_tokens_find_the_same():
    ours = classes(20)
    scale = np.arange(1, 21, dtype=np.float32)[:, None]

    assert retrieval_of(ours, ours * scale, [None] * 20).overlap == 1


def test_equal_pictures_find_each_other_and_not_themselves():
    ours = np.repeat(classes(6), 2, axis=0)

    found = retrieval_of(ours, ours, [str(row // 2) for row in range(12)])

    assert found.recall_at_1 == 1


def test_without_labels_there_is_no_recall():
    found = retrieval_of(classes(12), classes(12), [None] * 12)

    assert (found.recall_at_1, found.recall_at_1_float32) == (None, None)
