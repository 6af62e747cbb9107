"""Which image is meant by a file's path or an id."""

import hashlib
from pathlib import Path

from dinoseek.errors import MachineError, UsageError
from dinoseek.gallery.holdings import digest_at
from dinoseek.gallery.sqlite_gallery import SqliteGallery


def digest_of(gallery: SqliteGallery, name: str) -> str:
    """The digest of an image of the gallery: of a file, or by "id:42" or "42".

    A file is taken by the bytes that it has now, or by those that it had when it was last seen. A
    file whose name is a number comes before the id. Raises UsageError for what the gallery has not.
    """
    file = Path(name)
    number = name.removeprefix("id:")
    if file.is_file():
        digest = _digest(file)
        if not gallery.ids_of([digest]):
            raise UsageError("dupes.unknown", name, "the gallery has no image of these bytes")
        return digest
    if number.isascii() and number.isdigit():
        return gallery.get([int(number)])[0].digest
    known = digest_at(gallery, file)
    if known is None:
        raise UsageError("dupes.unknown", name, "no file and no image of the gallery has this name")
    return known


def _digest(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as exc:
        raise MachineError("path.unreadable", file, exc.strerror or str(exc)) from exc
