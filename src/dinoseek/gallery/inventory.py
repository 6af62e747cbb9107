"""What is in a gallery."""

import sqlite3
from pathlib import Path
from typing import Any

from dinoseek.embedder import fingerprint_dict
from dinoseek.errors import printable
from dinoseek.gallery import ledger, roots, schema
from dinoseek.gallery.base import WEB
from dinoseek.gallery.spaces import Space, spaces_of


def info(
    connection: sqlite3.Connection, folder: Path, cache: Path, space_id: int | None
) -> dict[str, Any]:
    """A gallery's contents as plain values; the failures are those of one space, or of all."""
    where = roots.located(connection, folder)
    return {
        "path": printable(folder),
        "version": schema.version_of(connection)[1],
        "images": _count(connection, "images"),
        "files": _count(connection, "files"),
        "failures": ledger.failures(connection, where, space_id),
        "spaces": [_space(space) for space in spaces_of(connection)],
        "roots": _roots(connection, where),
        "bytes": {"record": _bytes(folder, "gallery.sqlite*"), "cache": _bytes(cache, "*")},
    }


def _count(connection: sqlite3.Connection, table: str) -> int:
    (count,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    return int(count)


def _space(space: Space) -> dict[str, Any]:
    return {**fingerprint_dict(space.fingerprint), "vectors": space.key.rows}


def _roots(connection: sqlite3.Connection, where: dict[int, bytes]) -> list[dict[str, Any]]:
    files = dict(connection.execute("SELECT root_id, count(*) FROM files GROUP BY root_id"))
    names = {id: roots.name_of(where, id) for id in where}
    return [
        {
            "path": printable(name),
            "files": files.get(id, 0),
            "missing": name != WEB and not Path(name).exists(),
        }
        for id, name in names.items()
    ]


def _bytes(folder: Path, names: str) -> int:
    """Bytes on disk of the folder's files; one that vanishes meanwhile counts nothing."""
    total = 0
    for file in folder.glob(names):
        try:
            total += file.stat().st_size
        except OSError:
            continue
    return total
