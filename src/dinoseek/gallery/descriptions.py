"""What is said of an image: its caption and metadata, and how filters find them."""

import json
import sqlite3
from collections.abc import Iterator, Mapping

from dinoseek.gallery.base import JSON


def describe(
    connection: sqlite3.Connection,
    id: int,
    caption: str | None,
    metadata: Mapping[str, JSON],
    row: int | None = None,
    origin: bytes = b"",
) -> bool:
    """Gives an image its caption and metadata, if they are new to it; says whether they were.

    What comes from no list counts where it is not empty. Of several rows of a list the lowest
    counts, and the row of the same file as before.
    """
    query = "SELECT caption, metadata, described_row, described_by FROM images WHERE id = ?"
    before, old, described_row, described_by = connection.execute(query, (id,)).fetchone()
    if row is None:
        caption, new = caption or before, as_text(metadata) if metadata else old
        row, origin = described_row, described_by
    elif described_row is None or row <= described_row or described_by == origin:
        new = as_text(metadata)
    else:
        return False
    if (before, old, described_row, described_by) == (caption, new, row, origin):
        return False
    connection.execute(
        "UPDATE images SET caption = ?, metadata = ?, described_row = ?, described_by = ?"
        " WHERE id = ?",
        (caption, new, row, origin, id),
    )
    if new != old:
        drop_attributes(connection, id, old)
        put_attributes(connection, id, json.loads(new))
    return True


def as_text(metadata: Mapping[str, JSON]) -> str:
    """Metadata as it is kept in an image's row."""
    return json.dumps(dict(metadata), ensure_ascii=False) if metadata else "{}"


def put_attributes(connection: sqlite3.Connection, id: int, metadata: Mapping[str, JSON]) -> None:
    """Lets filters find an image by its metadata."""
    if metadata:
        connection.executemany(
            "INSERT OR IGNORE INTO attributes (name, value, image_id) VALUES (?, ?, ?)",
            ((name, value, id) for name, value in attributes(metadata)),
        )


def drop_attributes(connection: sqlite3.Connection, id: int, metadata: str) -> None:
    """Undoes `put_attributes`; `metadata` is the text that the image's row has."""
    if metadata != "{}":
        connection.executemany(
            "DELETE FROM attributes WHERE name = ? AND value = ? AND image_id = ?",
            ((name, value, id) for name, value in attributes(json.loads(metadata))),
        )


def attributes(metadata: Mapping[str, JSON]) -> Iterator[tuple[str, str | int | float]]:
    """What filters can look up in metadata: names and values, of a list each of its elements."""
    for name, value in metadata.items():
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, bool):
                yield name, int(each)
            elif isinstance(each, str | float) or (isinstance(each, int) and abs(each) < 1 << 63):
                yield name, each


def values_of(metadata: str) -> dict[str, JSON]:
    """Metadata from an image's row; sqlite3.DatabaseError where it is damaged."""
    if metadata == "{}":
        return {}
    try:
        values = json.loads(metadata)
    except ValueError as exc:
        raise sqlite3.DatabaseError("unreadable metadata") from exc
    if not isinstance(values, dict):
        raise sqlite3.DatabaseError("unreadable metadata")
    return values
