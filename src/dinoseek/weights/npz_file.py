"""The tensors of a NumPy .npz archive: sizes are checked before unpacking, objects never loaded."""

import json
import zipfile
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from dinoseek.errors import WeightsError
from dinoseek.vit.ops import Array
from dinoseek.weights.stored import (
    Shape,
    StoredTensor,
    read_exactly,
    read_floats,
    refusing,
)
from dinoseek.weights.zip_archive import open_zip

CONFIG_ENTRY = "__dinoseek_config__"
MAX_CONFIG_BYTES = 1 << 16
# Trained weights hardly compress; those of float16 kept as float32 halve, and a few zeros vanish.
MAX_COMPRESSION = 20
SMALL_BYTES = 1 << 26
DTYPES = {"f2": "F16", "f4": "F32", "f8": "F64"}


def read_npz(path: Path, file: IO[bytes]) -> tuple[list[StoredTensor], dict[str, str]]:
    """The arrays and our own metadata of `file`, which must stay open while the arrays are read."""
    with refusing(path, ".npz"):
        archive = open_zip(path, file)
        refuse_bomb(path, archive)
        metadata: dict[str, str] = {}
        tensors = []
        for entry in archive.infolist():
            name = entry.filename.removesuffix(".npy")
            if name == CONFIG_ENTRY:
                metadata = read_metadata(archive, entry)
            else:
                tensors.append(stored_array(path, archive, entry, name))
        return tensors, metadata


def refuse_bomb(path: Path, archive: zipfile.ZipFile) -> None:
    """Compares what the entries claim to unpack to with what lies in the file, before unpacking."""
    claimed = sum(entry.file_size for entry in archive.infolist())
    packed = sum(entry.compress_size for entry in archive.infolist())
    if claimed > max(SMALL_BYTES, MAX_COMPRESSION * packed):
        reason = f"{packed} bytes claim to unpack to {claimed}, which no trained weights do"
        raise WeightsError("weights.too_large", path, reason, fix="download or copy it again")


def read_metadata(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> dict[str, str]:
    with archive.open(entry) as stream:
        shape, _, dtype = read_npy_header(stream)
        if dtype != np.uint8 or prod(shape) > MAX_CONFIG_BYTES:
            raise ValueError(f"{CONFIG_ENTRY} is no text")
        metadata = json.loads(read_exactly(stream, prod(shape)))
    if not isinstance(metadata, dict):
        raise ValueError(f"{CONFIG_ENTRY} is no JSON object")
    return {str(key): str(value) for key, value in metadata.items()}


def stored_array(
    path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str
) -> StoredTensor:
    with archive.open(entry) as stream:
        shape, fortran, dtype = read_npy_header(stream)
        header = stream.tell()
    if dtype.hasobject:
        reason = f"{name} holds pickled objects, which are never loaded"
        fix = "save plain float arrays with np.savez"
        raise WeightsError("weights.pickle", path, reason, fix=fix)
    nbytes = prod(shape) * dtype.itemsize
    if min(shape, default=1) < 0 or header + nbytes != entry.file_size:
        raise ValueError(
            f"{name} has {entry.file_size} bytes, which its shape {shape} does not take"
        )

    def read_into(out: Array) -> None:
        with refusing(path, ".npz"), archive.open(entry) as values:
            read_exactly(values, header)
            read_array(values, dtype, out, fortran=fortran)
            values.read(1)  # the archive's checksum is compared at the entry's end

    code = DTYPES.get(dtype.str[1:], dtype.name)
    return StoredTensor(name=name, shape=shape, dtype=code, nbytes=nbytes, read_into=read_into)


def read_npy_header(stream: Any) -> tuple[Shape, bool, np.dtype[Any]]:
    """Shape, column-first order and dtype; NumPy limits the length and reads literals only."""
    version = npy_format.read_magic(stream)
    match version:
        case (1, 0):
            return npy_format.read_array_header_1_0(stream)
        case (2, 0):
            return npy_format.read_array_header_2_0(stream)
        case _:
            raise ValueError(f"unknown .npy version {version}")


def read_array(stream: IO[bytes], dtype: np.dtype[Any], out: Array, *, fortran: bool) -> None:
    if not fortran:
        read_floats(stream, dtype, out)
        return
    columns: NDArray[np.float32] = np.empty(out.shape[::-1], np.float32)
    read_floats(stream, dtype, columns)
    out[...] = columns.T
