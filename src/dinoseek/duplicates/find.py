"""Finds the groups of a gallery: reads what is there, compares it level by level."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dinoseek.duplicates.census import Census, take_census
from dinoseek.duplicates.groups import Group, group_of, ordered
from dinoseek.duplicates.keeper import Preference
from dinoseek.duplicates.levels import (
    LEVELS,
    NEAR_COLOUR,
    NEAR_DISTANCE,
    NEAR_SCORE,
    Evidence,
    Level,
    similar_score,
)
from dinoseek.duplicates.looks import Looks
from dinoseek.duplicates.stars import Alike, stars
from dinoseek.errors import UsageError
from dinoseek.gallery.choices import choices
from dinoseek.gallery.decisions import Decisions, decisions
from dinoseek.gallery.exact import Ids
from dinoseek.gallery.holdings import Copy, copies
from dinoseek.gallery.sqlite_gallery import SqliteGallery
from dinoseek.vit.ops import Array

Cluster = list[int]  # places in the census of alike images, the best first


def find_duplicates(
    gallery: SqliteGallery,
    level: Level = "near",
    *,
    min_score: float | None = None,
    prefer: Iterable[str | Path] = (),
    reference: Iterable[str | Path] = (),
    decided: bool = False,
) -> Iterator[Group]:
    """The groups of files that are alike up to `level`, the most alike first.

    `exact` is the same bytes, `near` the same picture in other bytes, `similar` a cosine of at
    least `min_score`, which is chosen for the gallery if it is None. `prefer` and `reference` are
    folders: the files of the first are rather kept, those of the second always. With `decided` also
    what a person said is no duplicate, or chose to keep. Files that changed or vanished since they
    were indexed do not count.

    Raises UsageError for a level, score or folder that makes no sense, and where the gallery has
    several spaces and was opened without an embedder.
    """
    preference = Preference.of(prefer, reference, choices(gallery))
    every = copies(gallery)
    preference.check(every)
    census = take_census(every, preference)
    found = groups_in(gallery, census, preference, level, min_score=min_score, decided=decided)
    return iter(found)


def groups_in(
    gallery: SqliteGallery,
    census: Census,
    preference: Preference,
    level: Level,
    *,
    min_score: float | None = None,
    decided: bool = False,
) -> list[Group]:
    """The groups among the files of a census; see `find_duplicates`."""
    _check(level, min_score)
    said = decisions(gallery)
    search = _Search(gallery, census.images, {} if decided else said)
    with gallery.reading():  # one version for all that follows
        found = [
            group_of(
                [census.images[i] for i in cluster],
                search.evidence(cluster),
                preference,
                said,
                decided=decided,
            )
            for cluster in search.clusters(level, min_score)
        ]
    search.looks.keep()
    return ordered(group for group in found if group)


def _check(level: str, min_score: float | None) -> None:
    if level not in LEVELS:
        raise UsageError("dupes.level", level, "no such level", fix=f"known: {', '.join(LEVELS)}")
    if min_score is None:
        return
    if level != "similar":
        reason = f"it is only for the level similar, not for {level}"
        raise UsageError("dupes.min_score", "the least score", reason)
    if not -1 <= min_score <= 1:
        reason = "a cosine is between -1 and 1"
        raise UsageError("dupes.min_score", f"the least score {min_score:g}", reason)


class _Search:
    """Compares the images of a census; those without a vector in the space only by their bytes."""

    def __init__(
        self, gallery: SqliteGallery, images: Sequence[Sequence[Copy]], said: Decisions
    ) -> None:
        self.looks = Looks(gallery, images)
        self._gallery = gallery
        self._images = images
        self._ids = np.array([image[0].id for image in images], np.int64)
        self._opposed = _opposed(images, said)
        self._near: dict[int, int] = {}  # each image that joined a star, and the star's centre

    def clusters(self, level: Level, min_score: float | None) -> list[Cluster]:
        """Alike images; from `near` on, each image is in one, if alone."""
        if level == "exact":
            return [[i] for i, image in enumerate(self._images) if len(image) > 1]
        digests = [image[0].digest for image in self._images]
        known = self._gallery.known(digests)
        alone = [[i] for i, digest in enumerate(digests) if digest not in known]
        single = [[i] for i, digest in enumerate(digests) if digest in known]
        clusters = self._joined(single, NEAR_SCORE, self._look_the_same)
        self._near = {place: cluster[0] for cluster in clusters for place in cluster}
        if level == "similar":
            clusters = self._similar(clusters, min_score)
        return clusters + alone

    def _joined(self, clusters: list[Cluster], threshold: float, alike: Alike) -> list[Cluster]:
        """Clusters joined to others, by stars of their first images."""
        firsts = np.array([cluster[0] for cluster in clusters], np.int64)

        def vectors(start: int, end: int) -> Array:
            return self._gallery.vectors(self._ids[firsts[start:end]])

        def firsts_alike(some: Ids, others: Ids) -> NDArray[np.bool_]:
            return alike(firsts[some], firsts[others])

        opposed = _opposed_clusters(clusters, self._opposed)
        found = stars(len(clusters), vectors, threshold, firsts_alike, opposed)
        return [
            [place for i in (star.centre, *star.members) for place in clusters[i]] for star in found
        ]

    def _look_the_same(self, some: Ids, others: Ids) -> NDArray[np.bool_]:
        """Which pairs of images look the same; colours are only asked of those that may."""
        found = self.looks.distances(some, others) <= NEAR_DISTANCE
        if found.any():
            apart = self.looks.colour_differences(some[found], others[found])
            found[found] = apart <= NEAR_COLOUR
        return found

    def _similar(self, clusters: list[Cluster], min_score: float | None) -> list[Cluster]:
        """Clusters joined to others whose first image is alike with all of theirs."""
        least = similar_score(self._gallery.background()) if min_score is None else min_score
        members = {cluster[0]: cluster[1:] for cluster in clusters if len(cluster) > 1}

        def all_alike(some: Ids, others: Ids) -> NDArray[np.bool_]:
            pairs = zip(some.tolist(), others.tolist(), strict=True)
            found = [min(self._scores(members.get(i, []), j), default=1) >= least for i, j in pairs]
            return np.array(found)

        return self._joined(clusters, least, all_alike)

    def _scores(self, places: Sequence[int], first: int) -> list[float]:
        """The cosines of images with another."""
        if not places:
            return []
        vectors = self._gallery.vectors(self._ids[[first, *places]])
        scores: Array = vectors[1:] @ vectors[0]  # (c, d) x (d,) -> (c,)
        return np.clip(scores, -1, 1).tolist()

    def evidence(self, cluster: Cluster) -> dict[int, Evidence]:
        """How each image of a cluster is alike with its first, by id."""
        first, *others = cluster
        found = {int(self._ids[first]): Evidence(level="exact", score=1, distance=0, colour=0)}
        for place, score in zip(others, self._scores(others, first), strict=True):
            found[int(self._ids[place])] = self._between(first, place, score)
        return found

    def _between(self, first: int, other: int, score: float) -> Evidence:
        return Evidence(
            level="near" if self._near[other] == first else "similar",
            score=score,
            distance=self.looks.known_distance(first, other),
            colour=self.looks.known_colour_difference(first, other),
        )


def _opposed(images: Sequence[Sequence[Copy]], said: Decisions) -> dict[int, set[int]]:
    """Which images a person said are no duplicates, or both wanted, by their places."""
    place = {image[0].digest: i for i, image in enumerate(images)}
    found: dict[int, set[int]] = {}
    for first, second in said:
        if first != second and first in place and second in place:
            found.setdefault(place[first], set()).add(place[second])
            found.setdefault(place[second], set()).add(place[first])
    return found


def _opposed_clusters(
    clusters: Sequence[Cluster], opposed: Mapping[int, Collection[int]]
) -> dict[int, set[int]]:
    """Which clusters have images that are opposed."""
    home = {place: i for i, cluster in enumerate(clusters) for place in cluster} if opposed else {}
    found: dict[int, set[int]] = {}
    for place, others in opposed.items():
        if place in home:
            found.setdefault(home[place], set()).update(home[o] for o in others if o in home)
    return found
