"""Small galleries of made-up photographs, and a watch over threads and processes that are left."""

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from dinoseek.embedder import load_embedder
from dinoseek.gallery.factory import open_gallery
from dinoseek.ingest import pipeline
from dinoseek.ingest.pipeline import ingest
from dinoseek.ingest.sources import from_folder
from dinoseek.web.live.timings import Timings

from .made import HereDecoders, children, ours, photo, soon


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
    return load_embedder("color-histogram", preprocess="squash@28")


@pytest.fixture(scope="session")
def template(tmp_path_factory, embedder) -> Path:
    """A folder with six photographs, and a gallery of them beside it."""
    folder = tmp_path_factory.mktemp("live")
    (folder / "photos").mkdir()
    for seed in range(6):
        (folder / "photos" / f"{seed}.jpg").write_bytes(photo(seed, size=(600, 400)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "DecoderPool", QuickPool)
        indexed(folder / "photos.dino", folder / "photos", embedder)
    return folder


@pytest.fixture
def photos(template, tmp_path) -> Path:
    """A folder of six photographs."""
    return Path(shutil.copytree(template / "photos", tmp_path / "photos"))


@pytest.fixture
def path(template, photos, tmp_path) -> Path:
    """A gallery of six photographs."""
    return Path(shutil.copytree(template / "photos.dino", tmp_path / "photos.dino"))


@pytest.fixture
def index(embedder, monkeypatch) -> Callable[..., Path]:
    """Returns index(path, source) -> path of a gallery with what the source has."""

    def index(path: Path, source) -> Path:
        with monkeypatch.context() as patch:
            patch.setattr(pipeline, "DecoderPool", QuickPool)
            return indexed(path, source, embedder)

    return index


def indexed(path, source, embedder):
    with open_gallery(path, embedder) as gallery:
        list(ingest(from_folder(source) if isinstance(source, Path) else source, gallery))
    return path


class QuickPool(HereDecoders):
    """What indexing decodes with, where nothing is wrong with the pictures."""

    def __init__(self, preset, limits, *, thumbnail=False, **_):
        super().__init__(SimpleNamespace(prepare=preset.apply), limits)
        self.side = 256 if thumbnail else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def decode(self, data, subject):
        return super().decode(data, subject, thumbnail_side=self.side)
