"""Writes exports as NumPy arrays: .npy beside .json, or .npz with features and paths."""

import json
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from dinoseek.gallery.base import JSON
from dinoseek.interchange.exporting import Exported, Row


def write_npy(path: Path, exported: Exported) -> None:
    """Writes the vectors (images, dim) of an export."""
    with path.open("wb") as file:
        _write_vectors(file, exported)


def write_json(path: Path, exported: Exported) -> None:
    """Writes what is known of each image, in the order of the vectors, as a list of objects."""
    with path.open("w", encoding="utf-8") as file:
        opening = "[\n"
        for rows in exported.facts():
            for row in rows:
                file.write(opening + json.dumps(_said(row), ensure_ascii=False))
                opening = ",\n"
        file.write("\n]\n")


def _said(row: Row) -> dict[str, JSON]:
    """An image as the list has it: its address and path where it has both, caption, metadata."""
    address = {"url": row["url"]} if row["url"] else {}
    path = {"path": row["path"]} if row["path"] != row["url"] else {}
    return {**row["metadata"], **address, **path, "caption": row["caption"] or ""}


def write_npz(path: Path, exported: Exported) -> None:
    """Writes `features` (images, dim) and `paths` (images,), which are addresses where need be."""
    longest = max(len(row["path"]) for rows in exported.facts() for row in rows)
    with zipfile.ZipFile(path, "w") as archive:
        with archive.open("features.npy", "w", force_zip64=True) as file:
            _write_vectors(file, exported)
        with archive.open("paths.npy", "w", force_zip64=True) as file:
            dtype = np.dtype(f"<U{max(longest, 1)}")
            _write_header(file, (exported.rows,), dtype)
            for rows in exported.facts():
                file.write(np.array([row["path"] for row in rows], dtype).tobytes())


def _write_vectors(file: IO[bytes], exported: Exported) -> None:
    _write_header(file, (exported.rows, exported.fingerprint.dim), np.dtype("<f4"))
    for _, vectors in exported.batches():
        file.write(np.ascontiguousarray(vectors, "<f4").tobytes())


def _write_header(file: IO[bytes], shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    header = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    npy.write_array_header_1_0(file, header)
