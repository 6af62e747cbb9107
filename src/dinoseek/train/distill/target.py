"""What a student is to say: the teacher's embeddings, turned so that they fit its width."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dinoseek.pca import Pca, fit_pca, project
from dinoseek.pooling import unit
from dinoseek.vit.ops import Array

_SAMPLE = 20_000  # rows of which the components are found; more hardly move them


@dataclass(frozen=True, kw_only=True)
class Target:
    """Turns what a teacher sees (b, d) into what a student of `width` is to say (b, width).

    What all pictures have in common is taken away: it would be most of what is learnt, and tells
    nothing apart.
    """

    pca: Pca
    width: int

    def of(self, features: Array) -> Array:
        """Embeddings (b, width) of unit length; zeros where the teacher has fewer components."""
        found = np.zeros((len(features), self.width), np.float32)
        found[:, : len(self.pca.components)] = project(features, self.pca)
        return unit(found)


def fit_target(features: NDArray[np.floating], width: int, seed: int = 0) -> Target:
    """The target whose first components are those of features (n, d), or of a sample of them.

    UsageError fit.dim where all of them are the same.
    """
    rows = np.random.default_rng(seed).permutation(len(features))[:_SAMPLE]
    sample = features[np.sort(rows)].astype(np.float32)
    return Target(pca=fit_pca(sample, width, fewer=True), width=width)
