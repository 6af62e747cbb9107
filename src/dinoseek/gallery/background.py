"""How alike images of a space are by chance: the scores of random pairs, which explain a score.

A score of 0.7 says nothing by itself: in one collection random pairs reach it, in another only
copies do. So pairs of randomly chosen images are scored when a gallery is indexed, and a hit's
score is placed among theirs.
"""

import hashlib
import json
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from dinoseek.errors import UsageError
from dinoseek.gallery.connection import select_in, typed
from dinoseek.gallery.id_sets import read_ids
from dinoseek.gallery.spaces import Space
from dinoseek.vit.ops import Array

LEAST_IMAGES = 20  # of fewer there are too few pairs to say anything

_SAMPLE = 2000  # images; they make two million pairs
_CHANGE = 0.2  # so much of a space has to change before its pairs are scored again
_TAIL = [share * 10**-power for power in (1, 2, 3, 4) for share in (5, 2, 1)]
_PERCENTS = np.array([*range(100), *(100 - share for share in _TAIL), 100])


@dataclass(frozen=True, kw_only=True)
class Background:
    """The scores of random pairs.

    `rows` is how many images the space had, `pairs` how many pairs were scored, `quantiles` the
    percents of them that score less than each of some scores; both ascend, and the last score is
    the highest that was seen.
    """

    rows: int
    pairs: int
    quantiles: tuple[tuple[float, float], ...]

    def percentile(self, score: float) -> float:
        """How many of a hundred random pairs score less; 100 only above all that were seen."""
        percents, scores = self._columns
        return float(np.interp(score, scores, percents, left=0.0, right=100.0))

    def cut_off(self) -> float:
        """The score that a random image of the space reaches less than once for each query.

        Of n images one in n reaches it.
        """
        percents, scores = self._columns
        return float(np.interp(100 * (1 - 1 / self.rows), percents, scores))

    @cached_property
    def _columns(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Percents and scores, made once: each hit of each search asks for its place."""
        percents, scores = np.array(self.quantiles).T
        return percents.copy(), scores.copy()

    def to_json(self) -> str:
        """The background as text for the record."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Background":
        """The background that `to_json` wrote; ValueError if it is none."""
        try:
            values = json.loads(text)
            quantiles = tuple(
                (float(percent), float(score)) for percent, score in values["quantiles"]
            )
            rows, pairs = int(values["rows"]), int(values["pairs"])
        except (TypeError, KeyError) as exc:
            raise ValueError("no background") from exc
        if min(rows, pairs, len(quantiles)) < 1 or not np.isfinite(quantiles).all():
            raise ValueError("no background")
        return cls(rows=rows, pairs=pairs, quantiles=quantiles)


def automatic(background: Background | None, subject: object) -> float:
    """The least score that is chosen for a gallery; UsageError if its background is not known."""
    if background is None:
        reason = f"the least score cannot be chosen: it takes {LEAST_IMAGES} images or more"
        fix = "run dinoseek index again if it has them, or give the score as a number"
        raise UsageError("score.no_background", subject, reason, fix=fix)
    return background.cut_off()


def refresh(connection: sqlite3.Connection, space: Space) -> Background | None:
    """Scores random pairs anew if the space changed much since that was done; in a transaction."""
    known = load(connection, space)
    if known and abs(space.key.rows - known.rows) <= _CHANGE * known.rows:
        return known
    found = sample(connection, space)
    store(connection, space, found)
    return found


def load(connection: sqlite3.Connection, space: Space) -> Background | None:
    """The background of a space as it was kept; None if there is none."""
    query = "SELECT background FROM spaces WHERE id = ?"
    ((text,),) = typed(connection.execute(query, (space.id,)), str | None)
    try:
        return None if text is None else _from_json(text)
    except ValueError as exc:
        raise sqlite3.DatabaseError(f"unreadable background of space {space.id}") from exc


@lru_cache(maxsize=16)
def _from_json(text: str) -> Background:
    """Read once: every search asks for it."""
    return Background.from_json(text)


def store(connection: sqlite3.Connection, space: Space, background: Background | None) -> None:
    """Keeps the background of a space."""
    text = None if background is None else background.to_json()
    connection.execute("UPDATE spaces SET background = ? WHERE id = ?", (text, space.id))


def sample(connection: sqlite3.Connection, space: Space) -> Background | None:
    """Scores all pairs among randomly chosen images; None if the space has too few images.

    The choice follows from the space's name and images alone.
    """
    if space.key.rows < LEAST_IMAGES:
        return None
    ids = read_ids(connection, "SELECT image_id AS id FROM vectors WHERE space_id = ?", [space.id])
    seed = hashlib.sha256(space.key.space.encode()).digest()
    chosen = np.random.default_rng(list(seed)).choice(ids, min(len(ids), _SAMPLE), replace=False)
    vectors = _vectors(connection, space, np.sort(chosen).tolist())
    return of_vectors(vectors, len(ids))


def _vectors(connection: sqlite3.Connection, space: Space, ids: Sequence[int]) -> Array:
    """The vectors (n, d) of images, of unit length."""
    query = f"SELECT vector FROM vectors WHERE space_id = {space.id:d} AND image_id IN"
    blob = b"".join(row for (row,) in typed(select_in(connection, query, ids), bytes))
    if len(blob) != 2 * space.key.dim * len(ids):
        raise sqlite3.DatabaseError(f"a vector of space {space.id} is no vector")
    rows = np.frombuffer(blob, "<f2").reshape(len(ids), -1).astype(np.float32)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    if not (np.isfinite(norms) & (norms > 0)).all():
        raise sqlite3.DatabaseError(f"a vector of space {space.id} changed on the disk")
    return rows / norms


def of_vectors(vectors: Array, rows: int) -> Background:
    """The background that some vectors (n, d) of unit length show, of a space of `rows`."""
    return _of_scores(_between_all(vectors), rows)


def _between_all(vectors: Array) -> Array:
    """The scores of all pairs of vectors (n, d), each pair once: (n (n - 1) / 2,)."""
    scores = vectors @ vectors.T  # (n, d) x (d, n) -> (n, n)
    pairs = np.concatenate([row[i:] for i, row in enumerate(scores, 1)])
    return np.clip(pairs, -1, 1)  # rounding can carry a cosine past 1


def _of_scores(pairs: Array, rows: int) -> Background:
    ordered = np.sort(pairs)
    places = np.round(_PERCENTS / 100 * len(pairs)).astype(np.int64)
    scores = np.unique(ordered[np.minimum(places, len(pairs) - 1)])
    percents = 100 * np.searchsorted(ordered, scores) / len(pairs)  # of equal scores none is less
    quantiles = zip(percents.tolist(), scores.tolist(), strict=True)
    return Background(rows=rows, pairs=len(pairs), quantiles=tuple(quantiles))
