"""Folders of small pictures, and the built-in embedder at its smallest size."""

import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dinoseek.embedder import Embedder, load_embedder
from dinoseek.gallery.factory import open_gallery
from dinoseek.gallery.sqlite_gallery import SqliteGallery
from dinoseek.ingest import pipeline
from dinoseek.ingest.outcomes import Outcome, Summary
from dinoseek.ingest.pipeline import ingest
from dinoseek.ingest.sources import from_folder

from .here import HerePool


@pytest.fixture(autouse=True)
def decoding_here(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Decodes without processes, but for tests marked `decoders`."""
    if "decoders" not in request.keywords:
        monkeypatch.setattr(pipeline, "DecoderPool", HerePool)


@pytest.fixture(scope="session")
def embedder() -> Embedder:
    return load_embedder("color-histogram", preprocess="squash@14")


@pytest.fixture(scope="session")
def other_embedder() -> Embedder:
    return load_embedder("color-histogram", preprocess="squash@28")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    return folder


@pytest.fixture
def draw(photos: Path) -> Callable[..., Path]:
    """Saves a picture that its number decides under a name."""

    def save(name: str, number: int | None = None) -> Path:
        file = photos / name
        file.parent.mkdir(parents=True, exist_ok=True)
        seed = number if number is not None else zlib.crc32(os.fsencode(name))
        pixels = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(file, format="PNG")
        return file

    return save


@pytest.fixture
def gallery(tmp_path: Path, embedder: Embedder) -> Iterator[SqliteGallery]:
    with open_gallery(tmp_path / "g.dino", embedder) as opened:
        yield opened


@pytest.fixture
def index(photos: Path, gallery: SqliteGallery) -> Callable[..., list[Outcome]]:
    """Indexes the photographs, and checks that every file is accounted for."""

    def run(**options: bool) -> list[Outcome]:
        source = from_folder(photos)
        outcomes = list(ingest(source, gallery, **options))
        assert Summary.of(outcomes).total == source.count(gallery.path)
        assert gallery.verify() == []
        return outcomes

    return run


def content(gallery: SqliteGallery) -> tuple[dict[bytes, str], dict[str, bytes]]:
    """What a gallery holds, without ids: the digest of each file, the vector of each digest."""
    connection = gallery._connection
    files = "SELECT path, digest FROM files JOIN images ON id = image_id ORDER BY root_id, path"
    vectors = "SELECT digest, vector FROM vectors JOIN images ON id = image_id ORDER BY digest"
    return dict(connection.execute(files)), dict(connection.execute(vectors))


@pytest.fixture(scope="session")
def content_of() -> Callable[[SqliteGallery], tuple[dict[bytes, str], dict[str, bytes]]]:
    return content
