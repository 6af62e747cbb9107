"""Products on the ground, as one thing that rays meet."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product as each_of
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dinoseek.products.catalogue import Product
from dinoseek.products.ray import Array, Hit, dot
from dinoseek.products.shape import Piece
from dinoseek.products.solid import blocks, bounds, cast, reach

Mask = NDArray[np.bool_]
Ids = NDArray[np.intp]


@dataclass(frozen=True, kw_only=True)
class Placed:
    """A product at a place (x, y) of the ground, turned about the vertical, of some size."""

    product: Product
    place: tuple[float, float] = (0.0, 0.0)
    turn: float = 0.0
    size: float = 1.0

    @cached_property
    def axes(self) -> Array:
        """The product's axes in the scene: (3, 3), one a column."""
        cosine, sine = np.cos(self.turn), np.sin(self.turn)
        return np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]], np.float32)

    @cached_property
    def foot(self) -> Array:
        """Where it stands (3, 1)."""
        return np.array([*self.place, 0], np.float32)[:, None]

    @cached_property
    def ball(self) -> tuple[Array, float]:
        """Center (3, 1) and radius of a ball that holds it."""
        center, radius = hull(self.product)
        return self.axes @ center * np.float32(self.size) + self.foot, radius * self.size

    def inside(self, points: Array) -> Array:
        """Points of the scene (3, n) in the product's own coordinates."""
        return self.axes.T @ (points - self.foot) * np.float32(1 / self.size)


class Meeting(NamedTuple):
    """What n rays meet: `distance` (n,), inf for nothing; `normal` (3, n).

    `thing` and `piece` (n,) count which of the things it is, and which of its pieces.
    """

    distance: Array
    normal: Array
    thing: Ids
    piece: Ids

    def of(self, rays: Ids) -> "Meeting":
        """The same of some rays."""
        near, normal = self.distance[rays], self.normal[:, rays]
        return Meeting(near, normal, self.thing[rays], self.piece[rays])


def meet(things: Sequence[Placed], origin: Array, direction: Array) -> Meeting:
    """The first of the things that rays from `origin` (3, n) or (3, 1) meet."""
    count = direction.shape[1]
    distance, normal = np.full(count, np.inf, np.float32), np.zeros((3, count), np.float32)
    thing, piece = np.zeros(count, np.intp), np.zeros(count, np.intp)
    for number, each in enumerate(things):
        near, start, along, gone = _passing(each, origin, direction)
        for part, solid in enumerate(each.product.pieces):
            hit = _cast(solid, start, along)
            whole = gone + hit.distance * np.float32(each.size)
            closer = whole < distance[near]
            where = near[closer]
            distance[where] = whole[closer]
            normal[:, where] = each.axes @ hit.normal[:, closer]
            thing[where], piece[where] = number, part
    return Meeting(distance, normal, thing, piece)


def shadowed(things: Sequence[Placed], origin: Array, direction: Array) -> Mask:
    """Whether something stands in the way (n,) of rays from `origin` (3, n)."""
    blocked = np.zeros(direction.shape[1], bool)
    for each in things:
        near, start, along, _ = _passing(each, origin, direction)
        for piece in each.product.pieces:
            blocked[near] |= blocks(piece.solid, *_into(piece, start, along))
    return blocked


def hull(product: Product) -> tuple[Array, float]:
    """Center (3, 1) and radius of a ball that holds all pieces."""
    corners, middles = [], []
    for piece in product.pieces:
        box = bounds(piece.solid).T  # (3, 2)
        turn, at = np.array(piece.turn), np.array(piece.at)[:, None]
        corners.append(turn @ np.array(list(each_of(*box))).T + at)  # (3, 8)
        middles.append(turn @ box.mean(axis=1, keepdims=True) + at)
    every = np.hstack(corners)
    center = (every.min(axis=1, keepdims=True) + every.max(axis=1, keepdims=True)) / 2
    away = [float(np.linalg.norm(middle - center)) for middle in middles]
    reached = [gap + reach(piece.solid) for gap, piece in zip(away, product.pieces, strict=True)]
    return center.astype(np.float32), max(reached)


def _passing(thing: Placed, origin: Array, direction: Array) -> tuple[Ids, Array, Array, Array]:
    """Which rays come near a thing; where they reach its ball, and their directions, to it.

    Also how far (n,) they have come there: near the thing, its surface is found more exactly.
    """
    center, radius = thing.ball
    gap = center - origin
    ahead = dot(gap, direction)
    near = np.flatnonzero((dot(gap, gap) - ahead**2 < radius**2) & (ahead > -radius))
    # A little before the ball, since a thing may be as large as its ball.
    along, gone = direction[:, near], np.maximum(ahead[near] - np.float32(1.05 * radius), 0)
    starts = (origin if origin.shape[1] == 1 else origin[:, near]) + along * gone
    return near, thing.inside(starts), thing.axes.T @ along, gone


def _cast(piece: Piece, origin: Array, direction: Array) -> Hit:
    """Where rays in the product's coordinates meet one of its pieces."""
    hit = cast(piece.solid, *_into(piece, origin, direction))
    return Hit(hit.distance, np.array(piece.turn, np.float32) @ hit.normal)


def _into(piece: Piece, origin: Array, direction: Array) -> tuple[Array, Array]:
    """Rays in the piece's coordinates."""
    turn, at = np.array(piece.turn, np.float32).T, np.array(piece.at, np.float32)[:, None]
    return turn @ (origin - at), turn @ direction
