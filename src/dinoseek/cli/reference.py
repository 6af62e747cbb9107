"""Reference features: a .npy or .npz file of one array (images, dim), read with suspicion."""

import math
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from dinoseek.errors import MachineError, UsageError, printable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dinoseek.embedder import Embedder

MAX_BYTES = 256_000_000


def read_reference(path: Path) -> "NDArray[np.floating] | None":
    """Reference features (m, dim) of a .npy or .npz file; None if there is no such file.

    Raises UsageError for a file that holds something else, MachineError for one that cannot be
    read. Nothing pickled is loaded, and no array is allocated before its size is checked.
    """
    import numpy as np

    if not path.exists():
        return None
    if not path.is_file() or path.suffix.lower() not in (".npy", ".npz"):
        fix = "name a .npy or .npz file first, or use --no-reference"
        raise UsageError("verify.reference", path, "is no reference file", fix=fix)
    try:
        found = _from_npz(path) if path.suffix.lower() == ".npz" else _from_npy(path)
    except OSError as exc:
        raise MachineError("path.unreadable", path, exc.strerror or str(exc)) from exc
    except (ValueError, EOFError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as exc:
        detail = printable(str(exc).splitlines()[0][:120]) if str(exc) else "it is damaged"
        raise UsageError(
            "verify.reference", path, f"cannot be read as an array ({detail})"
        ) from exc
    if not len(found) or not np.isfinite(found).all():
        raise UsageError("verify.reference", path, "has no rows, or values that are no numbers")
    return found


def _from_npy(path: Path) -> "NDArray[np.floating]":
    with path.open("rb") as file:
        return _array(file, path)


def _from_npz(path: Path) -> "NDArray[np.floating]":
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if len(names) != 1:
            reason = f"has {len(names)} arrays, expected one"
            raise UsageError("verify.reference", path, reason)
        with archive.open(names[0]) as file:
            return _array(file, path)


def _array(file: Any, path: Path) -> "NDArray[np.floating]":
    import numpy as np

    shape, _, dtype = _header(file)
    if len(shape) != 2 or dtype.kind != "f":
        reason = f"holds {dtype} of shape {shape}, expected floats (images, dim)"
        raise UsageError("verify.reference", path, reason)
    if math.prod(shape) * dtype.itemsize > MAX_BYTES:
        reason = f"holds {math.prod(shape) * dtype.itemsize / 1e6:.0f} MB"
        fix = f"the limit is {MAX_BYTES / 1e6:.0f} MB"
        raise UsageError("verify.reference", path, reason, fix=fix)
    file.seek(0)
    array: NDArray[np.floating] = np.lib.format.read_array(file, allow_pickle=False)
    return array


def _header(file: BinaryIO) -> "tuple[tuple[int, ...], bool, np.dtype[Any]]":
    from numpy.lib import format as npy

    version = npy.read_magic(file)
    if version == (1, 0):
        return npy.read_array_header_1_0(file)
    if version == (2, 0):
        return npy.read_array_header_2_0(file)
    raise ValueError(f"format {version[0]}.{version[1]} of .npy is not for plain numbers")


def check_rows(path: str, reference: "NDArray[np.floating]", images: int) -> None:
    if len(reference) != images:
        reason = f"has {len(reference)} rows for {images} images"
        fix = "name one image for each row, in the order of the rows"
        raise UsageError("verify.rows", path, reason, fix=fix)


def check_dim(path: str, reference: "NDArray[np.floating]", embedder: "Embedder") -> None:
    if reference.shape[1] != embedder.dim:
        made = embedder.fingerprint.describe()
        reason = f"its rows have {reference.shape[1]} values, those of {made} have {embedder.dim}"
        fix = "choose the model and pooling that made it"
        raise UsageError("verify.dim", path, reason, fix=fix)
