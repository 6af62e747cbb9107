"""Who may write to a gallery: one process, by a lock that the kernel frees when it dies.

SQLite's own write lock lasts for one transaction. Held over a whole run it would keep anything from
being committed, and it cannot say who holds it. So the right to write is a lock on a file beside
the record, which also names the process; SQLite's transactions go on as usual under it, and readers
never ask for it.
"""

import contextlib
import os
import sys
from pathlib import Path

from dinoseek.errors import MachineError
from dinoseek.gallery.connection import refused

LOCK = "lock"
# the file is emptied: a link in a gallery from elsewhere must not lead to another file
_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)

if sys.platform == "win32":  # pragma: no cover
    import msvcrt

    _FAR = (
        1 << 30
    )  # Windows locks bytes, and a locked byte cannot be read: not where the number stands

    def _take(handle: int) -> None:
        os.lseek(handle, _FAR, os.SEEK_SET)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError as exc:
            raise BlockingIOError from exc

    def _free(handle: int) -> None:
        os.lseek(handle, _FAR, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _take(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _free(handle: int) -> None:
        # said explicitly: a forked child may still hold the same open file
        fcntl.flock(handle, fcntl.LOCK_UN)


class WriterLock:
    """The right to write to the gallery in `folder`; taken again by its holder, it counts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._handle: int | None = None
        self._holders = 0

    def __enter__(self) -> None:
        if self._handle is None:
            self._handle = self._acquire()
        self._holders += 1

    def __exit__(self, *_: object) -> None:
        self._holders -= 1
        if not self._holders and self._handle is not None:
            handle, self._handle = self._handle, None
            with contextlib.suppress(OSError):
                _free(handle)
            os.close(handle)

    def _acquire(self) -> int:
        try:
            handle = os.open(self._folder / LOCK, _FLAGS, 0o600)
        except OSError as exc:
            raise refused(self._folder, "gallery.readonly", "it can only be read", exc) from exc
        try:
            _take(handle)
            os.ftruncate(handle, 0)
            os.lseek(handle, 0, os.SEEK_SET)
            os.write(handle, str(os.getpid()).encode())
        except BlockingIOError as exc:
            raise self._refusal(handle) from exc
        except OSError as exc:
            os.close(handle)
            raise refused(self._folder, "gallery.lock", "it cannot be locked", exc) from exc
        return handle

    def _refusal(self, handle: int) -> MachineError:
        """The error that names the holder; it closes the handle."""
        os.lseek(handle, 0, os.SEEK_SET)
        pid = os.read(handle, 20).decode("ascii", "replace").strip()
        os.close(handle)
        holder = f"process {pid}" if pid.isdigit() else "another process"
        reason = f"{holder} is writing to it"
        return MachineError(
            "gallery.locked", self._folder, reason, fix="wait for it, or stop it; nothing is lost"
        )
