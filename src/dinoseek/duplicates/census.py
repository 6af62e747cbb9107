"""Which files of a gallery are there as they were indexed; only among those are duplicates told."""

import os
import stat
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from dinoseek.duplicates.keeper import Preference
from dinoseek.gallery.holdings import Copy

Absence: TypeAlias = Literal["missing", "changed", "link"]


@dataclass(frozen=True, kw_only=True)
class Census:
    """The images that are there, each with its files; both in the order of their worth.

    `left_out` counts the other files: missing, changed since they were indexed, and links.
    """

    images: Sequence[Sequence[Copy]]
    left_out: Mapping[Absence, int]


def take_census(copies: Iterable[Copy], preference: Preference) -> Census:
    """Looks at each file and ranks those that are as the gallery knows them."""
    left_out: Counter[Absence] = Counter()
    images: dict[int, list[Copy]] = {}
    for copy in copies:
        absence = absence_of(copy)
        if absence:
            left_out[absence] += 1
        else:
            images.setdefault(copy.id, []).append(copy)
    ranked = [sorted(each, key=preference.rank) for each in images.values()]
    return Census(
        images=sorted(ranked, key=lambda each: preference.rank(each[0])), left_out=left_out
    )


def absence_of(copy: Copy) -> Absence | None:
    """Why a file does not count; None if it does, as do archives and addresses, unseen.

    A link has no bytes of its own: to keep it and let go what it leads to would be to lose both.
    """
    if copy.file is None:
        return None
    try:
        status = os.lstat(copy.file)
    except (OSError, ValueError):
        return "missing"
    if stat.S_ISLNK(status.st_mode):
        return "link"
    same = (status.st_size, status.st_mtime_ns) == (copy.bytes, copy.mtime_ns)
    return None if same and stat.S_ISREG(status.st_mode) else "changed"
