"""Making again what follows from the rest of a gallery; nothing else in it is ever changed."""

import re
import sqlite3
from collections.abc import Collection
from pathlib import Path

from dinoseek.errors import GalleryError
from dinoseek.gallery import checkup, matrix_cache
from dinoseek.gallery.ann_file import ann_file
from dinoseek.gallery.checkup import Problem
from dinoseek.gallery.connection import reported, transaction
from dinoseek.gallery.matrix_cache import CACHE, cache_file
from dinoseek.gallery.sqlite_gallery import SqliteGallery

# a space's id and what the file has of it; files of other names are not ours
_OWN = re.compile(r"[0-9a-f]{16}\.[A-Za-z0-9_.-]+")


def remove_unproven(gallery: SqliteGallery) -> list[Path]:
    """Removes files in the cache that are damaged or half written; returns which.

    The next search or index run makes them again. Raises MachineError if another process writes.
    """
    folder = gallery.path / CACHE
    with gallery.writing():
        removed = [file for file in _own_files(folder) if not _is_proven(gallery, file)]
        for file in removed:
            file.unlink(missing_ok=True)
    return removed


def _own_files(folder: Path) -> list[Path]:
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    return [file for file in files if _OWN.fullmatch(file.name) and not file.is_dir()]


def _is_proven(gallery: SqliteGallery, file: Path) -> bool:
    """Whether every byte of a derived file is as it was written."""
    if file == ann_file(file.parent, file.stem):
        return gallery._nearest.index_is_whole(file.stem)
    return file == cache_file(file.parent, file.stem) and _is_whole_matrix(file)


def _is_whole_matrix(file: Path) -> bool:
    matrix = matrix_cache.load(file.parent, file.stem)
    if matrix is None:
        return False
    try:
        matrix.whole()
    except matrix_cache.DamagedError:
        return False
    finally:
        matrix.close()
    return True


def repair(gallery: SqliteGallery, found: Collection[Problem]) -> list[Problem]:
    """Makes again what is wrong in the record and follows from its rest; returns what was.

    Raises GalleryError if the record's pages are damaged: then nothing is written to it.
    """
    wrong = [problem for problem in found if problem.repairable]
    codes = {problem.code for problem in found}
    if wrong and codes & {"record.pages", "record.tables"}:
        fix = "restore a backup, or save what can be read with --salvage NEW.dino"
        reason = "its pages are damaged, so nothing is written to it"
        raise GalleryError("gallery.corrupt", gallery.path, reason, fix=fix)
    connection = gallery._connection
    with gallery.writing(), reported(gallery.path), transaction(connection):
        if checkup.ATTRIBUTES in codes:
            _remake_attributes(connection)
        if checkup.COUNTERS in codes:
            _remake_counters(connection)
    return wrong


def _remake_attributes(connection: sqlite3.Connection) -> None:
    checkup.gather_attributes(connection)
    connection.execute("DELETE FROM main.attributes")
    connection.execute("INSERT INTO attributes SELECT * FROM temp.expected_attributes")


def _remake_counters(connection: sqlite3.Connection) -> None:
    """Counts the vectors of each space; what was derived from it before counts no more."""
    connection.execute(
        "UPDATE spaces SET version = version + 1, stamp = randomblob(16), vectors ="
        " (SELECT count(*) FROM vectors WHERE space_id = spaces.id)"
    )
    connection.execute("DELETE FROM changes")
