"""How far a student finds what its teacher finds, in pictures that it has not learnt from."""

import numpy as np
from numpy.typing import NDArray

from dinoseek.vit.ops import Array

_NEAREST = 10
_ROWS = 512  # queries at once


def nearest_of(pictures: int) -> int:
    """How many neighbours are compared: ten, or a tenth of few pictures."""
    return min(_NEAREST, max(pictures // 10, 1))


def by_chance(pictures: int) -> float:
    """The agreement that no model at all would have."""
    return nearest_of(pictures) / max(pictures - 1, 1)


def agreement(student: Array, teacher: Array) -> float:
    """The mean share of the teacher's nearest neighbours that are among the student's nearest.

    Both are embeddings of unit length, (n, w) and (n, d), of the same two or more pictures, of
    which `nearest_of` are compared; a picture is no neighbour of itself.
    """
    count = nearest_of(len(student))
    shares = []
    for start in range(0, len(student), _ROWS):
        rows = np.arange(start, min(start + _ROWS, len(student)))
        found, wanted = (_neighbours(each, rows, count) for each in (student, teacher))
        shares += [len(np.intersect1d(*pair)) for pair in zip(found, wanted, strict=True)]
    return float(np.mean(shares)) / count


def _neighbours(vectors: Array, rows: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """The nearest others (r, count) of some rows, in no order."""
    cosines = vectors[rows] @ vectors.T  # (r, d) -> (r, n)
    cosines[np.arange(len(rows)), rows] = -np.inf
    return np.argpartition(-cosines, count - 1, axis=1)[:, :count]
