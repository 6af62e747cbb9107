"""The vectors of a gallery as they are searched: loaded once, and again when they changed."""

import sqlite3
from pathlib import Path

import numpy as np

from dinoseek.errors import UsageError
from dinoseek.gallery import matrix_cache
from dinoseek.gallery.exact import Ids, top_k
from dinoseek.gallery.matrix_cache import MatrixKey
from dinoseek.gallery.spaces import Space, read_matrix
from dinoseek.vit.ops import Array


class Nearest:
    """Searches the spaces of one record. `folder` is where what is derived from it is kept."""

    def __init__(self, connection: sqlite3.Connection, folder: Path) -> None:
        self._connection = connection
        self._folder = folder
        self._loaded: tuple[MatrixKey, Ids, Array] | None = None

    def search(
        self, space: Space, queries: Array, k: int, allowed: Ids | None = None
    ) -> list[tuple[Ids, Array]]:
        """The k nearest images of each of queries (q, d): their ids (k',) and scores (k',).

        Best first, equal scores by lower id. With `allowed`, image ids (n,) in ascending order,
        only among those; ids without a vector are passed over.
        """
        ids, matrix = self._searched(space)
        if allowed is not None:
            rows = np.flatnonzero(np.isin(ids, allowed, assume_unique=True))
            ids, matrix = ids[rows], matrix[rows]
        rows, scores = top_k(queries, matrix, k)
        return [(ids[row], score) for row, score in zip(rows, scores, strict=True)]

    def vectors(self, space: Space, wanted: Ids) -> Array:
        """The vectors (n, d) of images by id, as searched; UsageError for an id without one."""
        ids, matrix = self._searched(space)
        rows = np.searchsorted(ids, wanted)
        there = np.take(ids, rows, mode="clip") == wanted
        if not there.all():
            raise UsageError(
                "id.unknown",
                f"id {wanted[~there][0]}",
                "no image with a vector in this space has it",
            )
        return matrix[rows]

    def close(self) -> None:
        """Lets go of what is loaded."""
        self._loaded = None

    def _searched(self, space: Space) -> tuple[Ids, Array]:
        """Ids (m,) and matrix (m, d) of a space: from memory, the cache, or the record."""
        if self._loaded is None or self._loaded[0] != space.key:
            found = matrix_cache.load(self._folder, space.key)
            if found is None:
                found = read_matrix(self._connection, space)
                matrix_cache.store(self._folder, space.key, *found)
            self._loaded = (space.key, *found)
        return self._loaded[1:]
