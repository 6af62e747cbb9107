"""What changed in a space since a version of it, as the record's log of changes proves.

What is derived from the vectors is made at one version. It stays of use for as long as the log
shows that the present comes from that very version, whatever was written since.
"""

import sqlite3
from pathlib import Path

from dinoseek.gallery import matrix_cache
from dinoseek.gallery.connection import typed
from dinoseek.gallery.exact import Ids
from dinoseek.gallery.id_sets import NONE, read_ids
from dinoseek.gallery.matrix_cache import MatrixKey
from dinoseek.gallery.spaces import Space

KEPT = 100_000  # changes of a space that stay in the log whether or not anything needs them

_FEW = 5_000  # changes that are searched beside any matrix
_PART = 0.1  # of a matrix's rows that may have changed before it is made anew


def bearable(rows: int) -> int:
    """How many images may have changed before a matrix of so many rows is made anew."""
    return max(_FEW, int(_PART * rows))


def is_old(base: MatrixKey, now: MatrixKey) -> bool:
    """Whether so much was written since that nobody has to count how many images it was."""
    return now.version - base.version > 10 * bearable(base.rows)


def changed_since(connection: sqlite3.Connection, space: Space, base: MatrixKey) -> Ids | None:
    """Ids (n,), ascending, of images whose vector may have changed since `base`; in a transaction.

    None if the log does not show that the space was ever at `base`, or has lost what came after.
    """
    now = space.key
    if (base.space, base.dim) != (now.space, now.dim) or base.version > now.version:
        return None
    if base.version == now.version:
        return NONE if base == now else None
    if is_old(base, now) or _stamp(connection, space, base.version) != base.stamp:
        return None
    later = "FROM changes WHERE space_id = ? AND version > ?"
    values = (space.id, base.version)
    (count,) = connection.execute(f"SELECT count(*) {later}", values).fetchone()
    if count != now.version - base.version or _stamp(connection, space, now.version) != now.stamp:
        return None
    return read_ids(connection, f"SELECT DISTINCT image_id AS id {later} ORDER BY id", values)


def _stamp(connection: sqlite3.Connection, space: Space, version: int) -> bytes | None:
    query = "SELECT stamp FROM changes WHERE space_id = ? AND version = ?"
    rows = list(typed(connection.execute(query, (space.id, version)), bytes))
    return rows[0][0] if rows else None


def trim(connection: sqlite3.Connection, space: Space, folder: Path) -> None:
    """Forgets changes that no derived file in `folder` needs; in a transaction to write."""
    oldest = space.key.version - KEPT
    base = matrix_cache.stored_key(folder, space.key.space)
    if base and base.version <= space.key.version and not is_old(base, space.key):
        oldest = min(oldest, base.version)
    connection.execute("DELETE FROM changes WHERE space_id = ? AND version < ?", (space.id, oldest))
