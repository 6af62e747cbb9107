"""Rays and what they meet: points, lengths and the one equation that all round solids need."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

CLEAR = np.float32(1e-4)  # what is nearer than this is where the ray starts
_TINY = np.float32(1e-9)


class Hit(NamedTuple):
    """The first surface that each of n rays meets: `distance` (n,), inf where there is none.

    `normal` (3, n) is of unit length and looks out of the solid; it means nothing without a hit.
    """

    distance: Array
    normal: Array


def roots(a: Array, b: Array, c: Array) -> tuple[Array, Array]:
    """Both solutions of a t^2 + 2 b t + c = 0, the smaller first; nan where there is none."""
    square = b * b - a * c
    # This form subtracts nothing of nearly equal size: Press et al., Numerical Recipes, 5.6.
    q = nonzero(-(b + np.copysign(np.sqrt(np.maximum(square, 0)), b)))
    q[square < 0] = np.nan
    first, second = q / nonzero(a), c / q
    return np.minimum(first, second), np.maximum(first, second)


def nonzero(values: Array) -> Array:
    """The values, with those at 0 moved a little, so that one can divide by them."""
    return np.where(np.abs(values) < _TINY, _TINY, values)


def points_at(origin: Array, direction: Array, distance: Array) -> Array:
    """The points (3, n) at the ends of rays; where a ray hits nothing, where it starts."""
    return origin + direction * np.where(np.isfinite(distance), distance, np.float32(0))


def dot(one: Array, other: Array) -> Array:
    """The product (n,) of vectors (3, n) or (3, 1), pair by pair."""
    x, y, z = one * other
    return x + y + z


def unit(vectors: Array) -> Array:
    """The vectors (3, n), of length 1."""
    length: Array = np.sqrt(np.maximum(dot(vectors, vectors), _TINY))
    return np.divide(vectors, length)
