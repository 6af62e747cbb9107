"""Vectors of a data set's images kept in an .npz file: features, paths, and what made them."""

import json
import zipfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from dinoseek.errors import MachineError, UsageError
from dinoseek.evaluation.vectors import Made, Vectors
from dinoseek.interchange.arrays import header_of, rows_of

_KEY = "made"
_MAX_TEXT = 10_000


def save_features(
    path: Path, root: Path, images: Sequence[str], vectors: Vectors, *, boxes: bool
) -> None:
    """Writes the vectors that there are; `boxes` says if some are of a part of their image."""
    if path.suffix != ".npz":
        raise UsageError("export.suffix", path, "is no file of vectors", fix="name it .npz")
    there = np.flatnonzero(~vectors.missing)
    paths = np.array([str((root / images[i]).absolute()) for i in there.tolist()])
    made = np.array([json.dumps({**asdict(vectors.made), "boxes": boxes})])
    try:
        with path.open("wb") as file:
            np.savez(file, features=vectors.matrix[there], paths=paths, made=made)
    except OSError as exc:
        raise MachineError("export.unwritable", path, exc.strerror or str(exc)) from exc


def read_made(path: Path) -> tuple[Made, bool] | None:
    """What made the vectors of a file, and whether boxes were cut; None where it does not say."""
    try:
        if path.suffix != ".npz" or f"{_KEY}.npy" not in zipfile.ZipFile(path).namelist():
            return None
    except (OSError, zipfile.BadZipFile):
        return None  # whoever reads the vectors says what is wrong
    header = header_of(path, _KEY)
    if header.shape != (1,) or header.dtype.kind != "U" or header.dtype.itemsize > 4 * _MAX_TEXT:
        return None
    try:
        said = json.loads(str(next(rows_of(path, _KEY))[0]))
        scales = tuple(float(scale) for scale in said["scales"])
        names = ("model", "preprocess", "pooling", "fingerprint")
        return Made(scales=scales, **{name: str(said[name]) for name in names}), bool(said["boxes"])
    except (ValueError, TypeError, KeyError, RecursionError) as exc:
        reason = "what it says of how it was made cannot be read"
        raise UsageError("import.format", path, reason, fix="make the file again") from exc
