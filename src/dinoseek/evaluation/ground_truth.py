"""The ground truth of revisited Oxford and Paris: which images show what a query shows, how well.

The files are `gnd_roxford5k.pkl` and `gnd_rparis6k.pkl` of Radenovic et al., CVPR 2018
(http://cmp.felk.cvut.cz/revisitop/): a dict of `imlist`, `qimlist`, and `gnd` with a dict of `bbx`,
`easy`, `hard` and `junk` for each query.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinoseek.errors import DataError, MachineError
from dinoseek.evaluation.numpy_pickle import read_numpy_pickle

Ids = NDArray[np.int64]
Box = tuple[float, float, float, float]

MAX_BYTES = 2_000_000  # the larger of the two has 276,508
OFFICIAL = {
    "ba7967754bd2d7d2210a5799f9c45ad5835e269a80ef9d3eba44caa35816c471": "roxford5k",
    "d2e729a5293dda7dda8a15c8383424a42e4964a2c4cfea2f32fa85d11d2df499": "rparis6k",
}
SIZES = {"roxford5k": (4993, 70), "rparis6k": (6322, 70)}  # gallery images and queries
PARTS = ("easy", "hard", "junk")


@dataclass(frozen=True, kw_only=True)
class GroundTruth:
    """Names of the gallery's images and of the queries, and for each query what belongs to it.

    `boxes` hold x1, y1, x2, y2 of the object in the query image; `easy`, `hard` and `junk` are
    positions in `names`, ascending.
    """

    path: Path
    sha256: str
    names: Sequence[str]
    queries: Sequence[str]
    boxes: Sequence[Box]
    easy: Sequence[Ids]
    hard: Sequence[Ids]
    junk: Sequence[Ids]

    @property
    def official(self) -> str | None:
        """The data set whose published file this is, byte for byte; None for any other file."""
        return OFFICIAL.get(self.sha256)


def load_ground_truth(path: Path) -> GroundTruth:
    """Reads and checks a ground truth; no code in it can run.

    Raises MachineError where the file cannot be read, DataError gt.too_large, gt.format,
    gt.unsafe_global, gt.key, gt.index or gt.box, naming the query at fault, for a bad one.
    """
    data = _bytes(path)
    try:
        found = read_numpy_pickle(path, data)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError) as exc:
        raise _not_pickled(path, data, exc) from exc
    except MemoryError as exc:
        reason = "it describes more than fits in memory"
        raise DataError("gt.too_large", path, reason) from exc
    names, queries, gnd = _lists(path, found)
    rows = [_query(path, number, row, len(names)) for number, row in enumerate(gnd)]
    return GroundTruth(
        path=path,
        sha256=hashlib.sha256(data).hexdigest(),
        names=names,
        queries=queries,
        boxes=[box for box, _ in rows],
        **{part: [parts[part] for _, parts in rows] for part in PARTS},
    )


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            if size > MAX_BYTES:
                reason = f"it has {size:,} bytes, a ground truth has at most {MAX_BYTES:,}"
                raise DataError("gt.too_large", path, reason)
            return file.read(MAX_BYTES)
    except OSError as exc:
        fix = "dinoseek evaluate prepare roxford5k says where to get it"
        raise MachineError("gt.missing", path, exc.strerror or str(exc), fix=fix) from exc


def _not_pickled(path: Path, data: bytes, exc: Exception) -> DataError:
    start = data[:64].lstrip().lower()
    what = f"it is no pickle of plain data ({str(exc).partition(chr(10))[0][:100]})"
    for mark, name in ((b"\x1f\x8b", "gzip"), (b"<", "HTML, an error page?"), (b"{", "JSON")):
        if start.startswith(mark):
            what = f"it is no pickle but {name}"
    reason = what if data else "it is empty"
    return DataError("gt.format", path, reason, fix="download it again")


def _lists(path: Path, found: Any) -> tuple[list[str], list[str], list[Any]]:
    """`imlist`, `qimlist` and `gnd`, as long as each other where they must be."""
    if not isinstance(found, dict):
        raise DataError("gt.format", path, "it is no dict of imlist, qimlist and gnd")
    for key in ("imlist", "qimlist", "gnd"):
        if not isinstance(found.get(key), list) or not found[key]:
            raise DataError("gt.key", path, f"it has no list {key!r}, or an empty one")
    names, queries = (_names(path, key, found[key]) for key in ("imlist", "qimlist"))
    if len(found["gnd"]) != len(queries):
        reason = f"it has {len(queries)} queries, but 'gnd' describes {len(found['gnd'])}"
        raise DataError("gt.key", path, reason)
    return names, queries, found["gnd"]


def _names(path: Path, key: str, values: list[Any]) -> list[str]:
    names = [each.decode("latin-1") if isinstance(each, bytes) else each for each in values]
    if not all(isinstance(name, str) and name for name in names):
        raise DataError("gt.key", path, f"{key!r} has an element that is no name")
    if len(set(names)) != len(names):
        raise DataError("gt.key", path, f"{key!r} has a name twice")
    if any("\0" in name or ".." in name.split("/") or name.startswith("/") for name in names):
        raise DataError("gt.key", path, f"{key!r} has a name that leads out of the folder")
    return names


def _query(path: Path, number: int, row: Any, count: int) -> tuple[Box, dict[str, Ids]]:
    for key in ("bbx", *PARTS):
        if not isinstance(row, dict) or not isinstance(row.get(key), list | tuple):
            raise DataError("gt.key", path, f"query {number} has no list {key!r}")
    parts = {part: _positions(path, number, part, row[part], count) for part in PARTS}
    everything = np.concatenate(list(parts.values()))
    if len(np.unique(everything)) != len(everything):
        reason = f"query {number} has an image twice, or in two of easy, hard and junk"
        raise DataError("gt.index", path, reason)
    return _box(path, number, row["bbx"]), parts


def _positions(path: Path, number: int, part: str, values: Sequence[Any], count: int) -> Ids:
    for value in values:
        if type(value) is not int or not 0 <= value < count:
            reason = (
                f"query {number} has {str(value)[:40]!r} in {part!r}, expected 0 to {count - 1}"
            )
            raise DataError("gt.index", path, reason)
    return np.sort(np.array(values, np.int64))


def _box(path: Path, number: int, values: Sequence[Any]) -> Box:
    try:
        left, top, right, bottom = (float(value) for value in values)
    except (TypeError, ValueError) as exc:
        reason = f"query {number} has a 'bbx' that is no four numbers"
        raise DataError("gt.box", path, reason) from exc
    finite = all(math.isfinite(value) for value in (left, top, right, bottom))
    if not finite or right <= left or bottom <= top or right <= 0 or bottom <= 0:
        reason = f"query {number} has the box {values!s:.80}, in which nothing lies"
        raise DataError("gt.box", path, reason)
    return left, top, right, bottom
