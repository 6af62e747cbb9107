"""Groups of alike images as stars: every image of one is alike with its centre.

Joining whatever is connected would merge pictures that have nothing in common, by a chain of which
each link is alike with the next. Here images are taken in a given order, the best first. One that
is alike with no centre before it becomes a centre; any other joins the centre that it is most alike
with. So what is put aside as a copy is a copy of the image that is kept, and of no other.

Centres are not alike with each other, so there are few for each image, and no list of all pairs is
ever made.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dinoseek.gallery.exact import Ids
from dinoseek.vit.ops import Array

Alike: TypeAlias = Callable[[Ids, Ids], NDArray[np.bool_]]
Pairs: TypeAlias = tuple[Ids, Ids, Array]  # rows (p,), other rows (p,), scores (p,)

_BLOCK = 512
_CHUNK = 8192


@dataclass
class Star:
    """The row of a centre, and those of the images that joined it, best row first."""

    centre: int
    members: list[int] = field(default_factory=list)


def stars(
    count: int,
    vectors: Callable[[int, int], Array],
    threshold: float,
    alike: Alike,
    opposed: Mapping[int, Collection[int]],
) -> list[Star]:
    """The stars of rows 0 to `count`, of which `vectors(start, end)` gives the unit vectors (b, d).

    Two rows are alike if their cosine is at least `threshold` and `alike` holds for them: it is
    asked of many pairs at once. Rows that are `opposed` never come into one star.
    """
    sky = _Sky(count, opposed)
    for start in range(0, count, _BLOCK):
        block = vectors(start, min(start + _BLOCK, count))
        within = [_filtered(pairs, alike) for pairs in _within(block, start, threshold)]
        against = [_filtered(pairs, alike) for pairs in sky.pairs(block, start, threshold)]
        options = _by_row([*against, *within])
        for row, vector in enumerate(block, start):
            sky.place(row, vector, options.get(row, []))
    return sky.stars


class _Sky:
    """The stars so far."""

    def __init__(self, count: int, opposed: Mapping[int, Collection[int]]) -> None:
        self.stars: list[Star] = []
        self._count = count
        self._opposed = opposed
        self._star_of: dict[int, Star] = {}  # by the row of its centre
        self._vectors: Array = np.empty((0, 0), np.float32)
        self._centres = np.empty(count, np.int64)

    def pairs(self, block: Array, start: int, threshold: float) -> Iterator[Pairs]:
        """The pairs of a row of the block (b, d) and a centre whose cosine is high enough."""
        for first in range(0, len(self.stars), _CHUNK):
            last = min(first + _CHUNK, len(self.stars))
            scores = block @ self._vectors[first:last].T  # (b, d) x (d, c) -> (b, c)
            rows, columns = np.nonzero(scores >= threshold)
            yield rows + start, self._centres[first + columns], scores[rows, columns]

    def place(self, row: int, vector: Array, options: list[tuple[float, int]]) -> None:
        """Lets a row join the best of its options that are centres, or become one."""
        for _, other in sorted(options, key=lambda option: (-option[0], option[1])):
            star = self._star_of.get(other)
            if star and self._may_join(row, star):
                star.members.append(row)
                return
        self._add_centre(row, vector)

    def _may_join(self, row: int, star: Star) -> bool:
        against = self._opposed.get(row, ())
        return (
            not any(other in against for other in (star.centre, *star.members)) if against else True
        )

    def _add_centre(self, row: int, vector: Array) -> None:
        if not len(self._vectors):  # memory is only taken as it is filled
            self._vectors = np.empty((self._count, len(vector)), np.float32)
        self._vectors[len(self.stars)] = vector
        self._centres[len(self.stars)] = row
        self._star_of[row] = Star(row)
        self.stars.append(self._star_of[row])


def _within(block: Array, start: int, threshold: float) -> Iterator[Pairs]:
    """The pairs of rows of a block (b, d), the later row first, whose cosine is high enough."""
    scores = block @ block.T  # (b, d) x (d, b) -> (b, b)
    rows, others = np.nonzero(np.tril(scores >= threshold, -1))
    yield rows + start, others + start, scores[rows, others]


def _filtered(pairs: Pairs, alike: Alike) -> Pairs:
    rows, others, scores = pairs
    if not len(rows):
        return pairs
    chosen = alike(rows, others)
    return rows[chosen], others[chosen], scores[chosen]


def _by_row(parts: list[Pairs]) -> dict[int, list[tuple[float, int]]]:
    """The scores and rows that each row has pairs with."""
    found: dict[int, list[tuple[float, int]]] = {}
    for rows, others, scores in parts:
        for row, other, score in zip(rows.tolist(), others.tolist(), scores.tolist(), strict=True):
            found.setdefault(row, []).append((score, other))
    return found
