"""What a gallery holds runs nothing, no other site gets in, and nothing goes elsewhere."""

import re
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from .acts import tile
from .conftest import EVERYWHERE, Servers, Visit
from .pictures import ATTRIBUTE, CAPTION, LINK, SCRIPT
from .served import Served
from .watch import HOST, Watch

POLICY = "Content Security Policy"


def strange(page: Page) -> int:
    """How many elements there are that no template has."""
    return page.locator("[onerror], [onmouseover], [onload], img[src=x], script:not([src])").count()


def test_WEB_08_names_and_captions_that_are_markup_stay_text(visit: Visit) -> None:
    page = visit("/q/1?k=100&where=label%3D%22<img%20src%3Dx%20onerror%3Dalert(1)>%22")
    name = f"{SCRIPT}.jpg"
    expect(page.get_by_text(name, exact=True)).to_be_visible()
    expect(tile(page, name).locator(".caption")).to_have_text(CAPTION)
    assert strange(page) == 0
    tile(page, name).locator(".open").click()
    page.wait_for_url(re.compile("/item/"))
    expect(page.get_by_role("heading", level=1)).to_have_text(name)
    expect(page.locator(".full-caption")).to_have_text(CAPTION)
    expect(page.locator(".facts")).to_contain_text(LINK)
    assert strange(page) == 0
    page.get_by_role("main").get_by_role("link", name="More like this", exact=True).click()
    expect(page.locator(".chip")).to_contain_text(name)
    page.goto("/history")
    expect(page.locator(".rows strong").first).to_have_text(name)
    assert strange(page) == 0


def test_WEB_08_names_that_end_an_attribute_stay_inside_it(visit: Visit) -> None:
    page = visit("/browse?page=2")
    name = f"{ATTRIBUTE}.jpg"
    image = tile(page, name).locator("img")
    assert image.get_attribute("alt") == name
    assert strange(page) == 0


def test_WEB_08_links_lead_to_http_alone_and_tell_nothing(visit: Visit, site: Served) -> None:
    page = visit("/browse?page=2")
    links = page.locator("a[target=_blank]")
    expect(links).to_have_count(2)
    for link in [*links.all()]:
        assert (link.get_attribute("href") or "").startswith("http://127.0.0.1:")
        assert {"noopener", "noreferrer"} <= set((link.get_attribute("rel") or "").split())
    assert page.locator("a[href^='javascript:' i]").count() == 0
    assert strange(page) == 0


def test_WEB_08_what_a_form_gives_back_stays_text(visit: Visit) -> None:
    page = visit("/q/1")
    page.get_by_label("Condition").fill(f'"{{{{7*7}}}}</script>{SCRIPT}')
    page.get_by_role("button", name="Apply").click()
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("{{7*7}}</script><img src=x")
    assert strange(page) == 0


def test_WEB_08_script_in_a_page_would_not_run(visit: Visit, watch: Watch) -> None:
    """The policy holds even if a template forgot to escape; and the watch of all tests sees it."""
    page = visit("/help")
    page.evaluate(
        """() => {
            document.querySelector("main").innerHTML = '<img src=x onerror="window.ran = 1">';
            const script = document.createElement("script");
            script.textContent = "window.ran = 2";
            document.body.append(script);
        }"""
    )
    page.wait_for_load_state("networkidle")
    assert page.evaluate("window.ran") is None
    assert sum(POLICY in fault for fault in watch.faults) >= 2
    assert watch.unexpected != []
    watch.expects(f"{POLICY}|404")


def test_WEB_10_pictures_are_pictures_and_can_run_nothing(visit: Visit, watch: Watch) -> None:
    page = visit("/q/1")
    address = page.locator(".grid img").first.get_attribute("src") or ""
    answer = page.request.get(address)
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert answer.headers["content-disposition"].startswith("inline; filename=")
    assert "immutable" in answer.headers["cache-control"]
    watch.expects("Applying inline style")  # Chromium's own, of the page that it makes of a picture
    page.goto(address)  # opened on its own it is still only a picture
    assert page.evaluate("document.images.length") == 1


@pytest.fixture
def other_site(tmp_path: Path, site: Served) -> Iterator[str]:
    """Another site, which holds this one in a frame and shows a picture of it."""
    (tmp_path / "frame.html").write_text(
        f'<!doctype html><iframe src="{site.address}/" width="600" height="400"></iframe>'
        f'<img src="{site.address}/static/finder/favicon.svg">'
    )
    handler = partial(_Quiet, directory=str(tmp_path))
    with ThreadingHTTPServer((HOST, 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://{HOST}:{server.server_port}/frame.html"
        server.shutdown()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


def test_WEB_32_other_sites_cannot_frame_this_one(
    visit: Visit, watch: Watch, other_site: str
) -> None:
    watch.expects("Failed to load resource|frame-ancestors|X-Frame-Options|ERR_BLOCKED")
    page = visit("/help")
    page.goto(other_site)
    page.wait_for_load_state("networkidle")
    framed = [frame.locator("body").inner_text() for frame in page.frames[1:]]
    assert not any("Find images by image" in text for text in framed)
    assert any("frame" in fault.lower() for fault in watch.faults)


@pytest.mark.parametrize(("server", "paths"), EVERYWHERE.items(), ids=EVERYWHERE)
def test_WEB_32_no_page_asks_for_anything_elsewhere_or_breaks_its_policy(
    visit: Visit, watch: Watch, servers: Servers, server: str, paths: tuple[str, ...]
) -> None:
    watch.expects("Failed to load resource.*(404|422)")
    page = visit(server=servers(server))
    for path in paths:
        page.goto(path)
        page.wait_for_load_state("networkidle")
    hosts = {urlsplit(each).netloc for each in watch.addresses if not each.startswith("blob:")}
    assert hosts == {urlsplit(servers(server).address).netloc}
