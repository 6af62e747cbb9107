"""The vectors of a data set's images, whether an embedder, a gallery or a file has them."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dinoseek.embedder import Fingerprint
from dinoseek.errors import DataError, DinoseekError, UsageError
from dinoseek.gallery.holdings import copies
from dinoseek.gallery.sqlite_gallery import SqliteGallery
from dinoseek.images.preprocess import find_preset
from dinoseek.images.scales import ONE, parse_scales
from dinoseek.interchange.given import IMPORTED, Given
from dinoseek.pooling import unit
from dinoseek.vit.ops import Array

_AT_ONCE = 4096


@dataclass(frozen=True, kw_only=True)
class Vectors:
    """Vectors (n, d) of unit length of n images; those that are `missing` (n,) have none.

    `made` says how, for the names of metrics and for people; `failures` why some are missing.
    """

    matrix: Array
    missing: NDArray[np.bool_]
    made: "Made"
    failures: Mapping[int, DinoseekError] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Made:
    """What made vectors: the model, its preprocessing with its size, its pooling, the scales."""

    model: str
    preprocess: str
    pooling: str
    scales: tuple[float, ...] = ()  # none where nobody said
    fingerprint: str = ""

    @classmethod
    def of(cls, fingerprint: Fingerprint) -> "Made":
        """What a fingerprint says; where nobody said what made the vectors, "given"."""
        return cls(
            model=fingerprint.model,
            preprocess=_with_size(fingerprint.preprocess),
            pooling=fingerprint.pooling or ("given" if fingerprint.model == IMPORTED else "none"),
            scales=parse_scales(fingerprint.scales) if fingerprint.scales else ONE,
            fingerprint=fingerprint.id,
        )

    @property
    def name(self) -> str:
        """The part of a metric's name: "official@224/cls/1"."""
        return f"{self.preprocess}/{self.pooling}/{self.said_scales}"

    @property
    def said_scales(self) -> str:
        """The scales as text: "0.7071+1"."""
        return "+".join(f"{scale:.4g}" for scale in self.scales) or "given"


def _with_size(preprocess: str) -> str:
    """A preset's name with its size, which is left out of it when it is the usual one."""
    if not preprocess:
        return "given"
    try:
        preset = find_preset(preprocess)
    except UsageError:  # of an embedder that was made elsewhere
        return preprocess
    return f"{preset.base}@{preset.size}{'-faithful' * preset.faithful}{'-fast' * preset.fast}"


def collect(
    outcomes: Iterable[tuple[int, Array | DinoseekError]], count: int, made: Made
) -> Vectors:
    """The vectors that arrive for positions 0 to `count`, of unit length."""
    sums: Array | None = None
    there, failures = np.zeros(count, bool), {}
    for position, outcome in outcomes:
        if isinstance(outcome, DinoseekError):
            failures[position] = outcome
            continue
        if sums is None:
            sums = np.zeros((count, len(outcome)), np.float32)
        sums[position] += outcome
        there[position] = True
    matrix = np.zeros((count, 1), np.float32) if sums is None else sums
    return Vectors(matrix=_checked(matrix, there), missing=~there, made=made, failures=failures)


def _checked(matrix: Array, there: NDArray[np.bool_]) -> Array:
    """Rows of unit length; DataError for one that has no direction."""
    bad = np.flatnonzero(there & ~(np.isfinite(matrix).all(axis=1) & matrix.any(axis=1)))
    if len(bad):
        reason = f"the vector of image {bad[0]} is zero or not finite"
        raise DataError("data.vector", "vectors", reason, fix="make the vectors again")
    return np.asarray(unit(matrix), np.float32)


def replaced(
    vectors: Vectors,
    positions: Iterable[int],
    outcomes: Iterable[tuple[int, Array | DinoseekError]],
) -> Vectors:
    """The same with other vectors at some positions: those that arrive."""
    new = collect(outcomes, len(vectors.missing), vectors.made)
    places = np.fromiter(positions, np.int64)
    there = places[~new.missing[places]]
    shape = (len(vectors.missing), max(vectors.matrix.shape[1], new.matrix.shape[1]))
    matrix = np.zeros(shape, np.float32)
    if not vectors.missing.all():
        matrix[:] = vectors.matrix
    if len(there):
        matrix[there] = new.matrix[there]
    missing = vectors.missing.copy()
    missing[places] = new.missing[places]
    failures = {**vectors.failures, **new.failures}
    return Vectors(matrix=matrix, missing=missing, made=vectors.made, failures=failures)


def from_gallery(gallery: SqliteGallery, root: Path, images: Sequence[str]) -> Vectors:
    """The vectors that a gallery has of files, `images` below `root`; others are missing."""
    files = copies(gallery)
    rows = match([copy.shown for copy in files], root, images)
    fingerprint = _fingerprint(gallery)
    there = np.flatnonzero(rows >= 0)
    ids = [files[rows[position]].id for position in there]
    with_vector = _with_vector(gallery, ids)
    kept = [(position, id) for position, id in zip(there, ids, strict=True) if id in with_vector]

    def outcomes() -> Iterator[tuple[int, Array]]:
        for start in range(0, len(kept), _AT_ONCE):
            part = kept[start : start + _AT_ONCE]
            found = gallery.vectors([id for _, id in part])
            yield from zip((int(position) for position, _ in part), found, strict=True)

    return collect(outcomes(), len(images), Made.of(fingerprint))


def _with_vector(gallery: SqliteGallery, ids: Sequence[int]) -> set[int]:
    """Those of some images that have a vector in the space."""
    records = gallery.get(ids) if ids else []
    known = gallery.known(record.digest for record in records)
    return {id for id, record in zip(ids, records, strict=True) if record.digest in known}


def _fingerprint(gallery: SqliteGallery) -> Fingerprint:
    """What made the vectors that are read; UsageError if there are several spaces or none."""
    found = gallery.searched  # raises where it is not clear which
    if found is not None:
        return found
    if gallery.embedder is not None:
        return gallery.embedder.fingerprint
    raise UsageError("gallery.empty", gallery.path, "there are no vectors here yet")


def from_given(
    given: Given, root: Path, images: Sequence[str], made: "Made | None" = None
) -> Vectors:
    """The vectors that a file of features has of `images` below `root`; others are missing."""
    names = [entry.path or entry.url or "" for entries, _ in given.batches() for entry in entries]
    rows = match(names, root, images)
    positions: dict[int, list[int]] = {}
    for position in np.flatnonzero(rows >= 0).tolist():
        positions.setdefault(int(rows[position]), []).append(position)

    def outcomes() -> Iterator[tuple[int, Array]]:
        row = 0
        for entries, vectors in given.batches():
            for vector in unit(np.asarray(vectors, np.float32))[: len(entries)]:
                yield from ((position, vector) for position in positions.get(row, ()))
                row += 1

    if made is None and given.fingerprint:
        made = Made.of(given.fingerprint)
    unknown = Made(model=given.source.name, preprocess="given", pooling="given")
    return collect(outcomes(), len(images), made or unknown)


def match(names: Sequence[str], root: Path, images: Sequence[str]) -> NDArray[np.int64]:
    """For each of `images` below `root`, which of `names` (paths, or their ends) is it: (n,).

    -1 where none is. By the whole path; where no name fits so, because the files lie elsewhere
    now, by as many of its last parts as the data set's own lists have.
    """
    base = os.path.realpath(root)
    whole = {os.path.normpath(f"{base}/{image}"): i for i, image in enumerate(images)}
    found = _matched(whole, ((os.path.normpath(name),) for name in names), len(images))
    if (found >= 0).any():
        return found
    ends = {image.removeprefix("./"): i for i, image in enumerate(images)}
    stems = {image.rpartition("/")[2].rpartition(".")[0]: i for i, image in enumerate(images)}
    if len(stems) == len(images):  # names without folder and suffix, as revisited Oxford has them
        ends = {**stems, **ends}
    return _matched(ends, (_ends(name) for name in names), len(images))


def _ends(name: str) -> Iterator[str]:
    """A path, then without its first folder, and so on; at last without its suffix."""
    rest = name.replace("\\", "/")
    while rest:
        yield rest
        head, slash, rest = rest.partition("/")
        if not slash and "." in head:
            yield head.rpartition(".")[0]


def _matched(
    places: Mapping[str, int], candidates: Iterable[Iterable[str]], count: int
) -> NDArray[np.int64]:
    rows = np.full(count, -1, np.int64)
    for row, keys in enumerate(candidates):
        place = next((places[key] for key in keys if key in places), None)
        if place is not None and rows[place] < 0:
            rows[place] = row
    return rows
