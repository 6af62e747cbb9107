"""Small galleries of made-up photographs, and a watch over threads and processes that are left."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dinoseek.embedder import load_embedder
from dinoseek.gallery.factory import open_gallery
from dinoseek.ingest.pipeline import ingest
from dinoseek.ingest.sources import from_folder
from dinoseek.web.live.timings import Timings

from .made import children, ours, photo, soon


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Whatever a test starts must have ended when it is closed."""
    threads, processes = ours(), set(children())
    yield
    assert soon(lambda: ours() <= threads), ours() - threads
    assert set(children()) <= processes


@pytest.fixture
def timings() -> Timings:
    return Timings()


@pytest.fixture
def many() -> Iterator[ThreadPoolExecutor]:
    """The threads of a server."""
    with ThreadPoolExecutor(64) as pool:
        yield pool


@pytest.fixture(scope="session")
def embedder():
    return load_embedder("color-histogram")


@pytest.fixture
def photos(tmp_path) -> Path:
    """A folder of six photographs."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(6):
        (folder / f"{seed}.jpg").write_bytes(photo(seed, size=(600, 400)))
    return folder


@pytest.fixture
def index(embedder) -> Callable[..., Path]:
    """Returns index(path, source) -> path of a gallery with what the source has."""

    def index(path: Path, source) -> Path:
        with open_gallery(path, embedder) as gallery:
            found = from_folder(source) if isinstance(source, Path) else source
            list(ingest(found, gallery))
        return path

    return index


@pytest.fixture
def path(index, photos, tmp_path) -> Path:
    """A gallery of six photographs."""
    return index(tmp_path / "photos.dino", photos)
