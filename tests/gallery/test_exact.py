"""top_k against sorting everything, in float64, with ties to the lower row."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dinoseek.gallery import exact
from dinoseek.gallery.exact import merged, top_k


def sorted_naively(queries, matrix, k):
    scores = (queries.astype(np.float64) @ matrix.astype(np.float64).T).astype(np.float32)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(scores, order, axis=1)


def assert_like_sorting(queries, matrix, k):
    rows, scores = top_k(queries, matrix, k)
    expected_rows, expected_scores = sorted_naively(queries, matrix, k)
    np.testing.assert_array_equal(rows, expected_rows)
    np.testing.assert_allclose(scores, expected_scores, rtol=0, atol=1e-7)
    assert rows.dtype == np.int64
    assert scores.dtype == np.float32


@given(
    data=st.data(),
    dim=st.integers(1, 9),
    count=st.integers(1, 60),
    k=st.integers(1, 70),
    queries=st.integers(1, 5),
)
@settings(max_examples=300, deadline=None)
def test_top_k_is_the_head_of_a_stable_sort(data, dim, count, k, queries):
    # whole numbers from -1 to 1: many rows are equal, and products are exact
    cells = st.integers(-1, 1)
    draw = data.draw(
        st.lists(cells, min_size=dim * (count + queries), max_size=dim * (count + queries))
    )
    both = np.array(draw, np.float32).reshape(-1, dim)
    assert_like_sorting(both[:queries], both[queries:], k)


@given(seed=st.integers(0, 10**6), blocks=st.integers(1, 5), k=st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_blocks_do_not_change_the_result(seed, blocks, k):
    rng = np.random.default_rng(seed)
    matrix = rng.integers(-2, 3, (200, 4)).astype(np.float32) / 4
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact, "_SCORES_AT_ONCE", 200 // blocks)
        patch.setattr(exact, "_QUERIES_AT_ONCE", blocks)
        patch.setattr(exact, "_ROWS_AT_ONCE", 7)
        assert_like_sorting(matrix[:6], matrix, k)


@pytest.mark.parametrize("dim", [384, 1536])
def test_many_random_rows_are_ranked_as_in_float64(dim, unit_vectors):
    matrix = unit_vectors(6000, dim)
    assert_like_sorting(matrix[:20], matrix, 25)
    assert_like_sorting(matrix[7:8], matrix, 6000)


def test_IDX_34_ten_thousand_equal_rows_come_in_their_order(unit_vectors):
    matrix = np.repeat(unit_vectors(1, 384), 10_000, axis=0)
    for queries in (matrix[:1], matrix[:3]):
        rows, scores = top_k(queries, matrix, 100)
        assert (rows == np.arange(100)).all()
        assert (scores == scores[0, 0]).all()


def test_a_query_gets_the_same_scores_alone_and_among_others(unit_vectors):
    matrix = unit_vectors(3000, 100)
    together = top_k(matrix[:50], matrix, 9)
    for i in range(50):
        alone = top_k(matrix[i : i + 1], matrix, 9)
        np.testing.assert_array_equal(together[0][i], alone[0][0])
        np.testing.assert_array_equal(together[1][i], alone[1][0])


def test_equal_rows_at_the_edges_of_blas_kernels_keep_their_order(unit_vectors):
    twin = unit_vectors(1, 383, seed=1)[0]
    for count in range(2, 40):
        matrix = unit_vectors(count, 383)
        matrix[0] = matrix[-1] = twin
        rows, scores = top_k(twin[None], matrix, 2)
        assert rows.tolist() == [[0, count - 1]]
        assert scores[0, 0] == scores[0, 1]


@pytest.mark.parametrize("queries", [1, 3])
def test_rows_closer_than_float32_can_tell_are_told_apart(queries, unit_vectors):
    rng = np.random.default_rng(2)
    matrix = np.repeat(unit_vectors(1, 768), 4000, axis=0)
    places = rng.integers(0, 768, 4000)
    rows = np.arange(4000)
    matrix[rows, places] = np.nextafter(
        matrix[rows, places], rng.choice([-1, 1], 4000), dtype=np.float32
    )
    for k in (1, 10, 100):
        assert_like_sorting(np.repeat(matrix[:1], queries, axis=0), matrix, k)


@pytest.mark.parametrize("k", [0, 1, 10**9])
def test_IDX_01_empty_single_and_huge_k(k, unit_vectors):
    queries = unit_vectors(2)
    for count in (0, 1, 5):
        rows, scores = top_k(queries, unit_vectors(count, seed=1), k)
        assert rows.shape == scores.shape == (2, min(k, count))


def test_no_queries_give_no_rows(unit_vectors):
    rows, scores = top_k(np.empty((0, 8), np.float32), unit_vectors(5), 3)
    assert rows.shape == scores.shape == (0, 3)


def test_the_arguments_stay_as_they_are(unit_vectors):
    queries, matrix = unit_vectors(3), unit_vectors(20, seed=1)
    before = queries.copy(), matrix.copy()
    queries.flags.writeable = matrix.flags.writeable = False
    top_k(queries, matrix, 4)
    np.testing.assert_array_equal(before[0], queries)
    np.testing.assert_array_equal(before[1], matrix)


@given(data=st.data(), count=st.integers(1, 60), k=st.integers(1, 70), queries=st.integers(1, 4))
@settings(max_examples=200, deadline=None)
def test_only_allowed_rows_count(data, count, k, queries):
    cells = st.lists(
        st.integers(-1, 1), min_size=3 * (count + queries), max_size=3 * (count + queries)
    )
    both = np.array(data.draw(cells), np.float32).reshape(-1, 3)
    allowed = np.array(data.draw(st.lists(st.booleans(), min_size=count, max_size=count)))
    rows, scores = top_k(both[:queries], both[queries:], k, allowed)
    chosen = np.flatnonzero(allowed)
    expected_rows, expected_scores = sorted_naively(both[:queries], both[queries:][chosen], k)
    np.testing.assert_array_equal(rows, chosen[expected_rows])
    np.testing.assert_array_equal(scores, expected_scores)


def test_a_few_allowed_rows_are_found_among_many_blocks(unit_vectors, monkeypatch):
    monkeypatch.setattr(exact, "_SCORES_AT_ONCE", 500)
    matrix, allowed = unit_vectors(5000), np.zeros(5000, bool)
    allowed[[3, 4, 4990]] = True
    rows, _ = top_k(matrix[:2], matrix, 5, allowed)
    assert sorted(rows[0]) == [3, 4, 4990]


@given(
    parts=st.lists(st.lists(st.integers(0, 3), max_size=6), min_size=1, max_size=4),
    k=st.integers(1, 9),
)
def test_parts_are_merged_by_score_and_then_by_id(parts, k):
    """Each part is the best of its own: scores descend, and ids ascend among equals."""
    ids, found, everything = iter(range(100)), [], []
    for part in parts:
        pairs = [(score, next(ids)) for score in sorted(part, reverse=True)][:k]
        everything += pairs
        found.append(
            (np.array([i for _, i in pairs], np.int64), np.array([s for s, _ in pairs], np.float32))
        )
    expected = sorted(everything, key=lambda pair: (-pair[0], pair[1]))[:k]
    merged_ids, merged_scores = merged(found, k)
    assert list(zip(merged_scores.tolist(), merged_ids.tolist(), strict=True)) == expected
