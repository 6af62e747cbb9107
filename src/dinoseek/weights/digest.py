"""The identity of weights: a hash over their values, the same in any container, and its cache."""

import hashlib
import json
import logging
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs

from dinoseek.errors import DinoseekError
from dinoseek.vit.ops import Params
from dinoseek.weights.checkpoint import checkpoint_files
from dinoseek.weights.load import load_params
from dinoseek.weights.naming import flatten

logger = logging.getLogger(__name__)

CACHE_NAME = "weights-digests.json"
CACHE_FORMAT = 1
MAX_ENTRIES = 64
MAX_CACHE_BYTES = 1_000_000
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
    path, folder = Path(path), cache_dir or platformdirs.user_cache_path("dinoseek")
    cache = Path(folder) / CACHE_NAME
    key, stamp = file_stamp(path)
    known = read_cache(cache).get(key)
    if isinstance(known, dict) and known.get("stamp") == stamp and is_sha256(known.get("digest")):
        return str(known["digest"])
    digest = params_digest(load_params(path)[0] if params is None else params)
    if file_stamp(path) == (key, stamp) and settled(stamp):
        write_cache(cache, key, {"stamp": stamp, "digest": digest})
    return digest


def weights_with_digest(digest: str, cache_dir: str | Path | None = None) -> Path | None:
    """A file that is remembered to hold the weights of this digest, and has not changed since."""
    cache = Path(cache_dir or platformdirs.user_cache_path("dinoseek")) / CACHE_NAME
    for name, entry in read_cache(cache).items():
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


def read_cache(cache: Path) -> dict[str, Any]:
    """The remembered digests; none if the file is missing, damaged or from another version."""
    try:
        with cache.open("rb") as file:
            content = json.loads(file.read(MAX_CACHE_BYTES))
    except (OSError, ValueError, RecursionError) as exc:
        logger.debug("no digests remembered in %s: %s", cache, exc)
        return {}
    if not isinstance(content, dict) or content.get("format") != CACHE_FORMAT:
        return {}
    digests = content.get("digests")
    return digests if isinstance(digests, dict) else {}


def write_cache(cache: Path, key: str, entry: dict[str, Any]) -> None:
    """Adds an entry by replacing the whole small file; the oldest entries fall out."""
    digests = {name: value for name, value in read_cache(cache).items() if name != key}
    kept = dict([*list(digests.items())[1 - MAX_ENTRIES :], (key, entry)])
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=cache.parent, prefix=f".{CACHE_NAME}.")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump({"format": CACHE_FORMAT, "digests": kept}, file)
        Path(temporary).replace(cache)
    except OSError as exc:
        logger.debug("could not remember a digest in %s: %s", cache, exc)
