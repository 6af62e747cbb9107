"""A folder of small pictures and a way to run the command line on it."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image

from dinoseek.cli.main import run
from dinoseek.ingest import pipeline

from ..ingest.here import HerePool


@pytest.fixture(autouse=True)
def decoding_here(monkeypatch, request):
    """Decodes without processes, but for tests marked `decoders`."""
    if "decoders" not in request.keywords:
        monkeypatch.setattr(pipeline, "DecoderPool", HerePool)


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def dinoseek(capfd, tmp_path, monkeypatch):
    """Runs `dinoseek ...` in a fresh folder, with a cache of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DINOSEEK_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("DINOSEEK_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))

    def call(*arguments):
        capfd.readouterr()
        code = run([str(argument) for argument in arguments])
        return Result(code, *capfd.readouterr())

    return call


@pytest.fixture
def photos(tmp_path):
    """Twelve pictures in two folders: four reds, four greens, four blues."""
    folder = tmp_path / "photos"
    rng = np.random.default_rng(0)
    for channel, name in enumerate(("red", "green", "blue")):
        for number in range(4):
            pixels = rng.integers(0, 60, (40, 60, 3), dtype=np.uint8)
            pixels[..., channel] += 150
            file = folder / ("sub" if number > 1 else "") / f"{name}-{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(file)
    return folder


@pytest.fixture
def gallery(dinoseek, photos, tmp_path):
    """The pictures indexed by the built-in embedder."""
    path = tmp_path / "photos.dino"
    assert dinoseek("index", photos, "--gallery", path, "--model", "color-histogram").code == 0
    return path
