"""What a file of vectors gives: rows with what is known of each, a few hundred at a time."""

import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinoseek.embedder import Fingerprint
from dinoseek.errors import MachineError, UsageError
from dinoseek.gallery.base import JSON

ROWS_AT_ONCE = 256
IMPORTED = "imported"  # stands for the model of vectors of which nobody said what made them

_BYTES_AT_ONCE = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What only a gallery's own export knows of an image, as in `Record`."""

    digest: str
    width: int
    height: int
    bytes: int
    format: str


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One row: an image by its path or address, and what is said of it."""

    path: str | None = None
    url: str | None = None
    caption: str | None = None
    metadata: Mapping[str, JSON] = field(default_factory=dict)
    facts: Facts | None = None


@dataclass(frozen=True, kw_only=True)
class Given:
    """A file of `rows` vectors of `dim` numbers.

    `batches` reads it anew each time: entries (n,) and vectors (n, dim) as they are in the file.
    `fingerprint` says what made them, where the file does.
    """

    source: Path
    rows: int
    dim: int
    batches: Callable[[], Iterator[tuple[Sequence[Entry], NDArray[Any]]]]
    fingerprint: Fingerprint | None = None


def refused(path: Path, reason: str, *, code: str = "import.format", fix: str = "") -> UsageError:
    """The error for a file that is not what an import takes."""
    return UsageError(code, path, reason, fix=fix)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns the system's errors into ours; what is no regular file is refused."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise refused(path, "it is a folder, pipe or device, not a file")
        yield
    except OSError as exc:
        raise MachineError("path.unreadable", path, exc.strerror or str(exc)) from exc


def check_vectors(given: Given) -> None:
    """Reads all vectors once, so that a bad one is told before anything is kept.

    Raises UsageError import.vector naming the first row that has no direction.
    """
    row = 0
    for _, vectors in given.batches():
        with np.errstate(over="ignore"):
            lengths = np.linalg.norm(vectors.astype(np.float32), axis=1)
        bad = np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)))
        if len(bad):
            what = "zero" if lengths[bad[0]] == 0 else "not finite"
            reason = f"the vector of row {row + bad[0] + 1:,} is {what}"
            raise refused(given.source, reason, code="import.vector", fix="leave that row out")
        row += len(vectors)


def digest_of(path: Path) -> str:
    """The sha256 of a file's bytes, in hexadecimal."""
    found = hashlib.sha256()
    with reading(path), path.open("rb") as file:
        while piece := file.read(_BYTES_AT_ONCE):
            found.update(piece)
    return found.hexdigest()


def imported_fingerprint(given: Given) -> Fingerprint:
    """What vectors are called whose model nobody named: only those of this file are comparable."""
    weights = digest_of(given.source)
    return Fingerprint(
        model=IMPORTED, weights=weights, preprocess="", pooling="", pos_flavour="", dim=given.dim
    )


def checked(metadata: dict[str, JSON]) -> dict[str, JSON]:
    """Metadata that can be kept: numbers are numbers, text is Unicode. ValueError for another."""
    json.dumps(metadata, ensure_ascii=False, allow_nan=False).encode()
    return metadata


def is_path(text: str) -> bool:
    """Whether a file could have this name."""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def absolute(path: str, folder: Path) -> str:
    """A path as text, from `folder` where it is relative; not resolved."""
    return os.path.normpath(os.path.join(folder.absolute(), path))  # noqa: PTH118 - any text
