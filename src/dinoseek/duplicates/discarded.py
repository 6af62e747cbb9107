"""The files that a person discarded, in groups by the image that is kept."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dinoseek.duplicates.census import Absence, absence_of
from dinoseek.duplicates.groups import Group, Member, member_of, ordered
from dinoseek.duplicates.keeper import Preference
from dinoseek.duplicates.levels import (
    LEVELS,
    NEAR_COLOUR,
    NEAR_DISTANCE,
    NEAR_SCORE,
    Evidence,
    Level,
)
from dinoseek.duplicates.looks import Looks
from dinoseek.gallery.choices import key_of
from dinoseek.gallery.holdings import Copy
from dinoseek.gallery.sqlite_gallery import SqliteGallery


@dataclass(frozen=True, kw_only=True)
class Discarded:
    """What can go, and what has to stay: `stuck` are files of which no other is kept now, and why.

    `left_out` counts the discarded files that are not there as they were indexed.
    """

    groups: Sequence[Group]
    stuck: Sequence[Member]
    left_out: Mapping[Absence, int]


def discarded_files(
    gallery: SqliteGallery, every: Sequence[Copy], preference: Preference, level: Level = "similar"
) -> Discarded:
    """The files among `every` that the preference's choices discard, up to a level."""
    left_out: Counter[Absence] = Counter()
    discarded: dict[str, list[Copy]] = {}
    images: dict[str, list[Copy]] = {}
    for copy in every:
        images.setdefault(copy.digest, []).append(copy)
        said = preference.choices.get(key_of(copy))
        if said is None or said.instead is None:
            continue
        absence = absence_of(copy)
        if absence:
            left_out[absence] += 1
        else:
            discarded.setdefault(said.instead, []).append(copy)
    groups: list[Group] = []
    stuck: list[Member] = []
    for digest, spare in discarded.items():
        keeper = _keeper(images.get(digest, []), preference)
        if isinstance(keeper, str):
            stuck += [Member(copy=copy, keep=True, why=f"{keeper}, so it stays") for copy in spare]
        elif group := _group(gallery, keeper, spare, preference, level):
            groups.append(group)
    return Discarded(groups=ordered(groups), stuck=stuck, left_out=left_out)


def _keeper(copies: Sequence[Copy], preference: Preference) -> Copy | str:
    """The file to keep of an image, or why there is none."""
    wanted = [copy for copy in copies if preference.choice_of(copy) != "discard"]
    if not copies:
        return "the image to keep is not in the gallery any more"
    if not wanted:
        return "the image to keep is discarded too"
    there = [copy for copy in wanted if absence_of(copy) is None]
    if not there:
        return "the image to keep is not there as it was indexed"
    return min(there, key=preference.rank)


def _group(
    gallery: SqliteGallery,
    keeper: Copy,
    spare: Sequence[Copy],
    preference: Preference,
    level: Level,
) -> Group | None:
    evidence = _evidence(gallery, keeper, spare)
    levels = {copy.id: found.level if found else "similar" for copy, found in evidence}
    chosen = [
        (copy, found)
        for copy, found in evidence
        if LEVELS.index(levels[copy.id]) <= LEVELS.index(level)
    ]
    if not chosen:
        return None
    chosen.sort(key=lambda pair: (LEVELS.index(levels[pair[0].id]), preference.rank(pair[0])))
    members = [member_of(copy, keeper, found, preference) for copy, found in chosen]
    why = preference.reason(keeper, min((copy for copy, _ in chosen), key=preference.rank))
    kept = Member(copy=keeper, keep=True, why=why)
    return Group(level=levels[chosen[-1][0].id], members=(kept, *members))


def _evidence(
    gallery: SqliteGallery, keeper: Copy, others: Sequence[Copy]
) -> list[tuple[Copy, Evidence | None]]:
    """How files are alike with the one to keep; None where nothing of them can be compared."""
    same = Evidence(level="exact", score=1, distance=0, colour=0)
    others_by_id = {copy.id: copy for copy in others if copy.digest != keeper.digest}
    found: dict[int, Evidence | None] = {keeper.id: same}
    known = gallery.known([keeper.digest, *(copy.digest for copy in others_by_id.values())])
    compared = [copy for copy in others_by_id.values() if {copy.digest, keeper.digest} <= known]
    if compared:
        found |= _compared(gallery, keeper, compared)
    return [(copy, found.get(copy.id)) for copy in others]


def _compared(
    gallery: SqliteGallery, keeper: Copy, others: Sequence[Copy]
) -> dict[int, Evidence | None]:
    vectors = gallery.vectors([keeper.id, *(copy.id for copy in others)])
    scores = np.clip(vectors[1:] @ vectors[0], -1, 1)  # (c, d) x (d,) -> (c,)
    looks = Looks(gallery, [[keeper], *([copy] for copy in others)])
    first, places = np.zeros(len(others), np.int64), np.arange(1, len(others) + 1)
    distances = looks.distances(first, places)
    colours = looks.colour_differences(first, places)
    looks.keep()
    near = (distances <= NEAR_DISTANCE) & (scores >= NEAR_SCORE) & (colours <= NEAR_COLOUR)
    return {
        copy.id: Evidence(
            level="near" if near[i] else "similar",
            score=float(scores[i]),
            distance=looks.known_distance(0, i + 1),
            colour=looks.known_colour_difference(0, i + 1),
        )
        for i, copy in enumerate(others)
    }
