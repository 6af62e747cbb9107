"""What `--where` says: a condition on metadata and file facts, as a tree that becomes bound SQL."""

import sqlite3
from dataclasses import dataclass

import numpy as np

from dinoseek.gallery.exact import Ids


@dataclass(frozen=True)
class Filter:
    """A condition on images, made by `parse`."""

    sql: str
    values: tuple[str | int | float, ...] = ()


def matching(connection: sqlite3.Connection, where: Filter) -> Ids:
    """The ids (n,) of the images for which a condition holds, ascending."""
    rows = connection.execute(f"SELECT id FROM images WHERE {where.sql} ORDER BY id", where.values)
    return np.fromiter((id for (id,) in rows), np.int64)
