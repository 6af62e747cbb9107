"""Folds a ranking's near-duplicates into the best-ranked of them."""

import numpy as np

from dinoseek.vit.ops import Array

COLLAPSE_SCORE = 0.95


def fold(vectors: Array, threshold: float, limit: int) -> tuple[list[list[int]], int]:
    """Groups the rows of unit vectors (n, d), best first, and says how many rows that took.

    A row whose cosine with the first row of a group is at least `threshold` belongs to the first
    such group; any other begins one. Rows are read until group `limit` + 1 would begin. So what
    comes further down never changes a group's first row, or which groups there are.
    """
    groups: list[list[int]] = []
    first = np.empty((limit, vectors.shape[1]), np.float32)  # of each group
    for row, vector in enumerate(vectors):
        alike = np.flatnonzero(first[: len(groups)] @ vector >= threshold)  # (g, d) -> up to (g,)
        if len(alike):
            groups[alike[0]].append(row)
            continue
        if len(groups) == limit:
            return groups, row
        first[len(groups)] = vector
        groups.append([row])
    return groups, len(vectors)
