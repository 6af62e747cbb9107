"""Where images lie: files of their own, members of archives, addresses on the web."""

import os.path
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from dinoseek.errors import printable
from dinoseek.gallery.base import JSON
from dinoseek.gallery.connection import select_in, typed
from dinoseek.gallery.descriptions import values_of
from dinoseek.gallery.roots import address, file_name, full_path, is_archive, is_plain, shown


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where an image lies: the first of its files that exists, or the first if none does.

    `path` is for people; `file` is for opening, None for an address or the member of an archive.
    """

    path: str
    file: str | None
    url: str | None
    caption: str | None
    metadata: Mapping[str, JSON]


def places(
    connection: sqlite3.Connection, roots: Mapping[int, bytes], ids: Iterable[int]
) -> dict[int, Place]:
    """Where images lie, by id; those without a file are left out."""
    wanted = list(ids)
    query = (
        "SELECT id, caption, metadata, root_id, path"
        " FROM images JOIN files ON image_id = id WHERE id IN"
    )
    rows = select_in(connection, query, wanted, "ORDER BY id, root_id, path")
    checked = typed(rows, int, str | None, str, int, bytes)
    plain = {root: is_plain(roots, root) for root in {row[3] for row in rows}}
    found = {
        id: _place(roots, list(group), plain) for id, group in groupby(checked, key=itemgetter(0))
    }
    _check_without_file(connection, [id for id in wanted if id not in found])
    return found


def _place(
    roots: Mapping[int, bytes], files: list[tuple[Any, ...]], plain: Mapping[int, bool]
) -> Place:
    """The place of an image from its rows, one for each file."""
    _, caption, metadata, root, path = files[0]
    url = None
    if len(files) == 1 and plain[root]:  # nearly all images: nothing to choose
        first: str | None = file_name(roots, root, path)
        shown_path = printable(first)
    else:
        keys = [(root, path) for *_, root, path in files]
        addresses = [address(roots, *key) for key in keys]
        here = [key for key, found in zip(keys, addresses, strict=True) if found is None]
        own = [full_path(roots, *key) for key in here if not is_archive(roots, key[0])]
        first = str(_first(own)) if own else None
        shown_path = printable(first) if first else shown(roots, *(here or keys)[0])
        url = next(filter(None, addresses), None)
    return Place(
        path=shown_path, file=first, url=url, caption=caption, metadata=values_of(metadata)
    )


def _first(files: list[Path]) -> Path:
    # asked only where there is a choice: a search must not wait for a slow disk
    return files[0] if len(files) == 1 else next(filter(os.path.lexists, files), files[0])


def _check_without_file(connection: sqlite3.Connection, ids: list[int]) -> None:
    """Makes sure that images have really lost their files, and the record is not damaged."""
    images = select_in(connection, "SELECT id FROM images WHERE id IN", ids)
    if len(images) < len(ids):
        raise sqlite3.DatabaseError("vectors of images that are not there")
    # of the table itself: "+" keeps the index out of it, which may be what is damaged
    scan = "SELECT size FROM files WHERE +image_id IN"
    if select_in(connection, scan, ids):
        raise sqlite3.DatabaseError("files that their index does not have")


def files_of(
    connection: sqlite3.Connection, roots: Mapping[int, bytes], digest: str
) -> list[Path | str]:
    """All files of an image, by root and path; addresses and members of archives as text."""
    query = (
        "SELECT root_id, path FROM files JOIN images ON id = image_id WHERE digest = ?"
        " ORDER BY root_id, path"
    )
    rows = connection.execute(query, (digest,)).fetchall()
    return [
        address(roots, root, path)
        or (shown if is_archive(roots, root) else full_path)(roots, root, path)
        for root, path in rows
    ]


def thumbnail(connection: sqlite3.Connection, id: int) -> bytes | None:
    """The small JPEG that is kept of an image; None if it lies in a file of its own."""
    row = connection.execute("SELECT jpeg FROM thumbnails WHERE image_id = ?", (id,)).fetchone()
    return row[0] if row and isinstance(row[0], bytes) else None
