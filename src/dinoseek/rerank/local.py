"""Re-ranking by patches: how much of the query is found in a hit, in the same arrangement."""

from collections.abc import Sequence

import numpy as np

from dinoseek.matching import Matches, MatchOptions, Patches, match
from dinoseek.rerank.options import Local
from dinoseek.vit.ops import Array


def local_scores(
    query: Patches,
    hits: Sequence[Patches | None],
    cosines: Array,
    options: Local,
) -> Array:
    """Scores (k,) of hits with `cosines` (k,): (1 - weight) cosine + weight local score.

    A mixture of a global and a local score, as in AMES (Suma, Kordopatis-Zilos, Iscen and Tolias,
    2024). A hit whose picture cannot be read, None, has no local score and counts by its cosine
    times 1 - weight.
    """
    local = [0.0 if hit is None else local_score(query, hit, options) for hit in hits]
    weight = np.float32(options.weight)
    return np.asarray((1 - weight) * cosines + weight * np.asarray(local, np.float32), np.float32)


def local_score(query: Patches, hit: Patches, options: Local) -> float:
    """The sum of the cosines of the matches that agree on a map, over the most there could be.

    1 for a picture and itself, 0 where nothing matches.
    """
    chosen = MatchOptions(geometry=options.geometry, tolerance=options.tolerance)
    found = match(query, hit, chosen)
    return share_of(found, query, hit)


def share_of(matches: Matches, first: Patches, second: Patches) -> float:
    """The local score of two pictures with these matches."""
    cosines = np.maximum(matches.cosines[matches.inliers], 0)
    return float(cosines.sum()) / min(len(first.vectors), len(second.vectors))
