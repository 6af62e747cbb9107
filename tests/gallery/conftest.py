"""Small galleries: an embedder of a few dimensions, records, and unit vectors to put in them."""

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from dinoseek.embedder import Embedder, Fingerprint
from dinoseek.gallery.base import Record
from dinoseek.images.preprocess import find_preset


def no_features(prepared):
    raise AssertionError("these tests bring their own vectors")


@pytest.fixture
def make_embedder() -> Callable[..., Embedder]:
    def make(model: str = "tiny", dim: int = 8, preprocess: str = "squash") -> Embedder:
        fingerprint = Fingerprint(
            model=model,
            weights=hashlib.sha256(model.encode()).hexdigest(),
            preprocess=preprocess,
            pooling="cls",
            pos_flavour="hub",
            dim=dim,
        )
        return Embedder(no_features, find_preset(preprocess), fingerprint)

    return make


@pytest.fixture
def embedder(make_embedder) -> Embedder:
    return make_embedder()


@pytest.fixture
def make_record(tmp_path: Path) -> Callable[..., Record]:
    def make(name: str | int | bytes, **changes: object) -> Record:
        path = name if isinstance(name, bytes) else f"{name}.jpg".encode()
        values: dict[str, object] = {
            "path": path,
            "root": str(tmp_path / "photos"),
            "digest": hashlib.sha256(path).hexdigest(),
            "width": 4,
            "height": 3,
            "bytes": 100,
            "mtime_ns": 5,
            "format": "JPEG",
        }
        return Record(**{**values, **changes})

    return make


@pytest.fixture
def unit_vectors() -> Callable[..., np.ndarray]:
    def make(count: int, dim: int = 8, seed: int = 0) -> np.ndarray:
        rows = np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    return make


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter and write to, as those of pytest are not."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        yield Path(name)


# What other processes need to make and ask a gallery; they get their arguments in sys.argv.
PREAMBLE = """
import hashlib, os, sys, time
from pathlib import Path
import numpy as np
from dinoseek.embedder import Embedder, Fingerprint
from dinoseek.errors import DinoseekError
from dinoseek.gallery.base import Record
from dinoseek.gallery.factory import open_gallery
from dinoseek.images.preprocess import find_preset

fingerprint = Fingerprint(model="tiny", weights=hashlib.sha256(b"tiny").hexdigest(),
    preprocess="squash", pooling="cls", pos_flavour="hub", dim=8)
embedder = Embedder(None, find_preset("squash"), fingerprint)

def record(name):
    return Record(path=f"{name}.jpg".encode(), root="/photos", width=1, height=1, bytes=1,
        mtime_ns=1, digest=hashlib.sha256(str(name).encode()).hexdigest(), format="JPEG")

def vectors(count, seed=0):
    return np.random.default_rng(seed).standard_normal((count, 8)).astype(np.float32)

def become_nobody():
    Path("/").as_uri()  # Python 3.13 imports its parts late, from where "nobody" may not read
    if os.getuid() == 0:
        os.setgid(65534)
        os.setuid(65534)
"""


@pytest.fixture
def start_python() -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Starts a script in another process, which ends with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(script: str, *arguments: object) -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", PREAMBLE + script, *map(str, arguments)]
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def run_python(start_python) -> Callable[..., str]:
    """Runs a script in another process to its end, and returns what it printed."""

    def run(script: str, *arguments: object) -> str:
        process = start_python(script, *arguments)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        return out

    return run
