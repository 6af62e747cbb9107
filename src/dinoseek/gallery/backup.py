"""Copies of a gallery, at one version, while others go on writing to it.

SQLite copies its pages itself: copying the files of a record that is being written gives a damaged
one. What is derived is not copied, the first search makes it again.
"""

import os
import secrets
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from dinoseek.errors import GalleryError, UsageError
from dinoseek.gallery import roots
from dinoseek.gallery.checkup import problems
from dinoseek.gallery.connection import RECORD, connect, refused, reported, transaction
from dinoseek.gallery.schema import version_of
from dinoseek.gallery.sqlite_gallery import SqliteGallery

_PAGES_AT_ONCE = 4096  # between them a signal is heard


def back_up(gallery: SqliteGallery, target: Path) -> None:
    """Makes `target` a gallery like this one; it appears whole and verified, or not at all.

    Raises UsageError if there is something at `target`, GalleryError if this gallery is damaged,
    MachineError where the disk refuses.
    """
    _refuse(gallery.path, target)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        _make(temporary)
        with reported(target):
            _copy(gallery, temporary)
            _place_roots(gallery, temporary, target)
        _verify(gallery, temporary)
        _appear(temporary, target)
    except OSError as exc:
        raise refused(target, "backup.unwritable", "it cannot be written", exc) from exc
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _refuse(source: Path, target: Path) -> None:
    if os.path.lexists(target):
        fix = "name a folder that is not there yet"
        raise UsageError("file.exists", target, "is there already", fix=fix)
    if Path(os.path.realpath(source)) in Path(os.path.realpath(target)).parents:
        fix = "name another folder, best on another disk"
        raise UsageError("backup.inside", target, "is inside the gallery itself", fix=fix)


def _make(folder: Path) -> None:
    """Makes the directory 0700 and an empty record 0600, whatever the umask."""
    folder.mkdir(mode=0o700)
    folder.chmod(0o700)
    os.close(os.open(folder / RECORD, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    (folder / RECORD).chmod(0o600)


def _copy(gallery: SqliteGallery, folder: Path) -> None:
    with closing(connect(folder, readonly=False)) as copy, gallery.reading():
        version_of(gallery._connection)  # from the first read on, it is one version
        gallery._connection.backup(copy, pages=_PAGES_AT_ONCE)


def _place_roots(gallery: SqliteGallery, folder: Path, target: Path) -> None:
    """Has the copy find the photographs where they are now.

    The way to them from the gallery stays only if it is the same from the copy, as from one beside
    it: another way could lead to other photographs once the copy is put back.
    """
    with gallery.reading():
        where = roots.located(gallery._connection, gallery.path)
    with closing(connect(folder, readonly=False)) as copy, transaction(copy):
        for id, root in where.items():
            way = roots.way_from(target, root)
            same = way if way == roots.way_from(gallery.path, root) else None
            copy.execute(
                "UPDATE OR IGNORE roots SET absolute = ?, relative = ? WHERE id = ?",
                (root, same, id),
            )


def _verify(gallery: SqliteGallery, folder: Path) -> None:
    try:
        with closing(connect(folder, readonly=False)) as copy:
            found = [problem.text for problem in problems(copy)]
    except sqlite3.DatabaseError as exc:
        found = [str(exc)]
    if found:
        reason = f"no backup was made: the copy is damaged, as its record may be ({found[0]})"
        fix = "look at it with dinoseek check"
        raise GalleryError("gallery.corrupt", gallery.path, reason, fix=fix)


def _appear(temporary: Path, target: Path) -> None:
    """Gives the copy its name, when all of it is on the disk."""
    for entry in [*temporary.iterdir(), temporary]:
        _flush(entry)
    temporary.rename(target)
    _flush(target.parent)


def _flush(path: Path) -> None:
    if os.name != "posix" and path.is_dir():  # elsewhere a folder cannot be opened to be synced
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
