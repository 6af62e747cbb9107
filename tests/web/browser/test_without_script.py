"""The whole journey without JavaScript."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from .acts import PICK, RESULTS, apply, chips, names, settings, tiles
from .conftest import EVERYWHERE, Servers, Visit
from .watch import Watch


def test_everything_can_be_done_without_script(visit: Visit, files: Path) -> None:
    page = visit(java_script_enabled=False)
    expect(page.get_by_text("Take a photo")).to_be_hidden()
    page.set_input_files(PICK, files / "red.jpg")
    page.get_by_role("button", name="Search", exact=True).click()
    page.wait_for_url(RESULTS)
    assert names(page)[0].startswith("red-")

    page.get_by_role("radio", name="40").check()
    page.get_by_label("label", exact=True).select_option("red")
    apply(page)
    assert len(names(page)) == 12

    second = names(page)[1]
    tiles(page).nth(1).hover()
    page.get_by_role("link", name=f"Refine, more like {second}").click()
    expect(chips(page)).to_have_count(2)
    page.get_by_role("link", name=f"Remove {second}").click()
    expect(chips(page)).to_have_count(1)

    tiles(page).first.locator(".open").click()
    page.wait_for_url(re.compile("/item/"))
    page.get_by_role("link", name="Next image").click()
    page.get_by_role("main").get_by_role("link", name="More like this", exact=True).click()
    page.wait_for_url(RESULTS)

    settings(page).get_by_role("button", name="Dark").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.get_by_role("link", name="History").click()
    expect(page.locator(".rows li")).not_to_have_count(0)
    page.get_by_text("Clear all", exact=True).click()
    page.get_by_role("button", name="Yes, clear all").click()
    expect(page.get_by_role("heading", name="No searches yet")).to_be_visible()


def test_address_can_be_sent_without_script(visit: Visit, picture_server) -> None:
    page = visit(java_script_enabled=False)
    page.get_by_label("Address of a picture").fill(picture_server.url("/602.jpg"))
    page.get_by_role("button", name="Search", exact=True).click()
    page.wait_for_url(RESULTS)
    assert names(page)[0].startswith("blue-")


def test_what_is_no_picture_is_told_of_without_script(
    visit: Visit, watch: Watch, files: Path
) -> None:
    watch.expects("Failed to load resource")
    page = visit(java_script_enabled=False)
    page.set_input_files(PICK, files / "text.txt")
    page.get_by_role("button", name="Search", exact=True).click()
    expect(page.get_by_role("main")).to_contain_text("not a picture of a known format")


@pytest.mark.parametrize(("server", "paths"), EVERYWHERE.items(), ids=EVERYWHERE)
def test_no_page_shows_what_only_script_can_do(
    visit: Visit, watch: Watch, servers: Servers, server: str, paths: tuple[str, ...]
) -> None:
    watch.expects("404|422")
    page = visit(server=servers(server), java_script_enabled=False)
    for path in paths:
        page.goto(path)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        assert not [each for each in page.locator(".scripted").all() if each.is_visible()], path
