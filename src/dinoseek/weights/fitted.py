"""What was fitted on a gallery (a PCA, a vocabulary): a safetensors file with a digest.

A copy of what is used lies in the user's cache under its digest, so that a gallery whose vectors
need it can be searched without naming the file again.
"""

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import platformdirs
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from dinoseek.errors import DinoseekError, MachineError, UsageError, WeightsError
from dinoseek.vit.ops import Array
from dinoseek.weights.save import replacing

FORMAT = 1
SUFFIX = ".safetensors"
MAX_BYTES = 1 << 30

_KEY = "dinoseek.fitted"
_CACHE = "fitted"


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """Arrays by name, and facts: whole numbers, texts and truths. `kind` is "pca" or "vlad"."""

    kind: str
    facts: Mapping[str, Any]
    arrays: Mapping[str, Array]

    @cached_property
    def digest(self) -> str:
        """SHA-256 over kind, facts, and the arrays' names, shapes and values."""
        found = hashlib.sha256(_header(self).encode())
        for name, array in sorted(self.arrays.items()):
            found.update(json.dumps([name, array.shape]).encode() + b"\n")
            found.update(np.ascontiguousarray(array, "<f4").data)
        return found.hexdigest()


def _header(fitted: Fitted) -> str:
    content = {"format": FORMAT, "kind": fitted.kind, "facts": dict(fitted.facts)}
    return json.dumps(content, sort_keys=True)


def save_fitted(path: Path, fitted: Fitted, *, force: bool = False) -> None:
    """Writes a fitted thing whole or not at all; another file is replaced only with `force`."""
    if path.suffix != SUFFIX:
        raise UsageError("fitted.suffix", path, "is no name to write", fix=f"name it {SUFFIX}")
    if path.exists() and not force:
        raise UsageError("file.exists", path, "is there already", fix="use --force to replace it")
    arrays = {name: np.ascontiguousarray(each, "<f4") for name, each in fitted.arrays.items()}
    with replacing(path) as temporary:
        save_file(arrays, temporary, metadata={_KEY: _header(fitted)})


def load_fitted(path: Path, kind: str, cache_dir: Path | None = None) -> Fitted:
    """Reads a fitted thing of this kind, and keeps a copy of it in `cache_dir`.

    Raises MachineError for a file that is not there, WeightsError fitted.* for another one.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            _refuse(path, "it is far too large to have been fitted here")
        with safe_open(path, framework="numpy") as file:
            said = json.loads((file.metadata() or {}).get(_KEY, "{}"))
            arrays = {name: np.asarray(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
    except OSError as exc:
        raise MachineError("path.unreadable", path, exc.strerror or str(exc)) from exc
    except (SafetensorError, ValueError, TypeError, KeyError) as exc:
        _refuse(path, f"it cannot be read ({str(exc)[:80]})")
    fitted = _checked(path, said, arrays, kind)
    with suppress(DinoseekError, OSError):  # a cache that cannot be written is merely not used
        _keep(fitted, cache_dir)
    return fitted


def fitted_with_digest(digest: str, cache_dir: Path | None = None) -> Path | None:
    """The copy of what has this digest, if one was kept."""
    path = _kept(digest, cache_dir)
    return path if path.exists() else None


def _checked(path: Path, said: Any, arrays: dict[str, Any], kind: str) -> Fitted:
    if not isinstance(said, dict) or "kind" not in said:
        _refuse(path, "it is no file that dinoseek fit wrote")
    if said.get("format") != FORMAT or not isinstance(said.get("facts"), dict):
        _refuse(path, "it was written by a newer version of dinoseek")
    if said["kind"] != kind:
        _refuse(path, f"it was fitted for {said['kind']}, not for {kind}", code="fitted.kind")
    for name, array in arrays.items():
        if array.dtype != np.float32 or not np.isfinite(array).all():
            _refuse(path, f"{name} has values that are no finite float32")
    return Fitted(kind=kind, facts=said["facts"], arrays=arrays)


def _refuse(path: Path, reason: str, *, code: str = "fitted.corrupt") -> NoReturn:
    raise WeightsError(code, path, reason, fix="fit it again with dinoseek fit")


def _keep(fitted: Fitted, cache_dir: Path | None) -> None:
    path = _kept(fitted.digest, cache_dir)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        save_fitted(path, fitted, force=True)


def _kept(digest: str, cache_dir: Path | None) -> Path:
    folder = cache_dir or platformdirs.user_cache_path("dinoseek")
    return folder / _CACHE / f"{digest}{SUFFIX}"
