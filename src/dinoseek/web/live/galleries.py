"""One gallery for many threads: a few of its own keep it open, and notice when it is replaced.

An open gallery belongs to the thread that opened it, and what it has loaded is worth keeping. New
versions that another process writes are seen by the gallery itself; here it is noticed that another
directory was put in its place.
"""

import contextvars
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from dinoseek.embedder import Embedder
from dinoseek.errors import DinoseekError, GalleryError
from dinoseek.gallery.connection import RECORD
from dinoseek.gallery.factory import open_gallery
from dinoseek.gallery.sqlite_gallery import SqliteGallery
from dinoseek.web.live.busy import Busy

logger = logging.getLogger(__name__)

T = TypeVar("T")
Identity: TypeAlias = tuple[int, ...]

_REPLACING = 1.0  # seconds that putting another gallery in place may take, without one in between
_PAUSE = 0.01
_SUMMARY_SECONDS = 1.0


class _Opened:
    """The gallery as one thread has it open."""

    def __init__(
        self, path: Path, embedder: Embedder, *, create: bool, index_key: Path | None
    ) -> None:
        self._path = path
        self._embedder = embedder
        self._create = create
        self._index_key = index_key
        self.gallery: SqliteGallery | None = None
        self.seen: Identity | None = None

    def current(self, *, patient: bool) -> SqliteGallery:
        """The gallery that lies there now; `patient` if one did and may be missing for a moment."""
        if self.gallery is not None:
            now = _identity(self._path, self.gallery)
            if now is None or now == self.seen:  # None: just being replaced
                return self.gallery
            self.drop()
        seen, until = _identity(self._path), time.monotonic() + (_REPLACING if patient else 0)
        while True:
            try:
                if self._open() and self.gallery is not None:
                    return self.gallery
            except DinoseekError:
                if (now := _identity(self._path)) != seen and patient:  # replaced once more
                    seen, until = now, time.monotonic() + _REPLACING
                if time.monotonic() >= until:
                    raise
            time.sleep(_PAUSE)

    def _open(self) -> bool:
        """Opens it; False if it was replaced meanwhile, so that its files may be of two."""
        before = _identity(self._path)
        gallery = open_gallery(self._path, self._embedder, create=self._create)
        if self._index_key is not None:
            gallery.use_index_key(self._index_key)
        self.gallery, self.seen = gallery, _identity(self._path, gallery)
        if before is None or (self.seen is not None and self.seen[:2] == before):
            return True
        self.drop()
        return False

    def drop(self) -> None:
        """Closes it and lets go of all that it has loaded."""
        if self.gallery is not None:
            self.gallery.close()
        self.gallery = self.seen = None


class _Work:
    """Something to be done with the gallery, in the context of the thread that asked for it."""

    def __init__(self, work: Callable[[SqliteGallery], Any]) -> None:
        self.work = work
        self.context = contextvars.copy_context()
        self.done: Future[Any] = Future()


class Galleries:
    """The gallery at `path`, open in up to `threads` threads; made if need be with `create`.

    `index_key` is the secret that proves who wrote an index, by default that of this user.
    """

    def __init__(
        self,
        path: Path,
        embedder: Embedder,
        *,
        threads: int = 4,
        create: bool = False,
        index_key: Path | None = None,
    ) -> None:
        self.path = path
        self.embedder = embedder
        self._opener = partial(_Opened, path, embedder, create=create, index_key=index_key)
        self._changed = threading.Condition()
        self._waiting: deque[_Work] = deque()
        self._latest: Identity | None = None
        self._closed = False
        self._summary = (0, embedder.fingerprint.model)
        self._summary_until = 0.0
        self._threads = [
            threading.Thread(target=self._serve, name=f"dinoseek-gallery-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def run(self, work: Callable[[SqliteGallery], T]) -> T:
        """What `work` returns or raises, done with the open gallery in one of the threads.

        It is done a second time, with the gallery opened anew, if it finds the record damaged.
        Raises Busy once this is closed.
        """
        asked = _Work(work)
        with self._changed:
            if self._closed:
                raise Busy
            self._waiting.append(asked)
            self._changed.notify()
        done: Future[T] = asked.done
        return done.result()

    def summary(self) -> tuple[int, str]:
        """How many images there are, at most a second ago, and the model's name.

        While the gallery cannot be read it is what was there before.
        """
        now = time.monotonic()
        if now >= self._summary_until:
            self._summary_until = now + _SUMMARY_SECONDS
            try:
                self._summary = (self.run(len), self.embedder.fingerprint.model)
            except (DinoseekError, Busy) as exc:
                logger.warning("the gallery cannot be counted: %s", exc)
        return self._summary

    def close(self) -> None:
        """Ends the threads when they have done what they are at; what waits gets Busy."""
        with self._changed:
            self._closed = True
            left = list(self._waiting)
            self._waiting.clear()
            self._changed.notify_all()
        for work in left:
            work.done.set_exception(Busy())
        for thread in self._threads:
            thread.join()

    def _serve(self) -> None:
        opened = self._opener()
        while (work := self._next(opened)) is not None:
            try:
                value = work.context.run(self._do, work.work, opened)
            except BaseException as exc:
                work.done.set_exception(exc)
            else:
                work.done.set_result(value)
            del work  # with what it found, which may be large
        opened.drop()

    def _next(self, opened: _Opened) -> _Work | None:
        """The next work, None at the end; meanwhile what was replaced is closed."""
        with self._changed:
            while True:
                if self._closed:
                    return None
                if self._waiting:
                    return self._waiting.popleft()
                if opened.gallery is not None and opened.seen != self._latest:
                    opened.drop()
                self._changed.wait()

    def _do(self, work: Callable[[SqliteGallery], T], opened: _Opened) -> T:
        try:
            return work(self._current(opened))
        except GalleryError as exc:
            if exc.code != "gallery.corrupt":
                raise
            logger.warning("opening the gallery anew: %s", exc)
            opened.drop()
        return work(self._current(opened))

    def _current(self, opened: _Opened) -> SqliteGallery:
        gallery = opened.current(patient=self._latest is not None)
        if opened.seen != self._latest:
            with self._changed:
                self._latest = opened.seen
                self._changed.notify_all()  # those that have nothing to do let go of the old one
        return gallery


def _identity(path: Path, gallery: SqliteGallery | None = None) -> Identity | None:
    """Which record lies there, and of one that can only be read, which state of it.

    SQLite does not look for changes where it cannot write. None if there is nothing.
    """
    try:
        status = (path / RECORD).stat()
    except OSError:
        return None
    which = (status.st_dev, status.st_ino)
    if gallery is None or not gallery.readonly:
        return which
    return (*which, status.st_mtime_ns, status.st_size)
