"""An album of generated pictures, and galleries of what is in it."""

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dinoseek.embedder import Embedder, load_embedder
from dinoseek.gallery.base import Record
from dinoseek.gallery.factory import open_gallery
from dinoseek.gallery.sqlite_gallery import SqliteGallery
from dinoseek.images.decode import load_image

MOMENT = 1_700_000_000 * 10**9


@pytest.fixture(scope="session")
def embedder() -> Embedder:
    return load_embedder("color-histogram")


@pytest.fixture(scope="session")
def scene() -> Callable[..., Image.Image]:
    """A picture that its number decides: soft spots of colour, sharp squares on them."""

    def draw(number: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
        rng = np.random.default_rng(number)
        spots = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8))
        pixels = np.array(spots.resize(size, Image.Resampling.BICUBIC))
        for _ in range(4):
            top, left = rng.integers(0, (size[1] - 40, size[0] - 40))
            pixels[top : top + 40, left : left + 40] = rng.integers(0, 256, 3)
        return Image.fromarray(pixels)

    return draw


@pytest.fixture
def album(tmp_path: Path) -> Path:
    folder = tmp_path / "album"
    folder.mkdir()
    return folder


@pytest.fixture
def save(album: Path) -> Callable[..., Path]:
    """Saves a picture, or bytes, under a name in the album."""

    def write(name: str, picture: Image.Image | bytes, **options: object) -> Path:
        file = album / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(picture, bytes):
            file.write_bytes(picture)
        else:
            picture.save(file, **options)
        os.utime(file, ns=(MOMENT, MOMENT))  # or the oldest would be kept
        return file

    return write


@pytest.fixture
def gallery(tmp_path: Path, embedder: Embedder) -> Iterator[SqliteGallery]:
    with open_gallery(tmp_path / "album.dino", embedder) as opened:
        yield opened


@pytest.fixture
def index(album: Path, gallery: SqliteGallery, embedder: Embedder) -> Callable[..., SqliteGallery]:
    """Puts all pictures of the album into the gallery, without their looks."""

    def add(**changes: object) -> SqliteGallery:
        files = sorted(file for file in album.rglob("*.*") if file.is_file())
        records = [record_of(file, album, **changes) for file in files]
        gallery.add(records, embedder.embed(files))
        return gallery

    return add


def record_of(file: Path, root: Path, **changes: object) -> Record:
    image, status = load_image(file), file.stat()
    values: dict[str, object] = {
        "path": file.relative_to(root).as_posix().encode(),
        "root": str(root),
        "digest": hashlib.sha256(file.read_bytes()).hexdigest(),
        "width": image.width,
        "height": image.height,
        "bytes": status.st_size,
        "mtime_ns": status.st_mtime_ns,
        "format": image.format or "",
    }
    return Record(**{**values, **changes})
