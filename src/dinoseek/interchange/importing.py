"""Puts the vectors of a file into a gallery, with what is known of their images."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinoseek.embedder import Embedder, Fingerprint, Prepared
from dinoseek.errors import DinoseekError, FetchError, ImageError, UsageError, printable
from dinoseek.gallery.base import WEB, Record
from dinoseek.gallery.roots import ARCHIVE_SUFFIXES, slashed
from dinoseek.gallery.sqlite_gallery import SqliteGallery
from dinoseek.gallery.writer import Writer
from dinoseek.images.decode import decode_sized
from dinoseek.images.preprocess import find_preset
from dinoseek.images.read import read_bytes
from dinoseek.interchange.given import Entry, Given, absolute, is_path
from dinoseek.vit.ops import Array

Place = tuple[str, bytes]  # root and path, as in `Record`

_SMALL = 32  # a JPEG's size is proven by reading it at an eighth


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What became of some rows; `failed` has the row, and why it names no image."""

    stored: int
    skipped: int
    failed: list[tuple[int, DinoseekError]]


def embedder_of(fingerprint: Fingerprint) -> Embedder:
    """Stands for what made the vectors of a file; it cannot embed anything itself."""
    return Embedder(_no_features, find_preset("official"), fingerprint)


def _no_features(_: Sequence[Prepared]) -> Array:
    reason = "nobody said which model made the gallery's vectors"
    fix = "search by id, as in id:1, or import them again with --model"
    raise UsageError("search.imported", "query", reason, fix=fix)


def check_dim(given: Given, fingerprint: Fingerprint) -> None:
    """Refuses vectors that cannot be of the model that is said to have made them."""
    if given.dim != fingerprint.dim:
        made = fingerprint.describe()
        reason = f"its vectors have {given.dim} numbers, those of {made} have {fingerprint.dim}"
        fix = "name the model and pooling that made them"
        raise UsageError("import.dim", given.source, reason, fix=fix)


def import_vectors(
    gallery: SqliteGallery,
    given: Given,
    normalised: Callable[[str], str],
    folder: Path | None = None,
) -> Iterator[Batch]:
    """Keeps the rows of a file that are not in the gallery yet, batch by batch.

    `normalised` gives an address its normal form, or raises FetchError; relative paths are in
    `folder`, by default that of the file. Each batch is durable when it is yielded; interrupted,
    the next run goes on. Of several rows of one image the first counts.
    """
    base = folder or given.source.absolute().parent
    with gallery.writing() as writer:
        places = _Places(writer, given, normalised, base)
        first = 1
        for entries, vectors in given.batches():
            yield _keep(writer, places, entries, vectors, first)
            first += len(entries)
        writer.settle()


def _keep(
    writer: Writer, places: "_Places", entries: Sequence[Entry], vectors: NDArray[Any], first: int
) -> Batch:
    chosen: list[tuple[int, list[Place]]] = []
    failed, skipped = [], 0
    for number, entry in enumerate(entries):
        try:
            found = places.of(entry)
        except DinoseekError as exc:
            failed.append((first + number, exc))
            continue
        state = writer.state(*found[0])
        if (state and state.embedded) or not writer.offer(*found[0]):
            skipped += 1
        else:
            chosen.append((number, found))
    with writer.batch():
        _add(writer, entries, vectors, chosen, first)
    return Batch(stored=len(chosen), skipped=skipped, failed=failed)


def _add(
    writer: Writer,
    entries: Sequence[Entry],
    vectors: NDArray[Any],
    chosen: Sequence[tuple[int, list[Place]]],
    first: int,
) -> None:
    records = [_record(entries[row], *found[0], first + row) for row, found in chosen]
    if records:
        writer.add(records, np.asarray(vectors[[row for row, _ in chosen]], np.float32))
    for record, (_, found) in zip(records, chosen, strict=True):
        for root, path in found[1:]:
            writer.link(root, path, record.digest, record.bytes, 0)


class _Places:
    """Where the images of a file's rows are, as the gallery names places."""

    def __init__(
        self, writer: Writer, given: Given, normalised: Callable[[str], str], folder: Path
    ) -> None:
        self._normalised = normalised
        self._folder = folder
        self._common = _common_folder(given, folder)
        self._root, self._prefix = "", b""
        if self._common:
            self._root, self._prefix = writer.place(self._common, whole=False)

    def of(self, entry: Entry) -> list[Place]:
        """Root and path of a row's file, and of its address; FetchError if it names nothing."""
        found: list[Place] = []
        if (path := _own_path(entry)) is not None:
            found.append(self._of_path(path))
        if entry.url is not None:
            found.append((WEB, self._normalised(entry.url).encode()))
        if not found:
            reason = "it names no file and no address"
            raise FetchError("import.place", printable(entry.path or "row"), reason)
        return found

    def _of_path(self, path: str) -> Place:
        full = absolute(path, self._folder)
        archive, member = _in_archive(full)
        if member:
            return str(Path(os.fsdecode(slashed(archive)))), os.fsencode(member)
        inside = os.path.relpath(full, self._common or "")
        return self._root, self._prefix + os.fsencode(Path(inside).as_posix())


def _own_path(entry: Entry) -> str | None:
    """A row's path, where it is a file and not its address once more."""
    is_own = entry.path and entry.path != entry.url and is_path(entry.path)
    return entry.path if is_own else None


def _common_folder(given: Given, folder: Path) -> Path | None:
    """The deepest folder that has all files of all rows; None where all are addresses."""
    common: str | None = None
    for entries, _ in given.batches():
        for entry in entries:
            if (path := _own_path(entry)) is None:
                continue
            parent = str(Path(absolute(path, folder)).parent)
            common = parent if common is None else os.path.commonpath([common, parent])
    return None if common is None else Path(common)


def _in_archive(path: str) -> tuple[str, str]:
    """A path taken apart into a tar archive and its member; no member if it is none."""
    parts = Path(path).parts
    for end, part in enumerate(parts[:-1], start=1):
        if part.lower().encode("utf-8", "surrogatepass").endswith(ARCHIVE_SUFFIXES):
            archive = Path(*parts[:end])
            if not archive.is_dir():
                return str(archive), "/".join(parts[end:])
    return path, ""


def _record(entry: Entry, root: str, path: bytes, row: int) -> Record:
    said = {"caption": entry.caption, "metadata": entry.metadata, "row": row}
    if entry.facts is not None:
        facts = vars(entry.facts)
        return Record(root=root, path=path, mtime_ns=0, **facts, **said)  # type: ignore[arg-type]
    file = None if root == WEB else Path(root, os.fsdecode(path))
    found = _of_file(file) if file else None
    return Record(root=root, path=path, **(found or _unseen(path)), **said)  # type: ignore[arg-type]


def _unseen(path: bytes) -> dict[str, Any]:
    """What stands for the bytes of an image that is not here: nothing but its name."""
    digest = hashlib.sha256(b"imported\0" + path).hexdigest()
    return {"digest": digest, "width": 0, "height": 0, "bytes": 0, "format": "", "mtime_ns": 0}


def _of_file(file: Path) -> dict[str, Any] | None:
    """What a file says of itself; None if it cannot be read as a picture."""
    try:
        mtime_ns = file.stat().st_mtime_ns
        data = read_bytes(file)
        image, (width, height) = decode_sized(data, subject=file, least_side=_SMALL)
    except (ImageError, OSError):
        return None
    return {
        "digest": hashlib.sha256(data).hexdigest(),
        "width": width,
        "height": height,
        "bytes": len(data),
        "format": image.format or "",
        "mtime_ns": mtime_ns,
    }
