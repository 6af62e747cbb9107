"""Files of features as course projects write them, and galleries to put them into."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dinoseek.embedder import Fingerprint
from dinoseek.gallery.factory import open_gallery
from dinoseek.ingest.address import normalised
from dinoseek.interchange.given import Given, imported_fingerprint
from dinoseek.interchange.importing import embedder_of, import_vectors

COUNT, DIM = 600, 8  # more than two batches


@pytest.fixture
def features() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((COUNT, DIM)) * 40


@pytest.fixture
def said() -> list[dict]:
    return [
        {
            "url": f"http://lh6.ggpht.com/{n}.JPG?imgmax=800",
            "caption": f"a very typical bus station, no. {n}",
            "label": "red" if n % 2 else "blue",
            "stars": n / 4,
            "mixed": n if n % 3 else "three",
            "tags": ["a", n],
        }
        for n in range(COUNT)
    ]


@pytest.fixture
def npy(tmp_path, features, said) -> Path:
    """gallery_features.npy and metadata.json."""
    np.save(tmp_path / "gallery_features.npy", features)
    text = json.dumps(said, ensure_ascii=False, indent=2)
    (tmp_path / "metadata.json").write_text(text, "utf-8")
    return tmp_path / "gallery_features.npy"


@pytest.fixture
def npz(tmp_path, features) -> Path:
    """gallery_features.npz with absolute paths, of which none is there."""
    paths = np.array([str(tmp_path / "static" / "gallery" / f"{n:04}é.jpg") for n in range(COUNT)])
    np.savez(tmp_path / "gallery_features.npz", features=features, paths=paths)
    return tmp_path / "gallery_features.npz"


@pytest.fixture
def fill(tmp_path) -> Callable:
    """Imports a file into a gallery and returns its folder and what became of the rows."""

    def run(given: Given, name: str = "g.dino", made: Fingerprint | None = None):
        embedder = embedder_of(made or given.fingerprint or imported_fingerprint(given))
        with open_gallery(tmp_path / name, embedder) as gallery:
            return tmp_path / name, list(import_vectors(gallery, given, normalised))

    return run


def stored_of(features: np.ndarray) -> np.ndarray:
    """What is kept of features, by the definition: unit length, half precision."""
    return (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float16)
