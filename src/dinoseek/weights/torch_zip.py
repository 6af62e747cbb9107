"""The tensors of a PyTorch checkpoint (.pth, .pt, .bin), read without PyTorch.

Such a file is a zip archive: `<root>/data.pkl` describes the tensors, `<root>/data/<key>` holds
their values, uncompressed. Nested dicts become dotted names, so the wrapper of a training
checkpoint is a prefix like any other.
"""

import os
import struct
import zipfile
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.lib.stride_tricks import as_strided

from dinoseek.errors import WeightsError
from dinoseek.vit.ops import Array
from dinoseek.weights.pickle_reader import MAX_BYTES, Storage, TensorView, read_pickle
from dinoseek.weights.stored import (
    BLOCK_BYTES,
    FLOATS,
    StoredTensor,
    read_exactly,
    read_floats,
    refusing,
)
from dinoseek.weights.zip_archive import open_zip

BYTES_PER_VALUE = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2}
LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
MAX_OBJECTS = 200_000
MAX_NAME = 500


def read_torch_zip(path: Path, file: IO[bytes]) -> list[StoredTensor]:
    """The tensors in `file`, which must stay open while they are read."""
    with refusing(path, "PyTorch"):
        archive = open_zip(path, file)
        root = root_folder(path, archive)
        tree = read_pickle(path, read_entry(archive, f"{root}data.pkl", MAX_BYTES))
        reader = StorageReader(path, file, archive, root)
        return [reader.stored_tensor(name, view) for name, view in views(tree)]


def legacy(path: Path) -> WeightsError:
    reason = "is an old PyTorch file from before 1.6, whose values cannot be told from its code"
    fix = "convert to safetensors where PyTorch is installed"
    return WeightsError("weights.format", path, reason, fix=fix)


def root_folder(path: Path, archive: zipfile.ZipFile) -> str:
    """The one folder of the archive that holds data.pkl, with its slash."""
    names = archive.namelist()
    pickles = [name for name in names if name == "data.pkl" or name.endswith("/data.pkl")]
    if any(name.rpartition("/")[2] == "constants.pkl" for name in names):
        reason = "is a TorchScript program, not weights"
    elif len(pickles) != 1:
        reason = f"holds {len(pickles)} descriptions of tensors (data.pkl), expected 1"
    else:
        return pickles[0].removesuffix("data.pkl")
    fix = "convert to safetensors where PyTorch is installed"
    raise WeightsError("weights.format", path, reason, fix=fix)


def read_entry(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    """A whole small entry; the archive's checksum is compared on the way."""
    entry = archive.getinfo(name)
    if entry.file_size > limit:
        raise ValueError(f"{name} has {entry.file_size} bytes, more than {limit}")
    with archive.open(entry) as stream:
        return stream.read(limit)


def byte_order(archive: zipfile.ZipFile, root: str) -> Literal["<", ">"]:
    name = f"{root}byteorder"
    order = read_entry(archive, name, 16) if name in archive.NameToInfo else b"little"
    if order not in (b"little", b"big"):
        raise ValueError("its byteorder is neither little nor big")
    return "<" if order == b"little" else ">"


def views(tree: Any) -> Iterator[tuple[str, TensorView]]:
    """Every tensor in nested dicts under its dotted name; numbers, text and lists are left out."""
    pending, met = [("", tree)], 1
    while pending:
        name, node = pending.pop()
        # A dict that is shared many times over, or holds itself, counts as often as it is met.
        met += len(node) if isinstance(node, dict) else 0
        if met > MAX_OBJECTS or len(name) > MAX_NAME:
            raise ValueError("it holds too many objects, or objects within themselves")
        if isinstance(node, TensorView):
            yield name, node
        elif isinstance(node, dict):
            prefix = f"{name}." if name else ""
            pending += [(f"{prefix}{key}", child) for key, child in node.items()]


def refuse_outside_view(name: str, view: TensorView) -> None:
    """Bounds what a tensor may claim: inside its storage, and no larger than it."""
    sides = zip(view.shape, view.strides, strict=True)
    last = view.offset + sum((side - 1) * stride for side, stride in sides)
    numel = view.storage.numel
    if 0 in view.shape or last >= numel or prod(view.shape) > numel:
        raise ValueError(f"{name} of shape {view.shape} does not fit its storage of {numel} values")


class StorageReader:
    """Reads tensors out of one archive; compares each storage's checksum at its first use."""

    def __init__(self, path: Path, file: IO[bytes], archive: zipfile.ZipFile, root: str) -> None:
        self.path, self.file, self.archive, self.root = path, file, archive, root
        self.order = byte_order(archive, root)
        self.checked: set[str] = set()

    def stored_tensor(self, name: str, view: TensorView) -> StoredTensor:
        refuse_outside_view(name, view)
        entry = self.entry(view.storage)

        def read_into(out: Array) -> None:
            with refusing(self.path, "PyTorch"):
                self.check(entry)
                self.file.seek(data_start(self.file, entry))
                self.read_view(view, out)

        dtype = view.storage.dtype
        nbytes = prod(view.shape) * BYTES_PER_VALUE.get(dtype, 1)
        return StoredTensor(
            name=name, shape=view.shape, dtype=dtype, nbytes=nbytes, read_into=read_into
        )

    def entry(self, storage: Storage) -> zipfile.ZipInfo:
        entry = self.archive.getinfo(f"{self.root}data/{storage.key}")
        size = storage.numel * BYTES_PER_VALUE.get(storage.dtype, 1)
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != size:
            raise ValueError(f"storage {storage.key} has {entry.file_size} bytes, expected {size}")
        return entry

    def check(self, entry: zipfile.ZipInfo) -> None:
        if entry.filename in self.checked:
            return
        with self.archive.open(entry) as stream:
            while stream.read(BLOCK_BYTES):
                pass  # the checksum is compared at the end
        self.checked.add(entry.filename)

    def read_view(self, view: TensorView, out: Array) -> None:
        """Reads only the part of the storage, at which the file stands, that the view spans."""
        dtype = view.storage.dtype
        stored = np.dtype(FLOATS[dtype]).newbyteorder(self.order)
        self.file.seek(view.offset * stored.itemsize, os.SEEK_CUR)
        if is_contiguous(view):
            read_floats(self.file, stored, out, bfloat16=dtype == "BF16")
            return
        sides = zip(view.shape, view.strides, strict=True)
        span = np.empty(1 + sum((side - 1) * stride for side, stride in sides), np.float32)
        read_floats(self.file, stored, span, bfloat16=dtype == "BF16")
        steps = tuple(span.itemsize * stride for stride in view.strides)
        out[...] = as_strided(span, view.shape, steps, writeable=False)


def is_contiguous(view: TensorView) -> bool:
    expected = 1
    for side, stride in zip(reversed(view.shape), reversed(view.strides), strict=True):
        if side > 1 and stride != expected:
            return False
        expected *= side
    return True


def data_start(file: IO[bytes], entry: zipfile.ZipInfo) -> int:
    """Where an uncompressed entry's bytes begin: after its local header, name and padding."""
    file.seek(entry.header_offset)
    name_length, extra_length = struct.unpack_from("<HH", read_exactly(file, 30), 26)
    return int(entry.header_offset + 30 + name_length + extra_length)
