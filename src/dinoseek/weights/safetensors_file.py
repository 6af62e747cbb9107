"""The tensors of a safetensors file: checked by the safetensors library, read without a mapping.

A mapped file that shrinks while it is read kills the process, and its pages count as memory in
use next to the copy that the engine needs.
"""

import json
import struct
from math import prod
from pathlib import Path
from typing import IO, Any

from safetensors import SafetensorError, safe_open

from dinoseek.errors import WeightsError
from dinoseek.vit.ops import Array
from dinoseek.weights.stored import FLOATS, StoredTensor, read_exactly, read_floats, refusing

# The giant model's header has 60 kB; the format itself would allow 100 MB of JSON.
MAX_HEADER_BYTES = 4_000_000


def read_safetensors(path: Path, file: IO[bytes]) -> tuple[list[StoredTensor], dict[str, str]]:
    """The tensors and the metadata of `file`, which must stay open while the tensors are read."""
    with refusing(path, "safetensors"):
        header, data_start = read_header(path, file)
        validate(path)
        entries = json.loads(header, object_pairs_hook=without_duplicates)
        metadata = entries.pop("__metadata__", {})
        tensors = [
            stored_tensor(name, entry, file, data_start, path) for name, entry in entries.items()
        ]
        return tensors, metadata


def read_header(path: Path, file: IO[bytes]) -> tuple[bytes, int]:
    file.seek(0)
    (size,) = struct.unpack("<Q", read_exactly(file, 8))
    if size > MAX_HEADER_BYTES:
        reason = f"its header claims {size} bytes, more than the limit of {MAX_HEADER_BYTES}"
        raise WeightsError("weights.corrupt", path, reason, fix="download or copy it again")
    return read_exactly(file, size), 8 + size


def validate(path: Path) -> None:
    """Lets the library check offsets, sizes and gaps; it reads the header only."""
    try:
        with safe_open(path, framework="numpy"):
            pass
    except SafetensorError as exc:
        raise ValueError(str(exc).removeprefix("Error while deserializing header: ")) from exc


def without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Builds a JSON object, but refuses one that says two things under one name."""
    result = dict(pairs)
    if len(result) < len(pairs):
        raise ValueError("a name appears twice in the header")
    return result


def stored_tensor(
    name: str, entry: dict[str, Any], file: IO[bytes], data_start: int, path: Path
) -> StoredTensor:
    begin, end = entry["data_offsets"]
    dtype, shape = entry["dtype"], tuple(entry["shape"])

    def read_into(out: Array) -> None:
        with refusing(path, "safetensors"):
            file.seek(data_start + begin)
            read_floats(file, FLOATS[dtype], out, bfloat16=dtype == "BF16")

    if dtype in FLOATS and prod(shape) * {"F64": 8, "F32": 4}.get(dtype, 2) != end - begin:
        raise ValueError(f"{name} has {end - begin} bytes, which its shape {shape} does not take")
    return StoredTensor(
        name=name, shape=shape, dtype=dtype, nbytes=end - begin, read_into=read_into
    )
