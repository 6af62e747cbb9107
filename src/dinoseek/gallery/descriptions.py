"""What is said of an image: its caption and metadata, and how filters find them."""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dinoseek.gallery.base import JSON


@dataclass(frozen=True, kw_only=True)
class Description:
    """What a file, or the row of a list that names it, says of its image.

    `origin` names that file; `row` is None for what comes from no list.
    """

    caption: str | None
    metadata: Mapping[str, JSON]
    row: int | None = None
    origin: bytes = b""

    def to_json(self) -> str:
        """The description as text; its origin is not part of it."""
        said = {"caption": self.caption, "metadata": dict(self.metadata), "row": self.row}
        return json.dumps(said, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "Description":
        """Undoes `to_json`; sqlite3.DatabaseError where the text is damaged."""
        said = values_of(text)
        caption, metadata, row = (said.get(name) for name in ("caption", "metadata", "row"))
        if not (
            isinstance(caption, str | None)
            and isinstance(metadata, dict)
            and isinstance(row, int | None)
        ):
            raise sqlite3.DatabaseError("unreadable description")
        return cls(caption=caption, metadata=metadata, row=row)


def changed(connection: sqlite3.Connection, id: int, said: Description) -> bool:
    """Whether a description says anything new of an image; see `describe`."""
    return _new_values(connection, id, said) is not None


def describe(connection: sqlite3.Connection, id: int, said: Description) -> None:
    """Gives an image its caption and metadata.

    What comes from no list counts where it is not empty. Of several rows of a list the lowest
    counts, and the row of the same file as before.
    """
    values = _new_values(connection, id, said)
    if values is None:
        return
    (old,) = connection.execute("SELECT metadata FROM images WHERE id = ?", (id,)).fetchone()
    connection.execute(
        "UPDATE images SET caption = ?, metadata = ?, described_row = ?, described_by = ?"
        " WHERE id = ?",
        (*values, id),
    )
    if values[1] != old:
        drop_attributes(connection, id, old)
        put_attributes(connection, id, json.loads(values[1]))


def _new_values(
    connection: sqlite3.Connection, id: int, said: Description
) -> tuple[str | None, str, int | None, bytes | None] | None:
    """Caption, metadata, row and origin that an image gets; None if nothing changes."""
    query = "SELECT caption, metadata, described_row, described_by FROM images WHERE id = ?"
    before = connection.execute(query, (id,)).fetchone()
    caption, metadata, row, origin = before
    if said.row is None:
        new = as_text(said.metadata) if said.metadata else metadata
        values = (said.caption or caption, new, row, origin)
    elif row is None or said.row <= row or said.origin == origin:
        values = (said.caption, as_text(said.metadata), said.row, said.origin)
    else:
        return None
    return None if values == before else values


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
