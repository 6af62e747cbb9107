"""Vectors of several poolings from one pass of the model: their parts stand side by side."""

from collections.abc import Sequence

import numpy as np

from dinoseek.pooling import parts_of, unit
from dinoseek.vit.ops import Array


def joint_of(poolings: Sequence[str]) -> str:
    """The pooling that has a part for each that some poolings need: of cls and cls+gem, cls+gem."""
    return "+".join(dict.fromkeys(part for name in poolings for part in parts_of(name)))


def taken(joint: Array, name: str, pooling: str) -> Array:
    """The vectors of `pooling`, of unit length, from those of the joint pooling `name` (m, d).

    The parts of a joint vector weigh the same, also after the mean over scales, so those that are
    taken need only be scaled.
    """
    parts = parts_of(name)
    pieces = np.split(joint, len(parts), axis=-1)  # (m, d) -> parts x (m, d / parts)
    wanted = [pieces[parts.index(part)] for part in parts_of(pooling)]
    return unit(np.concatenate(wanted, axis=-1))
