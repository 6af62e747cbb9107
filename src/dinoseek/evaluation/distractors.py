"""Images that are nobody's positives, such as the million of revisitop1m: how many, and vectors."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dinoseek.errors import DataError
from dinoseek.evaluation.scoring import Blocks
from dinoseek.gallery.sqlite_gallery import SqliteGallery
from dinoseek.interchange.arrays import check_features, header_of, rows_of
from dinoseek.interchange.exporting import exported
from dinoseek.interchange.files import read_vectors
from dinoseek.pooling import unit
from dinoseek.vit.ops import Array

_ROWS_AT_ONCE = 16_384


def from_file(path: Path) -> tuple[int, Blocks]:
    """The distractors of a .npy file (n, d), or of a file that `dinoseek import` takes.

    They are read anew each time, some thousand at once, and need not be of unit length.
    """
    if path.suffix.lower() == ".npy":
        header = header_of(path)
        check_features(path, header)
        return header.shape[0], lambda: _gathered(path, rows_of(path))
    given = read_vectors(path)
    return given.rows, lambda: _gathered(path, (vectors for _, vectors in given.batches()))


def of_gallery(gallery: SqliteGallery) -> tuple[int, Blocks]:
    """The distractors that are a whole gallery, kept as float16, as the gallery has them."""
    searched = gallery.searched
    with gallery.reading():
        found = exported(gallery, searched.id if searched else None, None)
        kept = np.concatenate([vectors.astype(np.float16) for _, vectors in found.batches()])
    return len(kept), lambda: _gathered(gallery.path, iter((kept,)))


def _gathered(path: Path, parts: Iterator[Array]) -> Iterator[Array]:
    """Small parts as blocks of unit rows in float32, large ones cut."""
    waiting: list[Array] = []
    for part in parts:
        for start in range(0, len(part), _ROWS_AT_ONCE):
            waiting.append(np.asarray(part[start : start + _ROWS_AT_ONCE], np.float32))
            if sum(map(len, waiting)) >= _ROWS_AT_ONCE:
                yield _checked(path, np.concatenate(waiting))
                waiting = []
    if waiting:
        yield _checked(path, np.concatenate(waiting))


def _checked(path: Path, rows: Array) -> Array:
    if not np.isfinite(rows).all():
        raise DataError("data.vector", path, "a distractor's vector is not finite")
    return np.asarray(unit(rows), np.float32)
