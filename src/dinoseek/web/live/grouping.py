"""The groups of duplicates of a gallery: found on a thread of their own, kept until it changes."""

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from dinoseek.duplicates.census import take_census
from dinoseek.duplicates.find import groups_in
from dinoseek.duplicates.groups import Group
from dinoseek.duplicates.keeper import Preference
from dinoseek.duplicates.levels import Level
from dinoseek.embedder import Embedder
from dinoseek.errors import DinoseekError, MachineError
from dinoseek.gallery.choices import key_of
from dinoseek.gallery.connection import RECORD
from dinoseek.gallery.factory import open_gallery
from dinoseek.gallery.holdings import Copy, copies, state_of
from dinoseek.gallery.sqlite_gallery import SqliteGallery

logger = logging.getLogger(__name__)

T = TypeVar("T")
_ENDING = 2.0  # seconds to wait for a thread that ends with the process anyway
_REST = 10  # times as long as the groups took, until they are found again while others index


class Opened(Protocol):
    """A gallery that other threads have open; see `Galleries`."""

    path: Path
    embedder: Embedder

    def run(self, work: Callable[[SqliteGallery], T]) -> T: ...


@dataclass(frozen=True, kw_only=True)
class Groups:
    """The groups of one level, by name too, as they are in one state of the gallery."""

    state: bytes
    names: tuple[str, ...] = ()
    by_name: Mapping[str, Group] = field(default_factory=dict)
    failure: DinoseekError | None = None


class Grouping:
    """Finds the groups of each level when they are first asked for, and again when they changed.

    It opens the gallery by itself: in a large one it takes minutes, and searches go on meanwhile.
    Decisions and choices change no group: one that was decided is still there to be looked at.
    """

    def __init__(self, galleries: Opened) -> None:
        self._galleries = galleries
        self._changed = threading.Condition()
        self._found: dict[Level, Groups] = {}
        self._asked: dict[Level, int] = {}  # how often, and how often that was answered
        self._answered: dict[Level, int] = {}
        self._looked: dict[Level, tuple[object, float]] = {}  # at what, and until when to rest
        self._closed = False
        self._thread: threading.Thread | None = None

    def groups(self, level: Level, patience: float = 0.0) -> Groups | None:
        """What is known of a level; None while it is being found for the first time.

        Waits up to `patience` seconds for the present state of the gallery. Raises what finding
        them raised.
        """
        with self._changed:
            number = self._asked[level] = self._asked.get(level, 0) + 1
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(
                    target=self._work, name="dinoseek-duplicates", daemon=True
                )
                self._thread.start()
            self._changed.notify_all()
            self._changed.wait_for(
                lambda: self._closed or self._answered.get(level, 0) >= number, patience
            )
            found = self._found.get(level)
        if found is not None and found.failure is not None:
            raise found.failure.with_traceback(None)
        return found

    def known(self, level: Level) -> Groups | None:
        """What is known of a level, without looking for anything new."""
        with self._changed:
            return self._found.get(level)

    def close(self) -> None:
        """Ends the thread, at once or when it has found the groups that it is at."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(_ENDING)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._open())
                if self._closed:
                    return
                level = self._open()[0]
                number, known = self._asked[level], self._found.get(level)
            found = self._current(level, known)
            with self._changed:
                if found is not None:
                    self._found[level] = found
                self._answered[level] = number
                self._changed.notify_all()

    def _open(self) -> list[Level]:
        return [each for each in self._asked if self._asked[each] > self._answered.get(each, 0)]

    def _current(self, level: Level, known: Groups | None) -> Groups | None:
        """The groups now; None where those that are known still are."""
        begin, looks = time.monotonic(), _looks(self._galleries.path)
        before, rest_until = self._looked.get(level, (None, 0.0))
        if known and not known.failure and (looks == before or begin < rest_until):
            return None
        try:
            with open_gallery(
                self._galleries.path, self._galleries.embedder, create=False
            ) as gallery:
                found = find(gallery, level, known)
        except DinoseekError as exc:
            return Groups(state=b"", failure=exc)
        except Exception:  # the thread has to go on
            logger.exception("duplicates could not be found")
            reason = "its duplicates could not be found; the log says why"
            return Groups(
                state=b"", failure=MachineError("dupes.failed", self._galleries.path, reason)
            )
        end = time.monotonic()
        self._looked[level] = (looks, end + _REST * (end - begin))
        return found


def _looks(path: Path) -> object:
    """What the disk shows of a record: the same, if nothing was written to it."""
    found = []
    for name in (RECORD, f"{RECORD}-wal"):
        try:
            status = (path / name).stat()
        except OSError:
            found.append((0, 0, 0))
        else:
            found.append((status.st_ino, status.st_mtime_ns, status.st_size))
    return found


def find(gallery: SqliteGallery, level: Level, known: Groups | None = None) -> Groups | None:
    """The groups of exactly this level of which a file can go; None if those known still are."""
    state = state_of(gallery)
    if known and known.state == state:
        return None
    preference = Preference()
    census = take_census(copies(gallery), preference)
    found = groups_in(gallery, census, preference, level, decided=True)
    by_name = {name_of(group): group for group in found if group.level == level and group.spare}
    return Groups(state=state, names=tuple(by_name), by_name=by_name)


def name_of(group: Group) -> str:
    """A name for the very files of a group, in these bytes."""
    digest = hashlib.sha256(group.level.encode())
    for member in group.members:
        digest.update((name_of_file(member.copy) + member.copy.digest).encode())
    return digest.hexdigest()[:16]


def name_of_file(copy: Copy) -> str:
    """A name for a file that can stand in a form, whatever its path is made of."""
    return hashlib.sha256(repr(key_of(copy)).encode()).hexdigest()[:16]
