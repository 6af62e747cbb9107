"""axe-core finds nothing serious on any page: in light English, and in dark Chinese."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, Route, expect

from .acts import PICK, settings
from .conftest import EVERYWHERE, Servers, Visit
from .watch import Watch

LOOKS = {
    "light-en": {"locale": "en-GB", "color_scheme": "light"},
    "dark-zh": {"locale": "zh-CN", "color_scheme": "dark"},
}
OPTIONS = {
    "resultTypes": ["violations"],
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
}
each_look = pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)


def faults(page: Page) -> list[str]:
    """The serious and critical findings, with the elements."""
    found = Axe().run(page, options=OPTIONS).response["violations"]
    return [
        f"{page.url} {each['id']}: {node['html'][:200]} {node['failureSummary'][:300]}"
        for each in found
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]


@each_look
@pytest.mark.parametrize(("server", "paths"), EVERYWHERE.items(), ids=EVERYWHERE)
def test_no_page_has_a_serious_fault(
    visit: Visit,
    watch: Watch,
    servers: Servers,
    server: str,
    paths: tuple[str, ...],
    look: dict[str, str],
) -> None:
    watch.expects("404|422")
    page = visit(server=servers(server), **look)
    found = []
    for path in paths:
        page.goto(path)
        found += faults(page)
    assert found == []


@each_look
def test_what_opens_on_a_page_has_no_serious_fault(
    visit: Visit, files, look: dict[str, str]
) -> None:
    page = visit("/q/1", **look)
    page.keyboard.press("?")
    found = faults(page)
    page.keyboard.press("Escape")
    settings(page)
    found += faults(page)
    page.keyboard.press("Escape")
    held: list[Route] = []
    page.route("**/search", lambda route: held.append(route))
    page.set_input_files(PICK, files / "red.jpg")
    expect(page.locator("[data-preview]")).to_be_visible()
    found += faults(page)
    assert found == []


@each_look
def test_phone_has_no_serious_fault(visit: Visit, look: dict[str, str]) -> None:
    phone = {"viewport": {"width": 375, "height": 700}, "has_touch": True, "is_mobile": True}
    page = visit("/q/1?min=auto", **look, **phone)
    found = faults(page)
    page.locator(".tools [popovertarget=options]").click()
    found += faults(page)
    assert found == []


def test_fault_would_be_found(visit: Visit, watch: Watch) -> None:
    watch.expects("404")
    page = visit("/help")
    page.evaluate("document.querySelector('h1').innerHTML = '<img src=/static/x.png>'")
    page.evaluate("document.querySelector('main').style.color = '#ccc'")
    kinds = " ".join(faults(page))
    assert "image-alt" in kinds
    assert "color-contrast" in kinds
