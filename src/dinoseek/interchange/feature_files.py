"""The two ways in which course projects keep features: .npy beside .json, and .npz with paths.

gallery_features.npy  (images, dim), and metadata.json: a list with an object for each row
gallery_features.npz  `features` (images, dim) and `paths` (images,)
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinoseek.gallery.base import JSON
from dinoseek.interchange.arrays import check_features, header_of, rows_of
from dinoseek.interchange.given import ROWS_AT_ONCE, Entry, Given, checked, reading, refused

MAX_METADATA_BYTES = 2_000_000_000
MAX_PATH_BYTES = 4 * 4096  # four bytes a character, as NumPy keeps text

_URL_KEYS, _PATH_KEYS = ("url", "image_url"), ("path", "file")


def from_npy(path: Path, metadata: Path | None = None) -> Given:
    """The vectors of a .npy file and what a list of JSON objects says of them, in one order."""
    header = header_of(path)
    check_features(path, header)
    beside = metadata or path.with_suffix(".json")
    if metadata is None and not beside.exists():
        beside = path.with_name("metadata.json")
    if not beside.exists():
        fix = "name the list that says what the rows are: --metadata metadata.json"
        raise refused(path, "there is no metadata.json beside it", code="import.metadata", fix=fix)
    entries = _entries(beside)
    if len(entries) != header.shape[0]:
        reason = f"it has {header.shape[0]:,} rows, but {beside.name} has {len(entries):,}"
        fix = "both must be of the same run, in the same order"
        raise refused(path, reason, code="import.count", fix=fix)

    def batches() -> Iterator[tuple[Sequence[Entry], NDArray[Any]]]:
        for number, vectors in enumerate(rows_of(path)):
            start = number * ROWS_AT_ONCE
            yield entries[start : start + len(vectors)], vectors

    return Given(source=path, rows=len(entries), dim=header.shape[1], batches=batches)


def _entries(path: Path) -> list[Entry]:
    with reading(path):
        size = path.stat().st_size
        if size > MAX_METADATA_BYTES:
            reason = f"it has {size / 1e6:,.0f} MB, the limit is {MAX_METADATA_BYTES / 1e6:,.0f}"
            raise refused(path, reason, code="import.too_large")
        content = path.read_bytes()
    try:
        rows = json.loads(content)
    except (ValueError, RecursionError) as exc:
        first = str(exc).partition("\n")[0][:120]
        raise refused(path, f"it is no JSON ({first})", code="import.metadata") from exc
    if not isinstance(rows, list):
        reason = "it is no list with an object for each row"
        raise refused(path, reason, code="import.metadata")
    return [_entry(path, number, row) for number, row in enumerate(rows, start=1)]


def _entry(path: Path, number: int, row: object) -> Entry:
    if not isinstance(row, dict):
        reason = f"its element {number:,} is no object with url or path"
        raise refused(path, reason, code="import.metadata")
    rest: dict[str, JSON] = dict(row)
    url, name = _taken(rest, _URL_KEYS), _taken(rest, _PATH_KEYS)
    caption = _taken(rest, ("caption",))
    if url is None and name is None:
        reason = f"its element {number:,} has neither url nor path"
        raise refused(path, reason, code="import.metadata")
    try:
        checked({"url": url, "caption": caption, **rest})
    except (ValueError, RecursionError) as exc:
        reason = f"its element {number:,} has text or a number that cannot be kept"
        raise refused(path, reason, code="import.metadata") from exc
    return Entry(url=url, path=name, caption=caption, metadata=rest)


def _taken(row: dict[str, JSON], names: Sequence[str]) -> str | None:
    """The first text among some keys, taken out of the row."""
    for name in names:
        if isinstance(row.get(name), str) and row[name]:
            return str(row.pop(name))
    return None


def from_npz(path: Path) -> Given:
    """The vectors and paths of an .npz archive."""
    features, paths = header_of(path, "features"), header_of(path, "paths")
    check_features(path, features)
    if len(paths.shape) != 1 or paths.dtype.kind not in "US":
        reason = f"its paths are {paths.dtype} of shape {paths.shape}, expected text (images,)"
        raise refused(path, reason, code="import.shape")
    if paths.dtype.itemsize > MAX_PATH_BYTES:
        raise refused(path, "its paths are longer than any path", code="import.too_large")
    if paths.shape != features.shape[:1]:
        reason = f"it has {features.shape[0]:,} vectors, but {paths.shape[0]:,} paths"
        raise refused(path, reason, code="import.count")

    def batches() -> Iterator[tuple[Sequence[Entry], NDArray[Any]]]:
        both = zip(rows_of(path, "paths"), rows_of(path, "features"), strict=True)
        for names, vectors in both:
            yield [Entry(path=_text(path, name)) for name in names], vectors

    return Given(source=path, rows=features.shape[0], dim=features.shape[1], batches=batches)


def _text(path: Path, name: np.str_ | np.bytes_) -> str:
    try:
        return name.decode() if isinstance(name, bytes) else str(name)
    except (UnicodeDecodeError, ValueError) as exc:
        raise refused(path, "one of its paths is no text") from exc
