"""One tensor as it lies in a file; its values are read as float32, block by block."""

import io
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import DTypeLike, NDArray

from dinoseek.errors import DinoseekError, MachineError, WeightsError, printable
from dinoseek.vit.ops import Array

Shape = tuple[int, ...]
FLOATS: dict[str, DTypeLike] = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
BLOCK_BYTES = 1 << 22
# Where they exist: not waiting for the other end of a pipe, and not translating line ends.
READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


@dataclass(frozen=True, kw_only=True)
class StoredTensor:
    """A tensor's name, shape and dtype (safetensors' words: F32, F16, BF16, F64, I64 ...).

    `read_into` fills a C-contiguous float32 array of the tensor's shape; `nbytes` is what the
    values take up in the file once unpacked.
    """

    name: str
    shape: Shape
    dtype: str
    nbytes: int
    read_into: Callable[[Array], None]


def open_regular(path: Path) -> IO[bytes]:
    """Opens a regular file for reading; never waits for a pipe, never opens a device."""
    try:
        descriptor = os.open(path, READ)
    except FileNotFoundError as exc:
        raise missing_file(path) from exc
    except OSError as exc:
        reason = f"cannot be read ({exc.strerror})"
        raise MachineError("weights.unreadable", path, reason, fix="check its permissions") from exc
    file = os.fdopen(descriptor, "rb")
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        file.close()
        raise WeightsError("weights.format", path, "is not a regular file")
    return file


def missing_file(path: Path) -> MachineError:
    fix = "`dinoseek models list` shows the models that can be downloaded"
    return MachineError("weights.missing", path, "there is no such weights file", fix=fix)


@contextmanager
def refusing(path: Path, kind: str) -> Iterator[None]:
    """Turns whatever a parser raises on damaged or hostile bytes into one WeightsError."""
    try:
        yield
    except DinoseekError:
        raise
    except Exception as exc:
        detail = printable((str(exc) or type(exc).__name__)[:200])
        reason = f"damaged or no valid {kind} file ({detail})"
        fix = "download or copy it again"
        raise WeightsError("weights.corrupt", path, reason, fix=fix) from exc


def read_floats(stream: IO[bytes], dtype: DTypeLike, out: Array, *, bfloat16: bool = False) -> None:
    """Fills float32 `out` (any shape, C-contiguous) with the next values of `stream`."""
    stored = np.dtype(dtype)
    flat = out.reshape(-1)
    step = BLOCK_BYTES // stored.itemsize
    for start in range(0, flat.size, step):
        part = flat[start : start + step]
        block = np.frombuffer(read_exactly(stream, part.size * stored.itemsize), stored)
        put_floats(block, part, bfloat16=bfloat16)


def put_floats(block: NDArray[np.generic], out: Array, *, bfloat16: bool = False) -> None:
    """Writes stored values into float32 `out` of that shape; what overflows becomes infinite."""
    if bfloat16:  # a bfloat16 is the upper half of a float32
        np.left_shift(
            block, np.uint32(16), out=out.view(np.uint32), dtype=np.uint32, casting="unsafe"
        )
    else:
        with np.errstate(over="ignore", invalid="ignore"):
            out[...] = block


def read_exactly(stream: IO[bytes], size: int) -> bytes:
    """The next `size` bytes; a file that ends earlier raises EOFError."""
    data = stream.read(size)
    if len(data) == size:
        return data
    buffer = io.BytesIO()
    while data:
        buffer.write(data)
        data = stream.read(size - buffer.tell())
    if buffer.tell() < size:
        raise EOFError(f"the file ends {size - buffer.tell()} bytes too early")
    return buffer.getvalue()
