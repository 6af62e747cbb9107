"""Sets of image ids, as ascending arrays: read from the record, united, looked up in each other."""

import sqlite3
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dinoseek.gallery.exact import Ids

NONE = np.empty(0, np.int64)


def read_ids(connection: sqlite3.Connection, query: str, values: Sequence[object] = ()) -> Ids:
    """The ids (n,) that a query finds, as `id`; ascending, each once.

    SQLite joins them to one text: for many ids that is four times as quick as a row for each.
    Raises sqlite3.DatabaseError where one is no number.
    """
    joined = f"SELECT count(*), group_concat(id) FROM ({query})"
    count, text = connection.execute(joined, values).fetchone()
    found = _numbers(text or "")
    if len(found) != count:  # a bit that flipped on the disk can make text of a number
        raise sqlite3.DatabaseError("an image's id that is no number")
    return _each_once(found)


def _numbers(text: str) -> Ids:
    """The numbers (n,) between the commas of a text; none if anything else is there."""
    if ",," in f",{text}," or not text.replace(",", "").isdigit():
        return NONE
    return np.fromstring(text, np.int64, sep=",")


def _each_once(ids: Ids) -> Ids:
    if (np.diff(ids) > 0).all():
        return ids
    ordered = np.sort(ids)
    return ordered[np.concatenate([[True], np.diff(ordered) > 0])]


def united(sets: Sequence[Ids]) -> Ids:
    """The ids (n,) that are in any of some sets."""
    return sets[0] if len(sets) == 1 else _each_once(np.concatenate([NONE, *sets]))


def are_in(ids: Ids, others: Ids) -> NDArray[np.bool_]:
    """Which of ids (n,) are among others (k,), as a mask (n,)."""
    if not len(others):
        return np.zeros(len(ids), np.bool_)
    places = np.searchsorted(others, ids)
    return np.take(others, places, mode="clip") == ids
