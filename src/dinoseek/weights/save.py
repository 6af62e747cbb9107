"""Writes parameters and their configuration to safetensors or .npz, whole or not at all."""

import json
import os
import secrets
import stat
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import save_file

from dinoseek.errors import MachineError, UsageError, WeightsError
from dinoseek.vit.config import ViTConfig
from dinoseek.vit.ops import Params
from dinoseek.weights.naming import flatten
from dinoseek.weights.npz_file import CONFIG_ENTRY

CONFIG_KEY = "dinoseek.config"
PREPROCESS_KEY = "dinoseek.preprocess"  # how pictures were prepared when the model learnt
StoredFloat = Literal["float32", "float16", "bfloat16"]


def save_params(
    path: str | Path,
    params: Params,
    config: ViTConfig,
    *,
    dtype: StoredFloat = "float32",
    metadata: dict[str, str] | None = None,
) -> None:
    """Writes `params` under Facebook's names to a .safetensors or .npz file, replacing it at once.

    Raises UsageError for another suffix, and for bfloat16 in .npz, which has none; WeightsError for
    values that `dtype` cannot hold, and MachineError if the disk refuses.
    """
    path = Path(path)
    refuse_suffix(path)
    if dtype == "bfloat16" and path.suffix == ".npz":
        fix = "name it .safetensors"
        raise UsageError("weights.bfloat16", path, "NumPy's files know no bfloat16", fix=fix)
    texts = {**(metadata or {}), CONFIG_KEY: json.dumps(config.as_dict())}
    tensors = converted(path, params, dtype)
    with replacing(path) as temporary:
        if dtype == "bfloat16":
            write_bfloat16(temporary, tensors, texts)
        elif path.suffix == ".safetensors":
            save_file(tensors, temporary, metadata=texts)
        else:
            tensors[CONFIG_ENTRY] = np.frombuffer(json.dumps(texts).encode(), np.uint8)
            with temporary.open("wb") as file:
                np.savez(file, **tensors)  # type: ignore[arg-type]  # names are free


def refuse_suffix(path: Path) -> None:
    if path.suffix not in (".safetensors", ".npz"):
        fix = "name it .safetensors or .npz"
        raise UsageError("weights.suffix", path, "is no name for weights to write", fix=fix)


def converted(path: Path, params: Params, dtype: str) -> dict[str, NDArray[np.floating]]:
    """The flat tensors in `dtype`, or rounded to bfloat16; float32 ones are not copied."""
    tensors = {}
    for name, value in flatten(params).items():
        tensors[name] = as_stored(value, dtype)
        if not np.isfinite(tensors[name].max()) or not np.isfinite(tensors[name].min()):
            reason = f"{name} has values that {dtype} cannot hold"
            raise WeightsError("weights.nonfinite", path, reason)
    return tensors


def as_stored(values: object, dtype: str) -> NDArray[np.floating]:
    """The values in `dtype`; for bfloat16, which NumPy lacks, the float32 nearest that it can hold.

    What is too large becomes infinite.
    """
    with np.errstate(over="ignore"):
        if dtype != "bfloat16":
            return np.ascontiguousarray(values, dtype)
        bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
        odd = (bits >> np.uint32(16)) & np.uint32(1)
        rounded = bits + (odd + np.uint32(0x7FFF))  # to the nearest, ties to even
        return (rounded & np.uint32(0xFFFF0000)).view(np.float32)


def write_bfloat16(
    path: Path, tensors: Mapping[str, NDArray[np.floating]], texts: Mapping[str, str]
) -> None:
    """Writes float32 tensors that bfloat16 can hold; safetensors would need another library to."""
    header: dict[str, Any] = {"__metadata__": dict(texts)}
    end = 0
    for name, value in tensors.items():
        start, end = end, end + 2 * value.size
        header[name] = {"dtype": "BF16", "shape": value.shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # values begin where a mapped file can be read at once
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for value in tensors.values():
            upper = value.view(np.uint32) >> np.uint32(16)  # a bfloat16 is that of a float32
            file.write(upper.astype("<u2").tobytes())


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` whose file takes its place, durably, if the block succeeds."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        temporary.touch(exist_ok=False)
        mode = temporary.stat().st_mode  # as the user's umask wants it; writers may narrow it
        yield temporary
        temporary.chmod(stat.S_IMODE(mode))
        sync(temporary)
        temporary.replace(path)
        if os.name == "posix":  # elsewhere a folder cannot be opened to be synced
            sync(path.parent)
    except (OSError, SafetensorError) as exc:
        reason = f"cannot be written ({getattr(exc, 'strerror', None) or exc})"
        fix = "check the folder, its permissions and the space on the disk"
        raise MachineError("weights.unwritable", path, reason, fix=fix) from exc
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
