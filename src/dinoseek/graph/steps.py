"""Numbers as bytes: in which steps the inputs of a layer are rounded, and its weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dinoseek.vit.ops import Array

STEPS = 255


@dataclass(frozen=True)
class Steps:
    """How a layer's inputs (in,) become bytes: divided by `smooth` and `scale`, plus `zero`."""

    scale: np.float32
    zero: np.uint8
    smooth: Array

    def rounded(self, x: Array) -> Array:
        """What inputs (n, in), already divided by `smooth`, are after it."""
        steps = np.rint(x / self.scale) + self.zero
        rounded: Array = (steps.clip(0, STEPS) - self.zero) * self.scale
        return rounded


# By the layers' names in the graph, as "blocks.0.mlp.up"; those that are not in it stay.
Calibration: TypeAlias = Mapping[str, Steps]


def as_int8(weight: Array) -> tuple[NDArray[np.int8], Array]:
    """A matrix (in, out) as whole numbers from -127 to 127 and a scale for each output (out)."""
    scales = np.abs(weight).max(axis=0) / np.float32(127)
    scales[scales == 0] = 1  # a column of zeros
    return np.rint(weight / scales).astype(np.int8), scales
