"""Hard negatives: what a model takes for the same although its label is another."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dinoseek.gallery.exact import top_k
from dinoseek.vit.ops import Array

Ids = NDArray[np.int64]

# As alike as this are pictures of one thing, whatever their labels say: a product that is listed
# twice, a photograph that was cropped. To push them apart would teach what is wrong.
TOO_ALIKE = 0.98
_AT_ONCE = 1024


def hard_negatives(
    vectors: Array,
    labels: Sequence[object],
    *,
    count: int = 10,
    skip: int = 0,
    too_alike: float = TOO_ALIKE,
) -> list[Ids]:
    """For each of unit vectors (n, d) the rows of the nearest with other labels, best first.

    The first `skip` of them are left out, since the very nearest are often wrong labels; so are
    those with a cosine of `too_alike` or more. Of a class that fills the neighbourhood there may be
    fewer than `count`.
    """
    numbers: dict[object, int] = {}
    classes = np.array([numbers.setdefault(label, len(numbers)) for label in labels], np.int64)
    if len(classes) != len(vectors):
        raise ValueError(f"{len(vectors)} vectors, but {len(classes)} labels")
    if not len(vectors):
        return []
    # All of the own class may stand before the negatives that are wanted.
    near = min(len(vectors), int(np.bincount(classes).max()) + skip + 2 * count)
    found: list[Ids] = []
    for start in range(0, len(vectors), _AT_ONCE):
        rows, scores = top_k(vectors[start : start + _AT_ONCE], vectors, near)
        for own, some, cosines in zip(classes[start : start + _AT_ONCE], rows, scores, strict=True):
            fits = (classes[some] != own) & (cosines < too_alike)
            found.append(some[fits][skip : skip + count])
    return found
