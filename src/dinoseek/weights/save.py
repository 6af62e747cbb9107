"""Writes parameters and their configuration to safetensors or .npz, whole or not at all."""

import json
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

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
StoredFloat = Literal["float32", "float16"]


def save_params(
    path: str | Path,
    params: Params,
    config: ViTConfig,
    *,
    dtype: StoredFloat = "float32",
    metadata: dict[str, str] | None = None,
) -> None:
    """Writes `params` under Facebook's names to a .safetensors or .npz file, replacing it at once.

    Raises UsageError for another suffix, WeightsError for values that float16 cannot hold, and
    MachineError if the disk refuses.
    """
    path = Path(path)
    refuse_suffix(path)
    texts = {**(metadata or {}), CONFIG_KEY: json.dumps(config.as_dict())}
    tensors = converted(path, params, dtype)
    with replacing(path) as temporary:
        if path.suffix == ".safetensors":
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
    """The flat tensors in `dtype`; float32 ones are not copied."""
    tensors = {}
    for name, value in flatten(params).items():
        with np.errstate(over="ignore"):
            tensors[name] = np.ascontiguousarray(value, dtype)
        if not np.isfinite(tensors[name].max()) or not np.isfinite(tensors[name].min()):
            reason = f"{name} has values that {dtype} cannot hold"
            raise WeightsError("weights.nonfinite", path, reason)
    return tensors


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
