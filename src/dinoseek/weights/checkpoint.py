"""A checkpoint on disk, whatever its container: a file, a sharded set, or a folder with one."""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from dinoseek.errors import MachineError, WeightsError, printable
from dinoseek.weights.npz_file import read_npz
from dinoseek.weights.safetensors_file import read_safetensors
from dinoseek.weights.stored import Shape, StoredTensor, open_regular, refusing
from dinoseek.weights.torch_zip import LEGACY_MAGIC, legacy, read_torch_zip
from dinoseek.weights.zip_archive import open_zip

INDEX_SUFFIX = ".index.json"
FOLDER_NAMES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
KINDS = {
    ".safetensors": "safetensors",
    ".npz": "npz",
    ".pth": "torch",
    ".pt": "torch",
    ".bin": "torch",
}
MAX_JSON_BYTES = 4_000_000
MAX_SHARDS = 200  # all are open at once


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """The tensors of a checkpoint by name, still in their open files, and our own metadata."""

    path: Path
    files: tuple[Path, ...]
    container: str
    tensors: dict[str, StoredTensor]
    metadata: dict[str, str]

    @property
    def shapes(self) -> dict[str, Shape]:
        return {name: tensor.shape for name, tensor in self.tensors.items()}


@contextmanager
def open_checkpoint(path: Path) -> Iterator[Checkpoint]:
    """Opens weights to be read one by one; a file that changes meanwhile is refused at the end."""
    main, files = checkpoint_files(path)
    with ExitStack() as stack:
        parts, before = [], []
        for name in files:
            file = stack.enter_context(open_regular(name))
            before.append((name, file, identity(file)))
            parts.append(read_file(name, file))
        tensors = [tensor for _, found, _ in parts for tensor in found]
        yield Checkpoint(
            path=main,
            files=files,
            container=parts[0][0],
            tensors=unique(main, tensors),
            metadata={key: text for _, _, metadata in parts for key, text in metadata.items()},
        )
        for name, file, first in before:
            if identity(file) != first:
                raise WeightsError(
                    "weights.changed", name, "changed while it was read", fix="try again"
                )


def identity(file: IO[bytes]) -> tuple[int, int]:
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns


def unique(path: Path, tensors: Iterable[StoredTensor]) -> dict[str, StoredTensor]:
    result: dict[str, StoredTensor] = {}
    for tensor in tensors:
        if tensor.name in result:
            reason = f"holds two tensors called {printable(tensor.name)[:100]}"
            raise WeightsError("weights.corrupt", path, reason)
        result[tensor.name] = tensor
    return result


def checkpoint_files(path: Path) -> tuple[Path, tuple[Path, ...]]:
    """The file that stands for a checkpoint (of a sharded one, the index), and all with tensors."""
    main = in_folder(path) if path.is_dir() else path
    return main, shards(main) if main.name.endswith(INDEX_SUFFIX) else (main,)


def in_folder(folder: Path) -> Path:
    """The weights in a folder: those of a usual name, or the only file that could be weights."""
    for name in FOLDER_NAMES:
        if (folder / name).is_file():
            return folder / name
    found = sorted(file for file in folder.iterdir() if file.suffix in KINDS and file.is_file())
    if len(found) == 1:
        return found[0]
    fix = "name the file itself"
    if found:
        names = ", ".join(printable(file.name) for file in found[:5])
        raise WeightsError(
            "weights.ambiguous", folder, f"holds several weights files ({names})", fix=fix
        )
    raise MachineError("weights.missing", folder, "is a folder without weights", fix=fix)


def shards(index: Path) -> tuple[Path, ...]:
    """The files that an index names; they lie beside it."""
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise WeightsError(
            "weights.format", index, 'has no "weight_map", so it is no index of shards'
        )
    names = sorted({str(name) for name in weight_map.values()})
    bad = [name for name in names if Path(name).name != name or name in ("", ".", "..")]
    if bad or len(names) > MAX_SHARDS:
        reason = (
            f"names {printable(bad[0])[:100]}, which is no file beside it"
            if bad
            else "names too many files"
        )
        raise WeightsError("weights.format", index, reason)
    absent = [name for name in names if not (index.parent / name).is_file()]
    if absent:
        reason = (
            f"{len(absent)} of its {len(names)} files are not here, first {printable(absent[0])}"
        )
        raise MachineError("weights.missing", index, reason, fix="download the whole set")
    return tuple(index.parent / name for name in names)


def read_json(path: Path) -> dict[str, Any]:
    """A small JSON object from a file that may be hostile."""
    with open_regular(path) as file, refusing(path, "JSON"):
        data = file.read(MAX_JSON_BYTES + 1)
        if len(data) > MAX_JSON_BYTES:
            raise ValueError(f"it has more than {MAX_JSON_BYTES} bytes")
        value = json.loads(data)
        if not isinstance(value, dict):
            raise ValueError("it is no object")
        return value


def read_file(path: Path, file: IO[bytes]) -> tuple[str, list[StoredTensor], dict[str, str]]:
    """Kind, tensors and our own metadata of one file; its first bytes decide the kind."""
    kind = container_kind(path, file)
    expected = KINDS.get(path.suffix.lower(), kind)
    if kind != expected:
        reason = f"is a {kind} file under the name of a {expected} file"
        raise WeightsError("weights.format", path, reason, fix="rename it")
    match kind:
        case "safetensors":
            return kind, *read_safetensors(path, file)
        case "npz":
            return kind, *read_npz(path, file)
        case _:
            return kind, read_torch_zip(path, file), {}


def container_kind(path: Path, file: IO[bytes]) -> str:
    head = file.read(512)
    if not head:
        raise WeightsError("weights.format", path, "is empty", fix="download or copy it again")
    if head.startswith(LEGACY_MAGIC) or head[257:262] == b"ustar":
        raise legacy(path)
    if head.startswith(b"PK"):
        return zip_kind(path, file)
    if len(head) > 8 and head[8:9] == b"{":
        return "safetensors"
    reason = "is neither safetensors nor .npz nor a PyTorch zip"
    raise WeightsError("weights.format", path, reason)


def zip_kind(path: Path, file: IO[bytes]) -> str:
    with refusing(path, "zip"):
        names = open_zip(path, file).namelist()
    if any(Path(name).name in ("data.pkl", "constants.pkl") for name in names):
        return "torch"
    if names and all(name.endswith(".npy") for name in names):
        return "npz"
    raise WeightsError("weights.format", path, "is a zip file, but of neither NumPy nor PyTorch")
