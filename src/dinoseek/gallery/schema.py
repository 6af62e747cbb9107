"""The tables of gallery.sqlite, and how a gallery of an older version becomes one of this version.

    roots       the folders that were indexed
    images      one row per different content: bytes that are equal are one image
    files       where those bytes lie; several files may be one image
    spaces      one row per fingerprint: vectors of different spaces are never compared
    vectors     one image's vector in one space: float16, unit length
    failures    files that could not be embedded in a space, and why
    changes     which image's vector changed at which version of a space, and the stamp from then on
    attributes  what `images.metadata` says, by name and value: what filters look up
    thumbnails  small pictures of images that do not lie in a file of their own
    decisions   what a person said about two images that look alike, by their digests
    choices     which of alike files a person keeps, and which can go

A file's root is a folder, a tar archive (its path is then the member's name) or the web (the
address). Triggers keep a space's row count, version and stamp in step with its vectors, whoever
changes them: what is derived from the vectors is valid for one stamp, and `changes` says what
became different since.
"""

import sqlite3
from collections.abc import Callable

from dinoseek.gallery.descriptions import put_attributes, values_of

APPLICATION_ID = 0x64696E6F  # "dino", in SQLite's file header

_TABLES = """
CREATE TABLE roots (
    id INTEGER PRIMARY KEY,
    absolute BLOB NOT NULL UNIQUE,
    relative BLOB                 -- from the gallery's folder; NULL between drives
);
CREATE TABLE images (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    digest TEXT NOT NULL UNIQUE,  -- sha256 of the file's bytes, hexadecimal
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    format TEXT NOT NULL,
    caption TEXT,
    metadata TEXT NOT NULL        -- a JSON object
);
CREATE TABLE files (
    root_id INTEGER NOT NULL REFERENCES roots (id) ON DELETE CASCADE,
    path BLOB NOT NULL,           -- from the root, in the system's bytes, "/" between parts
    image_id INTEGER NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    PRIMARY KEY (root_id, path)
) WITHOUT ROWID;
CREATE INDEX files_of_image ON files (image_id);
CREATE TABLE spaces (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    fingerprint_id TEXT NOT NULL UNIQUE,
    fingerprint TEXT NOT NULL,    -- JSON
    dim INTEGER NOT NULL,
    dtype TEXT NOT NULL DEFAULT 'float16',
    vectors INTEGER NOT NULL DEFAULT 0,
    version INTEGER NOT NULL DEFAULT 0,
    stamp BLOB NOT NULL DEFAULT (randomblob(16))
);
CREATE TABLE vectors (
    space_id INTEGER NOT NULL REFERENCES spaces (id) ON DELETE CASCADE,
    image_id INTEGER NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    vector BLOB NOT NULL,
    checksum INTEGER NOT NULL,    -- CRC-32 of image_id (8 bytes, little-endian) and vector
    UNIQUE (space_id, image_id)
);
CREATE INDEX vectors_of_image ON vectors (image_id);
CREATE TABLE failures (
    space_id INTEGER NOT NULL REFERENCES spaces (id) ON DELETE CASCADE,
    root_id INTEGER NOT NULL REFERENCES roots (id) ON DELETE CASCADE,
    path BLOB NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    code TEXT NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (root_id, path, space_id)
) WITHOUT ROWID;
"""

_EVENTS = (("INSERT", 1, "NEW"), ("UPDATE", 0, "NEW"), ("DELETE", -1, "OLD"))

_TRIGGER = """
CREATE TRIGGER vectors_{event} AFTER {event} ON vectors BEGIN
    UPDATE spaces SET vectors = vectors + {change}, version = version + 1, stamp = randomblob(16)
    WHERE id = {row}.space_id;
END;
"""


def m001_create_tables(connection: sqlite3.Connection) -> None:
    """Makes the first version's tables."""
    for statement in _TABLES.strip().split(";\n"):
        connection.execute(statement)
    for event, change, row in _EVENTS:
        connection.execute(_TRIGGER.format(event=event, change=change, row=row))


_MORE_TABLES = """
-- a hash of how it looks; NULL: never taken
ALTER TABLE images ADD COLUMN look BLOB;
-- of the file whose row in a list gave caption and metadata: root id and path; and the row
ALTER TABLE images ADD COLUMN described_by BLOB;
ALTER TABLE images ADD COLUMN described_row INTEGER;
-- JSON: caption, metadata and row that a list gave
ALTER TABLE failures ADD COLUMN said TEXT;
-- JSON: the scores of random pairs
ALTER TABLE spaces ADD COLUMN background TEXT;
CREATE INDEX images_by_width ON images (width);
CREATE INDEX images_by_height ON images (height);
CREATE INDEX images_by_bytes ON images (bytes);
CREATE TABLE changes (
    space_id INTEGER NOT NULL REFERENCES spaces (id) ON DELETE CASCADE,
    version INTEGER NOT NULL,
    image_id INTEGER NOT NULL,
    stamp BLOB NOT NULL,
    PRIMARY KEY (space_id, version)
) WITHOUT ROWID;
CREATE TABLE attributes (
    name TEXT NOT NULL,
    value NOT NULL,               -- text or number; of a list, each of its elements
    image_id INTEGER NOT NULL,
    PRIMARY KEY (name, value, image_id)
) WITHOUT ROWID;
CREATE TABLE thumbnails (
    image_id INTEGER PRIMARY KEY REFERENCES images (id) ON DELETE CASCADE,
    jpeg BLOB NOT NULL
);
CREATE TABLE decisions (
    first TEXT NOT NULL,          -- digests, first < second
    second TEXT NOT NULL,
    verdict TEXT NOT NULL,
    PRIMARY KEY (first, second)
) WITHOUT ROWID;
"""

_LOGGING_TRIGGER = """
CREATE TRIGGER vectors_{event} AFTER {event} ON vectors BEGIN
    UPDATE spaces SET vectors = vectors + {change}, version = version + 1, stamp = randomblob(16)
    WHERE id = {row}.space_id;
    INSERT INTO changes (space_id, version, image_id, stamp)
    SELECT id, version, {row}.image_id, stamp FROM spaces WHERE id = {row}.space_id;
END;
"""


def m002_log_changes(connection: sqlite3.Connection) -> None:
    """Adds what lists, filters, duplicates and large galleries need."""
    for statement in _MORE_TABLES.strip().split(";\n"):
        connection.execute(statement)
    for event, change, row in _EVENTS:
        connection.execute(f"DROP TRIGGER vectors_{event}")
        connection.execute(_LOGGING_TRIGGER.format(event=event, change=change, row=row))
    known = "SELECT id, metadata FROM images WHERE metadata <> '{}'"
    for id, metadata in connection.execute(known).fetchall():
        put_attributes(connection, id, values_of(metadata))


_CHOICES = """
CREATE TABLE choices (
    root_id INTEGER NOT NULL,
    path BLOB NOT NULL,
    digest TEXT NOT NULL,         -- of the file as the person saw it
    instead TEXT,                 -- digest of the image kept instead of it; NULL: it is kept itself
    PRIMARY KEY (root_id, path),
    FOREIGN KEY (root_id, path) REFERENCES files (root_id, path)
        ON DELETE CASCADE ON UPDATE CASCADE
) WITHOUT ROWID
"""


def m003_add_choices(connection: sqlite3.Connection) -> None:
    """Adds what a person chose for files that look alike."""
    connection.execute(_CHOICES)


MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (
    m001_create_tables,
    m002_log_changes,
    m003_add_choices,
)
VERSION = len(MIGRATIONS)


def version_of(connection: sqlite3.Connection) -> tuple[int, int]:
    """The file's application id and format version; both 0 if nothing was ever written to it."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return application, version


def migrate(connection: sqlite3.Connection) -> None:
    """Brings the tables to this version, in one transaction: a crash leaves the old one whole."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        _, version = version_of(connection)  # again: another process may have been quicker
        for step in MIGRATIONS[version:]:
            step(connection)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()
        raise
