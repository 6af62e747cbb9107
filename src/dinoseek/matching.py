"""Which patches of two pictures show the same thing, and whether they lie in the same arrangement.

Mutual nearest neighbours by cosine, then RANSAC (Fischler and Bolles, 1981) for the map between the
pictures that most of them agree on. The random numbers have a fixed seed: the same pictures always
give the same matches.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dinoseek.vit.ops import Array

Geometry = Literal["none", "similarity", "affine"]
Ids = NDArray[np.int64]
Mask = NDArray[np.bool_]
Points = NDArray[np.float64]  # (k, 2), x and y in patches

_SEED = 0
_DRAWS = 512
_LEAST_SCALE, _MOST_SCALE = 0.2, 5.0  # a map that shrinks or grows more is chance


class Patches(NamedTuple):
    """A picture's patch tokens, of unit length: vectors (rows cols, d), row by row."""

    vectors: Array
    rows: int
    cols: int


class Matches(NamedTuple):
    """Pairs of patches: of the first picture (k,), of the second (k,), their cosines (k,).

    `inliers` (k,) are those that agree on one map between the pictures.
    """

    first: Ids
    second: Ids
    cosines: Array
    inliers: Mask


@dataclass(frozen=True, kw_only=True)
class MatchOptions:
    """How pictures are matched: the kind of map, how far off in patches, and the least cosine."""

    geometry: Geometry = "similarity"
    tolerance: float = 1.5
    min_cosine: float = 0.0


def match(first: Patches, second: Patches, options: MatchOptions = MatchOptions()) -> Matches:
    """The mutual nearest patches of two pictures, in the order of the first one's."""
    ones, others, cosines = mutual_nearest(first.vectors, second.vectors)
    keep = cosines >= options.min_cosine
    ones, others, cosines = ones[keep], others[keep], cosines[keep]
    inliers = np.ones(len(ones), np.bool_)
    if options.geometry != "none":
        source, target = centres(ones, first.cols), centres(others, second.cols)
        inliers = agreeing(source, target, options.geometry, options.tolerance)
    return Matches(ones, others, cosines, inliers)


def mutual_nearest(first: Array, second: Array) -> tuple[Ids, Ids, Array]:
    """Rows of (n, d) and (m, d), of unit length, that are each other's nearest, and the cosines."""
    cosines = first @ second.T  # (n, d) @ (d, m) -> (n, m)
    there, back = cosines.argmax(axis=1), cosines.argmax(axis=0)  # (n,), (m,)
    ones = np.flatnonzero(back[there] == np.arange(len(first)))
    return ones, there[ones], cosines[ones, there[ones]]


def centres(ids: Ids, cols: int) -> Points:
    """The centres (k, 2) of patches by number, x and y in patches."""
    return np.stack([ids % cols + 0.5, ids // cols + 0.5], axis=1)


def agreeing(source: Points, target: Points, geometry: Geometry, tolerance: float) -> Mask:
    """Which of the pairs (k, 2), (k, 2) the best map takes to each other within `tolerance`.

    A similarity turns, scales and shifts, an affine map also shears. The best of a fixed number of
    maps through random pairs is fitted once more to all that agree with it. None agree where there
    are fewer pairs than the map has to be drawn through, and one to spare.
    """
    need = 2 if geometry == "similarity" else 3
    if len(source) < need:
        return np.zeros(len(source), np.bool_)
    draws = _draws(len(source), need)
    maps = np.stack([_fitted(source[draw], target[draw], geometry) for draw in draws])
    agree = _within(maps, source, target, tolerance)  # (draws, k)
    counts = np.where(_plausible(maps), agree.sum(axis=1), 0)
    best = agree[int(counts.argmax())]
    if counts.max() <= need:
        return np.zeros(len(source), np.bool_)
    again = _within(_fitted(source[best], target[best], geometry)[None], source, target, tolerance)[
        0
    ]
    return again if again.sum() >= best.sum() else best


def _draws(count: int, need: int) -> Ids:
    """Numbers (draws, need) of different pairs each, the same every time."""
    rng = np.random.default_rng(_SEED)
    return np.argsort(rng.random((_DRAWS, count)), axis=1)[:, :need]


def _fitted(source: Points, target: Points, geometry: Geometry) -> Points:
    """The least-squares map (3, 2) from [x, y, 1] to [x, y]."""
    x, y = source.T
    one, zero = np.ones_like(x), np.zeros_like(x)
    if geometry == "affine":
        return np.linalg.lstsq(np.stack([x, y, one], axis=1), target, rcond=None)[0]
    # x' = a x - b y + c and y' = b x + a y + d
    across = np.stack([x, -y, one, zero], axis=1)
    down = np.stack([y, x, zero, one], axis=1)
    system = np.concatenate([across, down])  # 2 x (k, 4) -> (2 k, 4)
    a, b, c, d = np.linalg.lstsq(system, target.T.reshape(-1), rcond=None)[0]
    return np.array([[a, b], [-b, a], [c, d]])


def _within(maps: Points, source: Points, target: Points, tolerance: float) -> Mask:
    """Which pairs (k,) each of maps (draws, 3, 2) takes to each other: (draws, k)."""
    mapped = source @ maps[:, :2] + maps[:, 2:]  # (k, 2) @ (draws, 2, 2) -> (draws, k, 2)
    return np.asarray(np.linalg.norm(mapped - target, axis=2) <= tolerance)


def _plausible(maps: Points) -> Mask:
    """Whether maps (draws, 3, 2) keep the side up and areas within reason: (draws,)."""
    areas = np.linalg.det(maps[:, :2])
    return np.asarray((areas >= _LEAST_SCALE**2) & (areas <= _MOST_SCALE**2))
