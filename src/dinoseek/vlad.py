"""VLAD over a model's values, as AnyLoc does it (Keetha et al., 2023).

Each patch's value is assigned to the nearest of a vocabulary of centres, and an image is described
by what its patches differ from their centres (Jegou et al., 2010).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dinoseek.errors import UsageError, WeightsError
from dinoseek.pooling import unit
from dinoseek.vit.ops import Array
from dinoseek.weights.fitted import Fitted, load_fitted

KIND = "vlad"

_ROUNDS = 50
_ROWS_AT_ONCE = 65_536
_ALIKE = 1e-6  # less is rounding


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """Centres (c, d) of the unit values of one block, and which model and block they are of.

    `weights` is the digest in the fingerprint of the model.
    """

    centres: Array
    block: int
    weights: str

    @property
    def fitted(self) -> Fitted:
        """What is written to a file."""
        facts = {"block": self.block, "weights": self.weights}
        return Fitted(kind=KIND, facts=facts, arrays={"centres": self.centres})


def vlad(values: Array, vocabulary: Vocabulary) -> Array:
    """Describes images by the values of their patches (b, n, d): (b, c d), of unit length.

    Values are scaled to unit length and each is assigned to the centre with the largest cosine. The
    sum of differences is scaled to unit length for each centre (Arandjelovic and Zisserman, 2013)
    and then as a whole.
    """
    centres = vocabulary.centres
    return unit(np.stack([_described(unit(image), centres) for image in values]))


def fit_centres(values: Array, clusters: int, *, seed: int = 0) -> Array:
    """Centres (c, d) of unit values (n, d): k-means by cosine, begun with k-means++.

    A centre is the mean of its values. The same values and `seed` give the same centres. Raises
    UsageError fit.clusters if there are fewer values than centres.
    """
    if not 1 <= clusters <= len(values):
        reason = f"there are only {len(values):,} patches to fit them on"
        raise UsageError("fit.clusters", f"{clusters} clusters", reason)
    rng = np.random.default_rng(seed)
    centres = _spread(values, clusters, rng)
    assigned = nearest_centre(values, centres)
    for _ in range(_ROUNDS):
        centres = _means(values, assigned, centres)
        again = nearest_centre(values, centres)
        if np.array_equal(again, assigned):
            break
        assigned = again
    return centres


def load_vocabulary(path: Path, cache_dir: Path | None = None) -> Vocabulary:
    """Reads what `dinoseek fit vlad` wrote; see `load_fitted`."""
    fitted = load_fitted(path, KIND, cache_dir)
    centres, facts = fitted.arrays.get("centres"), fitted.facts
    known = isinstance(facts.get("block"), int) and isinstance(facts.get("weights"), str)
    if centres is None or centres.ndim != 2 or not centres.size or not known:
        reason = "it does not have what a vocabulary has"
        raise WeightsError("fitted.corrupt", path, reason, fix="fit it again with dinoseek fit")
    return Vocabulary(centres=centres, **facts)


def nearest_centre(values: Array, centres: Array) -> NDArray[np.int64]:
    """The centre (n,) with the largest cosine for each of unit values (n, d)."""
    directions = unit(centres).T
    parts = [
        (values[start : start + _ROWS_AT_ONCE] @ directions).argmax(axis=1)
        for start in range(0, len(values), _ROWS_AT_ONCE)
    ]
    return np.concatenate(parts)


def _described(values: Array, centres: Array) -> Array:
    """The differences of unit values (n, d) from their centres (c, d), summed up: (c d,)."""
    assigned = nearest_centre(values, centres)
    sums = np.zeros_like(centres)
    np.add.at(sums, assigned, values - centres[assigned])
    return unit(sums).reshape(-1)  # (c, d) -> (c d,)


def _spread(values: Array, clusters: int, rng: np.random.Generator) -> Array:
    """First centres (c, d): of some values, drawn the likelier the farther they are from those
    before, the one that leaves the least distance (Arthur and Vassilvitskii, 2007, section 5).
    """
    tries = 2 + int(np.log(clusters))
    chosen = [int(rng.integers(len(values)))]
    away = _away(values, values[chosen])[0]
    while len(chosen) < clusters:
        total = away.sum()
        shares = away / total if total > 0 else None  # all values are alike
        drawn = rng.choice(len(values), tries, p=shares)
        left = np.minimum(away, _away(values, values[drawn]))  # (tries, n)
        best = int(left.sum(axis=1).argmin())
        chosen.append(int(drawn[best]))
        away = left[best]
    return values[chosen].copy()


def _away(values: Array, centres: Array) -> NDArray[np.float64]:
    """1 - cosine of unit values (n, d) with unit centres (c, d): (c, n)."""
    away = np.maximum(1 - centres.astype(np.float64) @ values.T, 0)
    away[away < _ALIKE] = 0
    return away


def _means(values: Array, assigned: NDArray[np.int64], centres: Array) -> Array:
    """The mean of each centre's values; a centre without any stays where it is."""
    sums = np.zeros(centres.shape, np.float64)
    np.add.at(sums, assigned, values)
    counts = np.bincount(assigned, minlength=len(centres))[:, None]
    return np.where(counts > 0, sums / np.maximum(counts, 1), centres).astype(np.float32)
