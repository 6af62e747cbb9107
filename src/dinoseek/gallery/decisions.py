"""What a person said about two images that look alike: kept by their bytes, whatever else changes.

A decision is about two digests, so it outlives renaming, indexing again, and removal from the
gallery. One about an image and itself says that all its files are wanted.
"""

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
    query = "INSERT OR REPLACE INTO decisions (first, second, verdict) VALUES (?, ?, ?)"
    with gallery.writing(), transaction(gallery._connection):
        gallery._connection.execute(query, (*pair(first, second), verdict))


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
