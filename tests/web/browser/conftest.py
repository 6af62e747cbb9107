"""Chromium for all tests, servers for different ways to start one, and a fresh context per test."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from . import pictures
from .picture_server import PictureServer
from .served import Served, dinoseek
from .watch import Watch

NOTHING_LEAVES = (
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-sync",
    "--no-first-run",
    "--no-pings",
    "--no-proxy-server",
)
PATIENCE = 60_000  # ms: two cores may be busy with other things
TOKEN = "a-token-of-more-than-16-letters"

Visit = Callable[..., Page]
Servers = Callable[[str], Served]

# Every page, by the server that shows it.
EVERYWHERE = {
    "site": (
        "/",
        "/q/1",
        "/q/1?plus=2&minus=3&region=20%25,20%25,60%25,60%25&min=auto&fold=1",
        "/q/1?where=price+%3C",
        "/q/1?min=1",
        "/item/1",
        "/item/74",
        "/browse?page=2",
        "/random?seed=1",
        "/history",
        "/help",
        "/api/docs",
        "/nothing-here",
    ),
    "operated": ("/duplicates?level=near", "/duplicates?level=similar", "/indexing"),
    "membered": ("/accounts/login", "/accounts/register"),
    "guarded": ("/enter",),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests of this folder drive Chromium; the picture server listens on loopback."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.allow_hosts(["127.0.0.0/8"]))


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """One browser; it is gone before other tests run, as its event loop would be in their way."""
    expect.set_options(timeout=PATIENCE)
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(NOTHING_LEAVES))
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def picture_server(chromium: Browser) -> Iterator[PictureServer]:
    """Pictures on the web, which is this machine."""
    with PictureServer() as server:
        yield server


@pytest.fixture(scope="package")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures to search with, none of which is in a gallery."""
    folder = tmp_path_factory.mktemp("files")
    for colour in pictures.COLOURS:
        pictures.draw(colour, 99).save(folder / f"{colour}.jpg")
    pictures.halves("red", "blue").save(folder / "halves.png")
    (folder / "text.txt").write_text("This is no picture.")
    return folder


@pytest.fixture(scope="package")
def site(
    picture_server: PictureServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """The server of most tests; none of them changes its gallery."""
    folder = tmp_path_factory.mktemp("site")
    paths = ("/901.jpg", "/902.jpg?<script>alert(6)</script>")
    addresses = [picture_server.url(path) for path in paths]
    gallery = folder / "photos.dino"
    for listed in (
        pictures.gallery_folder(folder / "photos"),
        pictures.address_list(folder / "web.csv", addresses),
    ):
        dinoseek("index", listed, "--gallery", gallery, "--model", "color-histogram")
    yield from _served(gallery, folder / "state", "--allow-urls")


@pytest.fixture(scope="package")
def operated(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server whose operator indexes from the page, and reviews duplicates."""
    folder = tmp_path_factory.mktemp("operated")
    photos = pictures.alike_folder(folder / "photos")
    gallery = folder / "alike.dino"
    dinoseek("index", photos, "--gallery", gallery, "--model", "color-histogram")
    (folder / "more").mkdir()
    flags = ("--allow-urls", "--allow-indexing", str(folder / "more"))
    yield from _served(gallery, folder / "state", *flags)


@pytest.fixture(scope="package")
def membered(site: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with accounts, on the gallery of `site`."""
    yield from _served(site.gallery, tmp_path_factory.mktemp("membered") / "state", "--accounts")


@pytest.fixture(scope="package")
def guarded(site: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with a token, on the gallery of `site`."""
    yield from _served(site.gallery, tmp_path_factory.mktemp("guarded") / "state", "--token", TOKEN)


@pytest.fixture
def servers(request: pytest.FixtureRequest) -> Servers:
    """A server by its name in `EVERYWHERE`."""
    return request.getfixturevalue


def _served(gallery: Path, state: Path, *flags: str) -> Iterator[Served]:
    server = Served(gallery, state, *flags)
    yield server
    server.end()


@pytest.fixture
def watch() -> Iterator[Watch]:
    """Fails the test if the browser complained, or asked for anything elsewhere."""
    watched = Watch()
    yield watched
    assert watched.unexpected == []


@pytest.fixture
def visit(chromium: Browser, site: Served, watch: Watch) -> Iterator[Visit]:
    """Opens a page of a server as a new visitor: `visit("/browse", server, locale="zh-CN")`."""
    contexts = []

    def come(path: str = "/", server: Served = site, **options: object) -> Page:
        settings = {"locale": "en-GB", "reduced_motion": "reduce", **options}
        context = chromium.new_context(base_url=server.address, **settings)
        contexts.append(context)
        context.set_default_timeout(PATIENCE)
        watch.follow(context)
        page = context.new_page()
        page.goto(path)
        return page

    yield come
    for context in contexts:
        context.close()
