"""Spaces and their vectors as rows: what may be kept, and the matrix that is searched.

A vector is kept as float16 of unit length, with a checksum over it and its image's id: SQLite has
none of its own, and a bit that flips on the disk must not change a ranking in silence.
"""

import logging
import shlex
import sqlite3
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from operator import itemgetter
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dinoseek.embedder import Fingerprint
from dinoseek.encoders.precision import FLOAT32, is_coarser, short_of
from dinoseek.errors import GalleryError, UsageError
from dinoseek.gallery.base import Record
from dinoseek.gallery.connection import select_in, typed
from dinoseek.gallery.exact import Ids
from dinoseek.gallery.matrix_cache import MatrixKey
from dinoseek.vit.ops import Array

logger = logging.getLogger(__name__)

Stored: TypeAlias = NDArray[np.float16]

_ROWS_AT_ONCE = 4096
_ROUNDING = 1e-3  # of a vector's length, by float16


@dataclass(frozen=True, kw_only=True)
class Space:
    """All vectors of one fingerprint, at one version."""

    id: int
    fingerprint: Fingerprint
    key: MatrixKey


def spaces_of(connection: sqlite3.Connection) -> list[Space]:
    """All spaces of a gallery, the oldest first."""
    rows = connection.execute(
        "SELECT id, fingerprint_id, fingerprint, dim, dtype, vectors, version, stamp"
        " FROM spaces ORDER BY id"
    )
    kinds = (int, str, str, int, str, int, int, bytes)
    found = [_space(*row) for row in typed(rows, *kinds)]
    if not any(space.key.rows for space in found) and _has_vectors(connection):
        raise sqlite3.DatabaseError("vectors without a space")
    return found


def _has_vectors(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM vectors LIMIT 1").fetchone() is not None


def _space(
    id: int, name: str, text: str, dim: int, dtype: str, rows: int, version: int, stamp: bytes
) -> Space:
    try:
        fingerprint, own_name = _fingerprint(text)
    except (ValueError, TypeError) as exc:
        raise sqlite3.DatabaseError(f"unreadable fingerprint of space {id}") from exc
    facts = (own_name, fingerprint.dim, "float16", 16)
    if facts != (name, dim, dtype, len(stamp)) or min(rows, version) < 0:
        raise sqlite3.DatabaseError(f"space {id} is not what its fingerprint says")
    key = MatrixKey(space=name, version=version, stamp=stamp, rows=rows, dim=dim)
    return Space(id=id, fingerprint=fingerprint, key=key)


@lru_cache(maxsize=64)
def _fingerprint(text: str) -> tuple[Fingerprint, str]:
    """A fingerprint and its id; kept, because each search asks for it."""
    fingerprint = Fingerprint.from_json(text)
    return fingerprint, fingerprint.id


def make_space(connection: sqlite3.Connection, fingerprint: Fingerprint) -> int:
    """The id of the fingerprint's space; a new one if there is none."""
    query = "SELECT id FROM spaces WHERE fingerprint_id = ?"
    if found := connection.execute(query, (fingerprint.id,)).fetchone():
        return int(found[0])
    cursor = connection.execute(
        "INSERT INTO spaces (fingerprint_id, fingerprint, dim) VALUES (?, ?, ?)",
        (fingerprint.id, fingerprint.to_json(), fingerprint.dim),
    )
    return int(cursor.lastrowid or 0)


def choose(folder: Path, spaces: Sequence[Space], fingerprint: Fingerprint | None) -> Space | None:
    """The space to search in: the fingerprint's, or the only one; None in an empty gallery.

    Where there is none of the fingerprint, one that differs in nothing but precision takes its
    place, and a warning says if queries are less exact than it. Raises GalleryError if all vectors
    are of other fingerprints, UsageError if none is given and there are several.
    """
    filled = [space for space in spaces if space.key.rows]
    if fingerprint is None:
        if len(filled) > 1:
            reason = f"it has vectors of several models: {_listed(filled)}"
            raise UsageError("gallery.several_spaces", folder, reason, fix="say which with --model")
        return filled[0] if filled else None
    found = own_space(filled, fingerprint, alike=True)
    if found is None and filled:
        raise _mismatch(folder, filled, fingerprint)
    if found and is_coarser(fingerprint.precision, than=found.fingerprint.precision):
        _tell_coarser(folder, fingerprint.precision, found.fingerprint.precision)
    return found


def own_space(
    spaces: Sequence[Space], fingerprint: Fingerprint, *, alike: bool = False
) -> Space | None:
    """The space of just this fingerprint; else, if `alike`, one of another precision."""
    for space in spaces:
        if space.key.space == fingerprint.id:
            return space
    return _most_exact(spaces, fingerprint.family) if alike else None


def _most_exact(spaces: Sequence[Space], family: str) -> Space | None:
    found: Space | None = None
    for space in spaces:
        made = space.fingerprint
        if made.family == family and (
            found is None or is_coarser(found.fingerprint.precision, than=made.precision)
        ):
            found = space
    return found


@cache
def _tell_coarser(folder: Path, query: str, space: str) -> None:
    """Says once what costs a few of the nearest their places."""
    logger.warning(
        "%s: queries are embedded in %s, less exactly than its vectors (%s)", folder, query, space
    )


def _mismatch(folder: Path, filled: Sequence[Space], fingerprint: Fingerprint) -> GalleryError:
    reason = (
        f"it has no vectors of {fingerprint.describe()} ({fingerprint.id}),"
        f" only of {_listed(filled)}"
    )
    is_exact = fingerprint.precision == FLOAT32
    options = {
        "--gallery": str(folder),
        "--model": fingerprint.model,
        "--preprocess": fingerprint.preprocess,
        "--pooling": fingerprint.pooling,
        "--scales": fingerprint.scales,
        "--precision": "" if is_exact else short_of(fingerprint.precision),
    }
    given = shlex.join(word for pair in options.items() if pair[1] for word in pair)
    fix = f"search with that model, or add the vectors: dinoseek index FOLDER {given}"
    return GalleryError("gallery.model_mismatch", folder, reason, fix=fix)


def _listed(spaces: Sequence[Space]) -> str:
    return "; ".join(
        f"{space.fingerprint.describe()} ({space.key.space}, {space.key.rows} images)"
        for space in spaces
    )


def storable(vectors: ArrayLike, records: Sequence[Record], dim: int) -> Stored:
    """Vectors (m, dim) as they are kept: unit length, float16.

    Raises GalleryError for a vector without direction (NaN, infinite or zero), naming its file.
    """
    with np.errstate(
        over="ignore"
    ):  # what does not fit in float32 becomes infinite, and is refused below
        array = np.asarray(vectors, np.float32)
        if array.shape != (len(records), dim):
            raise ValueError(f"vectors are {array.shape}, expected ({len(records)}, {dim})")
        norms = np.linalg.norm(array, axis=1)
    for record, norm in zip(records, norms, strict=True):
        if not (np.isfinite(norm) and norm > 0):
            reason = "its vector is zero" if norm == 0 else "its vector is not finite"
            raise GalleryError("vector.invalid", record.path.decode(errors="replace"), reason)
    # what was stored before, and exported, stays as it was to the last bit
    with np.errstate(over="ignore"):
        was_stored = (abs(norms - 1) < _ROUNDING) & (array == array.astype("<f2")).all(axis=1)
    return np.where(was_stored[:, None], array, array / norms[:, None]).astype("<f2")


def put_vector(
    connection: sqlite3.Connection, space_id: int, image_id: int, vector: Stored
) -> None:
    """Keeps the vector (d,) of an image, in place of an older one."""
    blob = vector.tobytes()
    connection.execute(
        "INSERT INTO vectors (space_id, image_id, vector, checksum) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (space_id, image_id) DO UPDATE SET"
        " vector = excluded.vector, checksum = excluded.checksum",
        (space_id, image_id, blob, _checksum(image_id, blob)),
    )


def _checksum(image_id: int, blob: bytes) -> int:
    return zlib.crc32(blob, zlib.crc32(image_id.to_bytes(8, "little", signed=True)))


def read_matrix(connection: sqlite3.Connection, space: Space) -> tuple[Ids, Array]:
    """All vectors of a space: image ids (m,), ascending, and matrix (m, d), rows of unit length.

    Raises sqlite3.DatabaseError where a row is missing or damaged.
    """
    _check_size(connection, space)
    ids = np.empty(space.key.rows, np.int64)
    matrix = np.empty((space.key.rows, space.key.dim), np.float32)
    cursor = connection.execute(
        "SELECT image_id, vector, checksum FROM vectors WHERE space_id = ? ORDER BY image_id",
        (space.id,),
    )
    end = 0
    while rows := cursor.fetchmany(_ROWS_AT_ONCE):
        start, end = end, end + len(rows)
        _check(rows, space, end)
        ids[start:end] = [image_id for image_id, _, _ in rows]
        matrix[start:end] = _unit(b"".join(blob for _, blob, _ in rows), space.key.dim)
    if end != space.key.rows or (np.diff(ids) <= 0).any():
        raise sqlite3.DatabaseError(f"{end} of {space.key.rows} vectors of space {space.id} left")
    return ids, matrix


def read_rows(connection: sqlite3.Connection, space: Space, wanted: Ids) -> tuple[Ids, Array]:
    """The vectors of those of some images that have one: ids (n,), ascending, and rows (n, d).

    Raises sqlite3.DatabaseError where one is damaged.
    """
    query = (
        "SELECT image_id, vector, checksum FROM vectors"
        f" WHERE space_id = {space.id:d} AND image_id IN"
    )
    rows = sorted(select_in(connection, query, wanted.tolist()), key=itemgetter(0))
    _check(rows, space, len(rows))
    ids = np.array([image_id for image_id, _, _ in rows], np.int64)
    return ids, _unit(b"".join(blob for _, blob, _ in rows), space.key.dim)


def count_rows(connection: sqlite3.Connection, space: Space, wanted: Ids) -> int:
    """How many of some images have a vector."""
    query = f"SELECT image_id FROM vectors WHERE space_id = {space.id:d} AND image_id IN"
    return len(select_in(connection, query, wanted.tolist()))


def _check_size(connection: sqlite3.Connection, space: Space) -> None:
    """Makes sure that the space can be in a record of this size, before memory is taken for it."""
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (page_size,) = connection.execute("PRAGMA page_size").fetchone()
    if 2 * space.key.dim * space.key.rows > pages * page_size:
        raise sqlite3.DatabaseError(f"fewer vectors in space {space.id} than were put there")


def _check(rows: list[tuple[int, bytes, int]], space: Space, end: int) -> None:
    if end > space.key.rows:
        raise sqlite3.DatabaseError(f"more vectors in space {space.id} than were put there")
    for row in rows:
        if fault := fault_of(*row, space.key.dim):
            raise sqlite3.DatabaseError(fault)


def fault_of(image_id: int, blob: bytes, checksum: int, dim: int) -> str:
    """What is wrong with a row of `vectors`, of vectors of `dim` numbers; "" if nothing is."""
    # `type`: a flipped bit can change that too
    if type(image_id) is not int or type(blob) is not bytes or len(blob) != 2 * dim:
        return f"the vector of image {image_id} is no vector"
    whole = _checksum(image_id, blob) == checksum
    return "" if whole else f"the vector of image {image_id} changed on the disk"


def _unit(blob: bytes, dim: int) -> Array:
    """Rows (m, d) of unit length in float32; rounding to float16 had changed it a little."""
    rows = np.frombuffer(blob, "<f2").reshape(-1, dim).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
