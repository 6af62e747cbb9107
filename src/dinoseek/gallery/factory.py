"""Opening a gallery: what is there, what may be done with it, and what to say if it will not do."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from shlex import quote

from dinoseek.embedder import Embedder, Fingerprint
from dinoseek.errors import DinoseekError, GalleryError, MachineError
from dinoseek.gallery import schema
from dinoseek.gallery.connection import RECORD, can_write, connect, refused, reported
from dinoseek.gallery.lock import LOCK, WriterLock
from dinoseek.gallery.spaces import spaces_of
from dinoseek.gallery.sqlite_gallery import CACHE, SqliteGallery

_OWN_NAMES = {RECORD, f"{RECORD}-wal", f"{RECORD}-shm", f"{RECORD}-journal", CACHE, LOCK}


def open_gallery(
    path: str | Path,
    embedder: Embedder | None = None,
    *,
    readonly: bool = False,
    create: bool = True,
) -> SqliteGallery:
    """Opens the gallery in the directory `path`, to be closed by `with` or `close`.

    With an embedder it works in that embedder's space. A gallery that is not there is made, unless
    `readonly` or not `create`. One that this process may not write to can still be read. Raises
    MachineError where there is none or it cannot be opened, GalleryError for one that is damaged,
    newer, no gallery at all, or, when `readonly`, has only vectors of other embedders.
    """
    folder = Path(path)
    try:
        if not (folder / RECORD).exists():
            if readonly or not create:
                raise _missing(folder)
            _make_folder(folder)
    except OSError as exc:
        raise refused(folder, "gallery.unreadable", "it cannot be opened", exc) from exc
    return _opened(folder, embedder, readonly=readonly or not can_write(folder))


def fingerprints_in(path: str | Path) -> list[Fingerprint]:
    """What made the vectors of a gallery, the oldest space first; nothing where there is none.

    Raises as `open_gallery` does.
    """
    if not (Path(path) / RECORD).exists():
        return []
    with open_gallery(path, readonly=True) as gallery, gallery.reading():
        return [space.fingerprint for space in spaces_of(gallery._connection)]


def _opened(folder: Path, embedder: Embedder | None, *, readonly: bool) -> SqliteGallery:
    with reported(folder):
        connection = connect(folder, readonly=readonly)
        try:
            _bring_up_to_date(connection, folder, readonly)
            gallery = SqliteGallery(folder, connection, embedder, readonly=readonly)
            if readonly and embedder is not None:
                gallery.check()
        except BaseException:
            connection.close()
            raise
    return gallery


def _missing(folder: Path) -> DinoseekError:
    if folder.exists() and not _could_become_gallery(folder):
        return _foreign(folder)
    fix = f"make one: dinoseek index FOLDER --gallery {quote(str(folder))}"
    return MachineError("gallery.missing", folder, "there is no gallery", fix=fix)


def _foreign(folder: Path) -> GalleryError:
    fix = "name a folder that is not there yet, such as photos.dino"
    return GalleryError("gallery.foreign", folder, "it is something else than a gallery", fix=fix)


def _could_become_gallery(folder: Path) -> bool:
    """Whether the folder is empty, or all that a killed process left of making a gallery."""
    return folder.is_dir() and {entry.name for entry in folder.iterdir()} <= _OWN_NAMES


def _make_folder(folder: Path) -> None:
    """Makes the directory 0700 and an empty record 0600, whatever the umask, both durable."""
    try:
        if folder.exists() and not _could_become_gallery(folder):
            raise _foreign(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(exist_ok=True)
        folder.chmod(0o700)
        os.close(os.open(folder / RECORD, os.O_RDWR | os.O_CREAT, 0o600))
        (folder / RECORD).chmod(0o600)
        for directory in (folder, folder.parent):
            _flush(directory)
    except OSError as exc:
        raise refused(folder, "gallery.unwritable", "it cannot be made here", exc) from exc


def _flush(directory: Path) -> None:
    """Makes the names in a directory durable, where the system can."""
    if os.name == "posix":
        handle = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _bring_up_to_date(connection: sqlite3.Connection, folder: Path, readonly: bool) -> None:
    """Refuses what this version cannot read, before any change; makes or migrates tables."""
    application, version = schema.version_of(connection)
    if application != schema.APPLICATION_ID and not _untouched(connection):
        raise _foreign(folder)
    if version > schema.VERSION:
        reason = f"it has format {version}, this dinoseek reads up to {schema.VERSION}"
        raise GalleryError("gallery.newer", folder, reason, fix="upgrade dinoseek")
    if version == schema.VERSION:
        return
    if readonly and (version == 0 or not can_write(folder)):
        raise _missing(folder) if version == 0 else _older(folder, version)
    with WriterLock(folder), closing(connect(folder, readonly=False)) as writable:
        writable.execute("PRAGMA journal_mode = WAL")
        schema.migrate(writable)


def _untouched(connection: sqlite3.Connection) -> bool:
    """Whether nothing was ever written to the record: its making was interrupted."""
    (count,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return schema.version_of(connection) == (0, 0) and count == 0


def _older(folder: Path, version: int) -> GalleryError:
    reason = f"it has the older format {version} and can only be read"
    return GalleryError("gallery.older", folder, reason, fix="open it once where it can be written")
