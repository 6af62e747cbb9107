"""Exact nearest neighbours by inner product: no index, one pass of BLAS over the matrix.

BLAS adds in an order that depends on where a row stands, how many queries there are and which
processor runs it, so equal rows can get scores that differ in the last bits. Therefore BLAS only
chooses candidates, a little more than k; their scores are then computed in float64. The result is
the same on every machine and for every batch.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dinoseek.vit.ops import Array

Ids = NDArray[np.int64]
Mask = NDArray[np.bool_]
Found = tuple[Ids, Array]  # of one query: ids or rows (k,) and scores (k,), best first

_QUERIES_AT_ONCE = 256
_SCORES_AT_ONCE = 1 << 22  # 16 MiB of float32
_ROWS_AT_ONCE = 4096  # of candidates scored in float64


def top_k(queries: Array, matrix: Array, k: int, allowed: Mask | None = None) -> tuple[Ids, Array]:
    """The k rows of matrix (m, d) with the largest inner product, for each of queries (q, d).

    Rows and queries are of unit length; only rows that are `allowed` (m,) count. Returns row
    numbers (q, k') and scores (q, k'), best first, equal scores by lower row; k' is k, or as many
    rows as there are if that is less.
    """
    k = min(k, len(matrix) if allowed is None else int(np.count_nonzero(allowed)))
    rows, scores = np.empty((len(queries), k), np.int64), np.empty((len(queries), k), np.float32)
    step = max(1, min(_QUERIES_AT_ONCE, _SCORES_AT_ONCE // max(k, 1)))
    for start in range(0, len(queries) if k else 0, step):
        block = queries[start : start + step]
        for i, candidates in enumerate(_candidates(block, matrix, k, allowed), start):
            rows[i], scores[i] = best(queries[i], matrix, candidates, k)
    return rows, scores


def merged(parts: Sequence[Found], k: int) -> Found:
    """The k best of what one query found in several places, equal scores by lower id."""
    if len(parts) == 1:
        return parts[0]
    ids, scores = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    order = np.lexsort((ids, -scores))[:k]
    return ids[order], scores[order]


def _candidates(queries: Array, matrix: Array, k: int, allowed: Mask | None) -> list[Ids]:
    """For each query the rows, ascending, that can be among its k best."""
    step = max(k, _SCORES_AT_ONCE // len(queries))
    margins = _margins(queries)
    floors = np.full(len(queries), -np.inf, np.float32)
    found: list[list[tuple[Ids, Array]]] = [[] for _ in queries]
    for start in range(0, len(matrix), step):
        scores = _scores(queries, matrix[start : start + step])  # (q, step)
        if allowed is not None:
            scores[:, ~allowed[start : start + step]] = -np.inf
        for i, row in enumerate(scores):
            floors[i] = max(floors[i], _lower_bound(row, k) - margins[i])
            chosen = np.flatnonzero(row >= floors[i])
            found[i].append((chosen + start, row[chosen]))
    return [_narrow(parts, k, margin) for parts, margin in zip(found, margins, strict=True)]


def _scores(queries: Array, rows: Array) -> Array:
    """Inner products (q, m); for a single query a matrix times a vector, limited by memory only."""
    return (rows @ queries[0])[None] if len(queries) == 1 else queries @ rows.T


def _margins(queries: Array) -> Array:
    """How far below the k-th best a score in float32 can lie and yet be among the k best: (q,).

    An inner product of d terms is off by at most d eps / 2 times both lengths (Higham, 2002,
    section 3.1), so two of them by d eps; twice that also covers rows that are a little longer than
    1.
    """
    norms = np.linalg.norm(queries, axis=1)
    return np.asarray(2 * queries.shape[1] * np.finfo(np.float32).eps * norms, np.float32)


def _lower_bound(scores: Array, k: int) -> np.float32:
    """A value that at least k of the scores (m,) reach: the k-th largest of many local maxima."""
    if len(scores) < k:
        return np.float32(-np.inf)
    width = max(1, len(scores) // (4 * k))
    usable = len(scores) // width * width
    maxima = scores[:usable].reshape(-1, width).max(axis=1)  # (m,) -> (m / width,)
    return np.partition(maxima, len(maxima) - k)[len(maxima) - k]


def _narrow(parts: list[tuple[Ids, Array]], k: int, margin: np.float32) -> Ids:
    """The rows that stay when the candidates of all blocks are compared with each other."""
    rows = np.concatenate([rows for rows, _ in parts])
    scores = np.concatenate([scores for _, scores in parts])
    kth = np.partition(scores, len(scores) - k)[len(scores) - k]
    return rows[scores >= kth - margin]


def best(query: Array, matrix: Array, rows: Ids, k: int) -> Found:
    """The k best of `rows` by exact score; rows ascend and the sort is stable."""
    parts = [
        precise(query, matrix[rows[start : start + _ROWS_AT_ONCE]])
        for start in range(0, len(rows), _ROWS_AT_ONCE)
    ]
    scores = np.concatenate(parts)
    order = np.argsort(-scores, kind="stable")[:k]
    return rows[order], scores[order]


def precise(query: Array, rows: Array) -> Array:
    """The scores (n,) of rows (n, d) for a query (d,): computed in float64, rounded once."""
    return (rows * query.astype(np.float64)).sum(axis=1).astype(np.float32)
