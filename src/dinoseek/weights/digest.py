"""The identity of weights: a hash over their values, the same in any container, and its cache."""

import hashlib
import json
import time
from pathlib import Path

import numpy as np

from dinoseek.errors import DinoseekError
from dinoseek.vit.ops import Params
from dinoseek.weights.checkpoint import checkpoint_files
from dinoseek.weights.load import load_params
from dinoseek.weights.naming import flatten
from dinoseek.weights.remembered import Remembered

CACHE_NAME = "weights-digests.json"
_DIGESTS = Remembered(name=CACHE_NAME, kind="digests")
# A file written twice within one tick of a coarse clock could keep its time stamp.
SETTLED_NS = 2_000_000_000


def params_digest(params: Params) -> str:
    """SHA-256 over the names, shapes and float32 values of `params` in the order of their names."""
    digest = hashlib.sha256()
    for name, value in sorted(flatten(params).items()):
        array = np.ascontiguousarray(value, dtype="<f4")
        digest.update(json.dumps([name, array.shape]).encode() + b"\n")
        digest.update(array.data)
    return digest.hexdigest()


def weights_digest(
    path: str | Path, params: Params | None = None, cache_dir: str | Path | None = None
) -> str:
    """`params_digest` of the weights in `path`, remembered while their files stay the same.

    `params`, if already loaded from there, spares reading them again when nothing is remembered.
    The memory is a file in `cache_dir` (the user's cache folder unless given); one that is damaged
    or cannot be written is merely not used.
    """
    path = Path(path)
    key, stamp = file_stamp(path)
    known = _DIGESTS.read(cache_dir).get(key)
    if isinstance(known, dict) and known.get("stamp") == stamp and is_sha256(known.get("digest")):
        return str(known["digest"])
    digest = params_digest(load_params(path)[0] if params is None else params)
    if file_stamp(path) == (key, stamp) and settled(stamp):
        _DIGESTS.write(key, {"stamp": stamp, "digest": digest}, cache_dir)
    return digest


def weights_with_digest(digest: str, cache_dir: str | Path | None = None) -> Path | None:
    """A file that is remembered to hold the weights of this digest, and has not changed since."""
    for name, entry in _DIGESTS.read(cache_dir).items():
        if isinstance(entry, dict) and entry.get("digest") == digest:
            try:
                if file_stamp(Path(name))[1] == entry.get("stamp"):
                    return Path(name)
            except (OSError, DinoseekError):  # gone, or no checkpoint any more
                continue
    return None


def file_stamp(path: Path) -> tuple[str, list[list[int]]]:
    """The real path of a checkpoint, and size, time and inode of each of its files."""
    main, files = checkpoint_files(path)
    states = [file.stat() for file in (main, *files)]
    return str(main.resolve()), [[s.st_size, s.st_mtime_ns, s.st_ino] for s in states]


def settled(stamp: list[list[int]]) -> bool:
    return all(time.time_ns() - mtime > SETTLED_NS for _, mtime, _ in stamp)


def is_sha256(text: object) -> bool:
    return isinstance(text, str) and len(text) == 64 and set(text) <= set("0123456789abcdef")
