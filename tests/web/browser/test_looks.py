"""How pages look: Chinese and English, light and dark, and in narrow windows."""

import re

import pytest
from playwright.sync_api import Page, expect

from .acts import settings
from .conftest import EVERYWHERE, Servers, Visit
from .watch import Watch

CHINESE = re.compile("[\u4e00-\u9fff]{2,}")
DARK, LIGHT = "rgb(18, 19, 21)", "rgb(247, 247, 244)"


def paper(page: Page) -> str:
    return page.locator("body").evaluate("body => getComputedStyle(body).backgroundColor")


def test_language_is_the_browsers(visit: Visit) -> None:
    for locale, language, heading in (
        ("zh-CN", "zh-hans", CHINESE),
        ("en-US", "en", "Find images by image"),
        ("fr-FR", "en", "Find images by image"),
    ):
        page = visit(locale=locale)
        expect(page.locator("html")).to_have_attribute("lang", language)
        expect(page.get_by_role("heading", level=1)).to_have_text(heading)


def test_language_can_be_switched_and_stays(visit: Visit) -> None:
    page = visit("/q/1?k=40")
    with page.expect_navigation():
        settings(page).get_by_role("button", name="中文").click()
    expect(page.locator("html")).to_have_attribute("lang", "zh-hans")
    assert page.url.endswith("/q/1?k=40"), "the page is the same"
    expect(page.get_by_role("heading", level=1)).to_have_text(CHINESE)
    page.goto("/help")
    expect(page.get_by_role("heading", level=1)).to_have_text(CHINESE)
    with page.expect_navigation():
        settings(page).get_by_role("button", name="English").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Help and shortcuts")


def test_theme_is_the_systems(visit: Visit) -> None:
    assert paper(visit(color_scheme="light")) == LIGHT
    assert paper(visit(color_scheme="dark")) == DARK


def test_theme_can_be_switched_and_stays(visit: Visit) -> None:
    page = visit("/help", color_scheme="light")
    with page.expect_navigation():
        settings(page).get_by_role("button", name="Dark").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert page.url.endswith("/help")
    page.goto("/browse")
    assert paper(page) == DARK
    with page.expect_navigation():
        settings(page).get_by_role("button", name="Automatic").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "auto")
    assert paper(page) == LIGHT


@pytest.mark.parametrize(("server", "paths"), EVERYWHERE.items(), ids=EVERYWHERE)
def test_no_page_is_wider_than_a_phone(
    visit: Visit, watch: Watch, servers: Servers, server: str, paths: tuple[str, ...]
) -> None:
    watch.expects("404|422")
    phone = {"viewport": {"width": 375, "height": 700}, "has_touch": True, "is_mobile": True}
    page = visit(server=servers(server), **phone)
    for path in paths:
        page.goto(path)
        for width in (375, 320):
            page.set_viewport_size({"width": width, "height": 700})
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, f"{path} is {wide} pixels wide at {width}"


def test_options_come_from_below_on_a_phone(visit: Visit) -> None:
    page = visit("/q/1", viewport={"width": 375, "height": 700}, has_touch=True, is_mobile=True)
    options = page.locator("#options")
    expect(options).to_be_hidden()
    page.get_by_role("button", name="Options").click()
    expect(options).to_be_visible()
    options.get_by_role("radio", name="40").check()
    options.get_by_role("button", name="Apply").click()
    page.wait_for_url(re.compile("k=40"))
