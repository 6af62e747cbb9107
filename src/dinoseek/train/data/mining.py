"""Hard negatives: what a model takes for the same although its label is another."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dinoseek.gallery.exact import top_k
from dinoseek.train.data.records import numbers_of
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
    classes = numbers_of(labels)
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


def alike_classes(
    vectors: Array, labels: Sequence[object], *, most: int = 8, count: int = 5
) -> list[int]:
    """A kind (n,) for each of unit vectors (n, d): classes that are taken for each other share one.

    The classes with the most hard negatives in each other (`count` of each image) join first, up to
    `most` of them in a kind.
    """
    classes = numbers_of(labels).tolist()
    mistaken: Counter[tuple[int, int]] = Counter()
    for own, rows in zip(classes, hard_negatives(vectors, labels, count=count), strict=True):
        for other in rows.tolist():
            mistaken[min(own, classes[other]), max(own, classes[other])] += 1
    kinds = [{number} for number in range(len(set(classes)))]
    for (one, other), _ in sorted(mistaken.items(), key=lambda each: (-each[1], each[0])):
        joined = kinds[one] | kinds[other]
        if kinds[one] is not kinds[other] and len(joined) <= most:
            for member in joined:
                kinds[member] = joined
    return [min(kinds[number]) for number in classes]
