"""Revisited Oxford and Paris: Easy, Medium and Hard, with junk taken out of each ranking.

Radenovic, Iscen, Tolias, Avrithis, Chum: "Revisiting Oxford and Paris", CVPR 2018, section 2.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from dinoseek.evaluation.ground_truth import GroundTruth, Ids
from dinoseek.evaluation.metrics import (
    Measure,
    Values,
    first_rank,
    measured,
    revisited_precision_at,
    trapezoid_average_precision,
)
from dinoseek.evaluation.scoring import Blocks, Found, places_in, ranks_of, without
from dinoseek.evaluation.truth import NONE, Truth
from dinoseek.vit.ops import Array

# what a query should find, and what is taken out of its ranking
LEVELS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "easy": (("easy",), ("junk", "hard")),
    "medium": (("easy", "hard"), ("junk",)),
    "hard": (("hard",), ("junk", "easy")),
}
MEASURES: dict[str, Measure] = {
    "mAP": trapezoid_average_precision,
    **{f"mP@{k}": partial(revisited_precision_at, k) for k in (1, 5, 10)},
    "first rank": first_rank,  # for the curve of recall; no metric
}
HEADLINE = "mAP medium"


def level_truth(gnd: GroundTruth, level: str) -> Truth:
    """What each query should find at a level of LEVELS, and its junk."""
    wanted, junk = LEVELS[level]
    return Truth(positives=_joined(gnd, wanted), junk=_joined(gnd, junk))


def _joined(gnd: GroundTruth, parts: Iterable[str]) -> list[Ids]:
    lists = [getattr(gnd, part) for part in parts]
    return [np.sort(np.concatenate(of_query)) for of_query in zip(*lists, strict=True)]


def score_revisited(
    queries: Array,
    gallery: Array,
    gnd: GroundTruth,
    *,
    missing: NDArray[np.bool_] | None = None,
    distractors: Blocks | None = None,
) -> Iterator[Found]:
    """The ranks of each query's easy, hard and junk images, in that order; nothing is taken out.

    Queries (q, d) and gallery (m, d), in the order of `gnd.names`, are of unit length.
    """
    none = [NONE] * len(gnd.queries)
    return ranks_of(
        queries, gallery, _labelled(gnd), none, missing=missing, distractors=distractors
    )


def score_revisited_ranking(ranking: NDArray[np.integer], gnd: GroundTruth) -> Iterator[Found]:
    """The same in a ranking (m, q) of gallery rows; rows from len(gnd.names) on are distractors."""
    for query, wanted in enumerate(_labelled(gnd)):
        yield Found(places_in(ranking[:, query])[wanted], 0)


def _labelled(gnd: GroundTruth) -> list[Ids]:
    return [np.concatenate(row) for row in zip(gnd.easy, gnd.hard, gnd.junk, strict=True)]


def measure_revisited(
    found: Iterable[Found], gnd: GroundTruth
) -> tuple[dict[str, Values], int, Mapping[str, Values]]:
    """Values (q,) of "mAP easy" and so on, how many images were tied, and each level's curve."""
    rows = list(found)
    values: dict[str, Values] = {}
    curves: dict[str, Values] = {}
    for level in LEVELS:
        at_level, _, curves[level] = measured(
            (_at_level(each.ranks, gnd, query, level) for query, each in enumerate(rows)), MEASURES
        )
        values |= {f"{name} {level}": column for name, column in at_level.items()}
    return values, sum(each.tied for each in rows), curves


def _at_level(ranks: Ids, gnd: GroundTruth, query: int, level: str) -> Found:
    """The ranks of what a query should find at a level, after its junk is taken out."""
    ends = np.cumsum([len(gnd.easy[query]), len(gnd.hard[query])])
    parts = dict(zip(("easy", "hard", "junk"), np.split(ranks, ends), strict=True))
    wanted, junk = LEVELS[level]
    positives = np.sort(np.concatenate([parts[name] for name in wanted]))
    return Found(without(positives, np.sort(np.concatenate([parts[name] for name in junk]))), 0)
