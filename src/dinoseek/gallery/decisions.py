"""What a person said about two images that look alike: kept by their bytes, whatever else changes.

A decision is about two digests, so it outlives renaming, indexing again, and removal from the
gallery. One about an image and itself says that all its files are wanted.
"""

from collections.abc import Mapping
from typing import Literal, TypeAlias, get_args

from dinoseek.errors import UsageError
from dinoseek.gallery.connection import transaction, typed
from dinoseek.gallery.sqlite_gallery import SqliteGallery

Verdict: TypeAlias = Literal["not-duplicate", "keep-both"]
Decisions: TypeAlias = dict[tuple[str, str], Verdict]  # by digests, the lower first

VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


def decide(gallery: SqliteGallery, first: str, second: str, verdict: Verdict) -> None:
    """Remembers a verdict on the images of two digests, in place of an older one."""
    if verdict not in VERDICTS:
        raise ValueError(f"the verdict is {verdict!r}, expected one of {', '.join(VERDICTS)}")
    if first == second and verdict == "not-duplicate":
        reason = "the two files have the same bytes"
        raise UsageError(
            "dupes.same_bytes", "--not-duplicate", reason, fix="--keep-both keeps them both"
        )
    put_decisions(gallery, {pair(first, second): verdict})


def put_decisions(
    gallery: SqliteGallery, said: Mapping[tuple[str, str], Verdict | None]
) -> dict[tuple[str, str], Verdict | None]:
    """Remembers verdicts by pair, or with None that there is none.

    Returns what was, to be put back by this.
    """
    connection = gallery._connection
    known = "SELECT verdict FROM decisions WHERE first = ? AND second = ?"
    forget = "DELETE FROM decisions WHERE first = ? AND second = ?"
    keep = "INSERT OR REPLACE INTO decisions (first, second, verdict) VALUES (?, ?, ?)"
    before: dict[tuple[str, str], Verdict | None] = {}
    with gallery.writing(), transaction(connection):
        for key, verdict in said.items():
            row = connection.execute(known, key).fetchone()
            before[key] = row[0] if row else None
            connection.execute(*((keep, (*key, verdict)) if verdict else (forget, key)))
    return before


def decisions(gallery: SqliteGallery) -> Decisions:
    """All verdicts."""
    with gallery.reading():
        rows = gallery._connection.execute("SELECT first, second, verdict FROM decisions")
        found = list(typed(rows, str, str, str))
    return {(first, second): verdict for first, second, verdict in found if verdict in VERDICTS}


def forget_decisions(gallery: SqliteGallery) -> int:
    """Forgets all verdicts; returns how many there were."""
    with gallery.writing(), transaction(gallery._connection):
        return gallery._connection.execute("DELETE FROM decisions").rowcount


def pair(first: str, second: str) -> tuple[str, str]:
    """Two digests as decisions are kept by."""
    return (first, second) if first <= second else (second, first)
