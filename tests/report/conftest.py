"""Pictures and hits for reports."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from dinoseek.gallery.base import Hit


@pytest.fixture
def make_picture(tmp_path) -> Callable[..., Path]:
    def make(name: str, size: tuple[int, int] = (40, 30), color=(200, 30, 30)) -> Path:
        path = tmp_path / name
        Image.new("RGB", size, color).save(path, "PNG")
        return path

    return make


@pytest.fixture
def make_hit() -> Callable[..., Hit]:
    def make(file: Path, rank: int = 1, score: float = 0.5, **more) -> Hit:
        values = {"query": "q.jpg", "id": rank, "path": str(file), "caption": None, **more}
        return Hit(rank=rank, score=score, location=None if file is None else str(file), **values)

    return make
