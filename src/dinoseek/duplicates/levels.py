"""How alike two images are: the same bytes, the same picture, or two pictures of one thing.

The numbers were measured on photographs; docs/duplicates.md has the figures.
"""

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from dinoseek.gallery.background import Background

Level: TypeAlias = Literal["exact", "near", "similar"]

LEVELS: tuple[Level, ...] = ("exact", "near", "similar")

# What `near` takes, all of it:
NEAR_DISTANCE = 20  # of the 256 bits of the perceptual hash, so many differ at most;
NEAR_SCORE = 0.75  # the cosine is at least this;
NEAR_COLOUR = 24  # of 255, and nowhere are the colours further apart, for the hash is of greys

_SIMILAR_SCORE = 0.9  # where it is not known how alike random images are
_TYPICAL = 90.0  # percent of random pairs are less alike than what `similar` is measured from
_SHARE = 0.75  # of the way from there to 1


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """How an image is alike with the one to keep.

    `score` is the cosine, `distance` how many of the 256 bits of the perceptual hashes differ,
    `colour` how far the colours are apart where most; None for what was not looked at.
    """

    level: Level
    score: float
    distance: int | None = None
    colour: float | None = None

    def describe(self) -> str:
        """The evidence in words."""
        if self.level == "exact":
            return "same bytes"
        # rounded down: 1.0000 is only said of what is
        parts = [f"cosine {math.floor(10_000 * self.score) / 10_000:.4f}"]
        if self.distance is not None:
            parts.insert(0, f"{self.distance} of 256 bits differ")
        if self.colour is not None and self.colour > NEAR_COLOUR:
            parts.append("other colours")
        return ", ".join(parts)

    def as_dict(self) -> dict[str, str | float | None]:
        """The evidence for `--json`."""
        return {
            "level": self.level,
            "score": round(self.score, 6),
            "distance": self.distance,
            "colour": None if self.colour is None else round(self.colour, 1),
        }


def similar_score(background: Background | None) -> float:
    """The cosine from which on images count as similar, where none was given.

    Models differ in how alike any two photographs are to them, so it lies most of the way from what
    one in ten random pairs reaches to 1. Higher ones are no measure: among few images, or where
    there are many duplicates, those are the duplicates.
    """
    if background is None:
        return _SIMILAR_SCORE
    percents, scores = np.array(background.quantiles).T
    usual = float(np.interp(_TYPICAL, percents, scores))
    return usual + _SHARE * (1 - usual)
