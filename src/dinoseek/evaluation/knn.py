"""k-nearest-neighbour classification as DINOv2 evaluates itself (dinov2/eval/knn.py).

Unit vectors; the 200 nearest training images of each test image get the weights softmax(cosine /
0.07), and each class the sum of those among the first k. Accuracy is that of the best class, and of
the best five.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dinoseek.gallery.exact import top_k
from dinoseek.vit.ops import Array

Ids = NDArray[np.int64]

NEIGHBOURS = (10, 20, 100, 200)
TEMPERATURE = 0.07
_QUERIES_AT_ONCE = 256
_BEST = 5


class Voted(NamedTuple):
    """Whether the true class of one test image came first, and among the first five: (k,) each."""

    first: NDArray[np.bool_]
    among_five: NDArray[np.bool_]


def classify(
    test: Array,
    test_classes: Ids,
    train: Array,
    train_classes: Ids,
    *,
    neighbours: Sequence[int] = NEIGHBOURS,
    temperature: float = TEMPERATURE,
    own: Ids | None = None,
) -> Iterator[Voted]:
    """Classifies test vectors (q, d) by training vectors (m, d), for each number of neighbours.

    With `own` (q,), the row of each test image among the training images, that row has no vote:
    leave one out. Classes with equal votes rank by number, lowest first.
    """
    most = min(max(neighbours), len(train) - (own is not None))
    count = int(max(train_classes.max(), test_classes.max())) + 1
    for start in range(0, len(test), _QUERIES_AT_ONCE):
        block = slice(start, start + _QUERIES_AT_ONCE)
        rows, scores = top_k(test[block], train, most + (own is not None))
        for i in range(len(rows)):
            kept = rows[i] != own[start + i] if own is not None else slice(None)
            nearest, cosines = rows[i][kept][:most], scores[i][kept][:most]
            votes = _votes(cosines, train_classes[nearest], neighbours, temperature, count)
            yield _voted(votes, int(test_classes[start + i]))


def _votes(
    cosines: Array, classes: Ids, neighbours: Sequence[int], temperature: float, count: int
) -> NDArray[np.float64]:
    """The votes (k, count) of the nearest rows, whose cosines (n,) descend, for each class."""
    weights = np.exp((cosines.astype(np.float64) - cosines[0]) / temperature)
    weights /= weights.sum()
    votes = [np.bincount(classes[:k], weights[:k], minlength=count) for k in neighbours]
    return np.stack(votes)


def _voted(votes: NDArray[np.float64], true: int) -> Voted:
    """The place of the true class among the votes (k, count)."""
    own = votes[:, true, None]
    ahead = (votes > own).sum(axis=1) + (votes[:, :true] == own).sum(axis=1)
    voted = own[:, 0] > 0
    return Voted(voted & (ahead == 0), voted & (ahead < _BEST))
