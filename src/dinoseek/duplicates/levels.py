"""How alike two images are: the same bytes, the same picture, or two pictures of one thing.

The two numbers of `near` were measured on photographs, as docs/duplicates.md says.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from dinoseek.gallery.background import Background

Level: TypeAlias = Literal["exact", "near", "similar"]

LEVELS: tuple[Level, ...] = ("exact", "near", "similar")

NEAR_DISTANCE = 20  # of 256 bits of the perceptual hash: at most so many differ
NEAR_SCORE = 0.75  # and the cosine is at least this

_SIMILAR_SCORE = 0.9  # where it is not known how alike random images are
_TYPICAL = 99.0  # percent of random pairs are less alike than what `similar` starts from
_SHARE = 0.7  # of the way from there to 1


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """How an image is alike with the one to keep: cosine `score`, and bits of 256 that differ.

    `distance` is None where the hash of one of them is not known.
    """

    level: Level
    score: float
    distance: int | None = None

    def as_dict(self) -> Mapping[str, str | float | None]:
        """The evidence for `--json`."""
        return {"level": self.level, "score": round(self.score, 6), "distance": self.distance}


def similar_score(background: Background | None) -> float:
    """The cosine from which on images count as similar, where none was given.

    Models differ in how alike any two photographs are to them, so it lies most of the way from what
    one in a hundred random pairs reaches to 1. The few pairs above that one are no measure: where
    there are many duplicates, they are those.
    """
    if background is None:
        return _SIMILAR_SCORE
    percents, scores = np.array(background.quantiles).T
    usual = float(np.interp(_TYPICAL, percents, scores))
    return usual + _SHARE * (1 - usual)
