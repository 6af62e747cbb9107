"""A small gallery, a service that searches it, and Django set up once for all tests of the page."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from PIL import Image

import dinoseek
from dinoseek.embedder import Embedder
from dinoseek.images.pool import DecoderPool
from dinoseek.web.config import WEB_LIMITS, ServeConfig

COLOURS = ("red", "green", "blue", "orange", "purple", "teal")


@dataclass(frozen=True)
class Site:
    """What a test talks to: Django's client, and what stands behind it."""

    client: Any
    config: ServeConfig
    service: Any

    def post(self, path: str, data: dict[str, Any], **options: Any) -> Any:
        """Posts a form as a browser does, with its token."""
        self.client.get("/help")
        token = self.client.cookies["csrftoken"].value
        return self.client.post(path, {**data, "csrfmiddlewaretoken": token}, **options)


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 36 pictures in six colours, and a list of them with metadata."""
    folder = tmp_path_factory.mktemp("site") / "photos"
    folder.mkdir()
    lines = ["path,caption,label,price"]
    for number in range(36):
        colour = COLOURS[number % len(COLOURS)]
        name = f"{colour}-{number:02}.jpg"
        draw(colour, number).save(folder / name, quality=90)
        lines.append(f'{name},"{colour} picture, number {number}",{colour},{number}')
    (folder / "list.csv").write_text("\n".join(lines))
    return folder


def draw(colour: str, number: int) -> Image.Image:
    """A picture of one colour with some squares, different for each number."""
    image = Image.new("RGB", (320, 240), colour)
    places = np.random.default_rng(number).integers(0, 200, (12, 2))
    for left, top in places.tolist():
        image.paste(("white", "black", "gray")[(left + top) % 3], (left, top, left + 25, top + 25))
    return image


@pytest.fixture(scope="session")
def embedder() -> Embedder:
    return dinoseek.load_embedder("color-histogram")


@pytest.fixture(scope="session")
def template_gallery(photos: Path, embedder: Embedder) -> Path:
    """The gallery that each test gets a copy of."""
    path = photos.parent / "photos.dino"
    with dinoseek.open_gallery(path, embedder) as gallery:
        outcomes = list(dinoseek.ingest(dinoseek.from_table(photos / "list.csv"), gallery))
        assert len(gallery) == 36, outcomes
    return path


@pytest.fixture
def gallery_path(template_gallery: Path, photos: Path, tmp_path: Path) -> Path:
    """A gallery of one's own, which finds the photographs where they are."""
    path = tmp_path / "photos.dino"
    shutil.copytree(template_gallery, path)
    return path


@pytest.fixture(scope="session")
def django_ready(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> ServeConfig:
    """Django, set up with all that can be switched on; tests switch it off again."""
    from django.core.management import call_command

    from dinoseek.web.settings import configure

    state = tmp_path_factory.mktemp("state")
    config = ServeConfig(gallery=photos.parent / "photos.dino", state_dir=state, accounts=True)
    configure(config, None)
    call_command("migrate", verbosity=0, interactive=False)
    call_command("collectstatic", verbosity=0, interactive=False)
    return config


@pytest.fixture
def site(
    django_ready: ServeConfig,
    gallery_path: Path,
    embedder: Embedder,
    decoders: tuple[DecoderPool, DecoderPool],
) -> Iterator[Callable[..., Site]]:
    """Makes a site: `site(accounts=True)` with the settings that are named."""
    with ExitStack() as stack:
        stack.enter_context(patch("dinoseek.web.live.service._decoders", lambda *_: decoders))

        def make(**changes: Any) -> Site:
            return _site(stack, django_ready, gallery_path, embedder, changes)

        yield make


class KeptPool(DecoderPool):
    """Decoder processes that outlive a site: starting them takes longer than most tests."""

    def close(self) -> None:
        pass


@pytest.fixture(scope="session")
def decoders(embedder: Embedder) -> Iterator[tuple[DecoderPool, DecoderPool]]:
    """What all sites decode with, unless a test is about decoding."""
    pools = KeptPool(embedder.preset, WEB_LIMITS), KeptPool(embedder.preset)
    yield pools
    for pool in pools:
        DecoderPool.close(pool)


def _site(
    stack: ExitStack, ready: ServeConfig, gallery: Path, embedder: Embedder, changes: dict[str, Any]
) -> Site:
    from django.apps import apps
    from django.test import Client, override_settings

    from dinoseek.web import tries
    from dinoseek.web.live.service import open_service
    from dinoseek.web.settings import settings_of

    config = replace(
        ready, **{"gallery": gallery, "accounts": False, "uploads": 0, "requests": 0, **changes}
    )
    service = open_service(config, embedder)
    stack.callback(service.close)
    fixed = {"DATABASES", "INSTALLED_APPS", "STATIC_ROOT", "STORAGES", "LOGGING_CONFIG"}
    changed = {name: value for name, value in settings_of(config).items() if name not in fixed}
    stack.enter_context(override_settings(**changed, SERVE_SERVICE=service))
    _forget_addresses()
    stack.callback(_forget_addresses)
    for model in apps.get_models():
        model.objects.all().delete()
    tries._tried.clear()
    return Site(
        Client(True, raise_request_exception=False, SERVER_NAME="127.0.0.1"), config, service
    )


def _forget_addresses() -> None:
    """Which addresses there are depends on the settings."""
    import sys

    from django.urls import clear_url_caches

    sys.modules.pop("dinoseek.web.urls", None)
    sys.modules.pop("dinoseek.web.finder.api", None)
    clear_url_caches()


@pytest.fixture
def picture(photos: Path) -> bytes:
    """The bytes of a picture that is not in the gallery, but red like six that are."""
    from io import BytesIO

    file = BytesIO()
    draw("red", 99).save(file, "JPEG")
    return file.getvalue()
