"""Which files a person chose to keep, and which can go: kept by file, for the bytes that it had.

Of several files with the same bytes one may go and another stay, so these are about files, where
`decisions` are about images. A choice ends with its file: when the gallery forgets the file, or
finds other bytes in it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from dinoseek.errors import UsageError
from dinoseek.gallery import roots
from dinoseek.gallery.connection import transaction, typed
from dinoseek.gallery.holdings import Copy
from dinoseek.gallery.sqlite_gallery import SqliteGallery

FileKey: TypeAlias = tuple[str, bytes]  # root and path, as in `Copy`


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What a person said of a file whose bytes had `digest`.

    `instead` is the digest of the image that is kept instead of it; None if it is kept itself.
    """

    digest: str
    instead: str | None = None

    @property
    def is_discard(self) -> bool:
        """Whether the file can go."""
        return self.instead is not None


Choices: TypeAlias = dict[FileKey, Choice]


def key_of(copy: Copy) -> FileKey:
    """What a file's choice is kept by."""
    return copy.root, copy.path


def discard(gallery: SqliteGallery, copy: Copy, instead: str) -> Choice | None:
    """Remembers that a file can go, and the digest of the image kept instead; returns what was.

    Raises UsageError for what is not a file of its own, and if the gallery has it no more.
    """
    if copy.kind != "file":
        reason = "it is not a file of its own, so it is left alone"
        raise UsageError("dupes.elsewhere", copy.shown, reason)
    return _choose(gallery, copy, Choice(digest=copy.digest, instead=instead))


def keep(gallery: SqliteGallery, copy: Copy) -> Choice | None:
    """Remembers that a file is kept, also if it was to go; returns what was.

    Raises UsageError if the gallery has it no more.
    """
    return _choose(gallery, copy, Choice(digest=copy.digest))


def choices(gallery: SqliteGallery) -> Choices:
    """What was chosen of the files that still have the bytes of then."""
    query = (
        "SELECT root_id, path, images.digest, instead FROM choices"
        " JOIN files USING (root_id, path)"
        " JOIN images ON images.id = image_id AND images.digest = choices.digest"
    )
    with gallery.reading():
        where = roots.located(gallery._connection, gallery.path)
        rows = list(typed(gallery._connection.execute(query), int, bytes, str, str | None))
    return {
        (roots.name_of(where, root), path): Choice(digest=digest, instead=instead)
        for root, path, digest, instead in rows
    }


def discards(gallery: SqliteGallery) -> dict[FileKey, str]:
    """The files that can go, each with the digest of the image that is kept instead."""
    return {key: said.instead for key, said in choices(gallery).items() if said.instead is not None}


def put_choices(
    gallery: SqliteGallery, said: Mapping[FileKey, Choice | None]
) -> dict[FileKey, Choice | None]:
    """Remembers choices, or with None that there is none; returns what was, to be put back by this.

    Files that the gallery does not have are passed over.
    """
    connection = gallery._connection
    with gallery.writing(), transaction(connection):
        located = roots.located(connection, gallery.path)
        ids = {roots.name_of(located, id): id for id in located}
        places = {key: (ids[key[0]], key[1]) for key in said if key[0] in ids}
        there = {key: place for key, place in places.items() if _digest_at(gallery, place)}
        before = {key: _choice_at(gallery, place) for key, place in there.items()}
        for key, place in there.items():
            _write(gallery, place, said[key])
    return before


def forget_choices(gallery: SqliteGallery) -> int:
    """Forgets all choices; returns of how many files there were any."""
    with gallery.writing(), transaction(gallery._connection):
        count = len(choices(gallery))
        gallery._connection.execute("DELETE FROM choices")
    return count


def _choose(gallery: SqliteGallery, copy: Copy, choice: Choice) -> Choice | None:
    with gallery.writing(), transaction(gallery._connection):
        id = roots.root_id(gallery._connection, gallery.path, copy.root)
        if _digest_at(gallery, (id, copy.path)) != copy.digest:
            reason = "the gallery has other bytes of it by now, or none"
            raise UsageError("dupes.changed", copy.shown, reason, fix="look at the group again")
        return put_choices(gallery, {key_of(copy): choice})[key_of(copy)]


def _digest_at(gallery: SqliteGallery, place: tuple[int, bytes]) -> str | None:
    query = "SELECT digest FROM images JOIN files ON image_id = id WHERE root_id = ? AND path = ?"
    row = gallery._connection.execute(query, place).fetchone()
    return None if row is None else str(row[0])


def _choice_at(gallery: SqliteGallery, place: tuple[int, bytes]) -> Choice | None:
    query = "SELECT digest, instead FROM choices WHERE root_id = ? AND path = ?"
    row = gallery._connection.execute(query, place).fetchone()
    return None if row is None else Choice(digest=row[0], instead=row[1])


def _write(gallery: SqliteGallery, place: tuple[int, bytes], choice: Choice | None) -> None:
    if choice is None:
        query = "DELETE FROM choices WHERE root_id = ? AND path = ?"
        gallery._connection.execute(query, place)
    else:
        query = (
            "INSERT OR REPLACE INTO choices (root_id, path, digest, instead) VALUES (?, ?, ?, ?)"
        )
        gallery._connection.execute(query, (*place, choice.digest, choice.instead))
