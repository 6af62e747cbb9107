"""Folding near-duplicates: against naive loops, and what more rows can change."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dinoseek.collapse import fold


def naive(vectors, threshold, limit):
    """The same by loops over numbers."""
    groups: list[list[int]] = []
    for row in range(len(vectors)):
        for group in groups:
            cosine = sum(a * b for a, b in zip(vectors[row], vectors[group[0]], strict=True))
            if cosine >= threshold:
                group.append(row)
                break
        else:
            if len(groups) == limit:
                return groups, row
            groups.append([row])
    return groups, len(vectors)


def rows(count, dim, seed) -> np.ndarray:
    """Unit vectors, many of them near each other."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((3, dim))
    made = centres[rng.integers(0, 3, count)] + 0.3 * rng.standard_normal((count, dim))
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


@given(
    st.integers(0, 30), st.integers(2, 5), st.integers(0, 99), st.floats(-1, 1), st.integers(1, 9)
)
def test_folding_is_what_loops_give(count, dim, seed, threshold, limit):
    vectors = rows(count, dim, seed)

    assert fold(vectors, threshold, limit) == naive(vectors.tolist(), threshold, limit)


def test_a_chain_of_neighbours_does_not_become_one_group():
    angles = np.radians([0, 15, 30, 45])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)

    groups, _ = fold(vectors, np.cos(np.radians(20)), 9)

    assert groups == [[0, 1], [2, 3]]


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_more_rows_change_no_group_that_was_there(limit):
    vectors = rows(40, 4, 1)

    for count in range(40):
        groups, read = fold(vectors[:count], 0.9, limit)
        more, _ = fold(vectors, 0.9, limit)
        assert [group[0] for group in more][: len(groups)] == [group[0] for group in groups]
        assert read <= count
        if read < count:
            assert groups == more
