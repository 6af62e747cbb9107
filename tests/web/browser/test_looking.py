"""Looking through hits and the gallery: more of them, one of them, sharing them, going back."""

import re
from pathlib import Path

from playwright.sync_api import expect

from .acts import RESULTS, act, chips, names, search_with, tiles
from .conftest import Visit

MORE = "Load more"


def test_more_hits_are_added_below_with_the_focus_on_the_first_new_one(visit: Visit) -> None:
    page = visit("/q/1")
    first = names(page)
    page.get_by_role("link", name=MORE).click()
    expect(tiles(page)).to_have_count(40)
    assert names(page)[:20] == first
    assert len(set(names(page))) == 40, "none is shown twice"
    expect(tiles(page).nth(20).locator(".open")).to_be_focused()
    expect(page.locator("#live")).to_have_text("40 hits shown")
    expect(page.locator("[data-count]")).to_have_text("40 hits shown")
    assert [int(text) for text in page.locator(".grid .rank").all_inner_texts()] == [*range(1, 41)]
    page.keyboard.press("End")
    page.keyboard.press("ArrowRight")  # from the last hit on to the button, and so on to the end
    while page.get_by_role("link", name=MORE).count():
        count = tiles(page).count()
        page.get_by_role("link", name=MORE).press("Enter")
        expect(tiles(page).nth(count).locator(".open")).to_be_focused()
    assert len(set(names(page))) == len(names(page)) == 75


def test_pages_of_hits_are_real_pages_without_script(visit: Visit) -> None:
    page = visit("/q/1", java_script_enabled=False)
    first = names(page)
    page.get_by_role("link", name=MORE).click()
    page.wait_for_url(re.compile("page=2"))
    second = names(page)
    assert len(second) == 20
    assert not set(first) & set(second)
    page.get_by_role("link", name="Earlier hits").click()
    page.wait_for_url(re.compile(r"/q/1$"))
    assert names(page) == first


def test_hit_opens_with_its_facts_and_neighbours_and_leads_on(visit: Visit) -> None:
    page = visit("/q/1")
    name = names(page)[3]
    tiles(page).nth(3).locator(".open").click()
    page.wait_for_url(re.compile(r"/item/\d+"))
    expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()
    large = page.locator(".large-photo img")
    assert large.evaluate("image => image.decode().then(() => image.naturalWidth)") == 320
    facts = page.locator(".facts")
    expect(facts).to_contain_text("320 × 240")
    expect(facts).to_contain_text("label")
    assert len(names(page)) == 12
    assert name not in names(page)
    page.get_by_role("main").get_by_role("link", name="More like this", exact=True).click()
    page.wait_for_url(RESULTS)
    expect(chips(page)).to_contain_text(name)


def test_images_beside_one_are_reached_by_link_and_by_arrow(visit: Visit) -> None:
    page = visit("/item/2")
    page.get_by_role("link", name="Next image").click()
    page.wait_for_url(re.compile("/item/3$"))
    page.keyboard.press("ArrowLeft")
    page.wait_for_url(re.compile("/item/2$"))
    page.keyboard.press("ArrowLeft")
    page.wait_for_url(re.compile("/item/1$"))
    expect(page.get_by_role("link", name="Previous image")).to_have_count(0)


def test_escape_leads_from_an_image_back_to_the_hits(visit: Visit) -> None:
    page = visit("/q/1")
    tiles(page).nth(1).locator(".open").click()
    page.wait_for_url(re.compile("/item/"))
    page.keyboard.press("Escape")
    page.wait_for_url(RESULTS)


def test_gallery_can_be_browsed_to_its_end(visit: Visit) -> None:
    page = visit("/browse")
    expect(page.get_by_text("76 images · page 1 of 2")).to_be_visible()
    expect(tiles(page)).to_have_count(60)
    page.get_by_role("link", name=MORE).click()
    expect(tiles(page)).to_have_count(76)
    assert len(set(names(page))) == 76
    expect(tiles(page).nth(60).locator(".open")).to_be_focused()
    expect(page.get_by_role("link", name=MORE)).to_have_count(0)


def test_random_images_are_other_ones_each_time_and_the_same_ones_after_back(visit: Visit) -> None:
    page = visit("/random")
    first = names(page)
    with page.expect_navigation():
        page.get_by_role("link", name="Other ones").click()
    expect(tiles(page)).to_have_count(len(first))
    assert names(page) != first
    page.go_back()
    assert names(page) == first


def test_address_of_a_search_shows_others_the_same(visit: Visit, files: Path) -> None:
    page = visit()
    search_with(page, files / "halves.png")
    act(page, names(page)[4], "+")
    page.wait_for_url(re.compile("plus="))
    other = visit(page.url)
    assert names(other) == names(page)
    expect(chips(other)).to_have_count(2)
    page.reload()
    assert names(page) == names(other)


def test_search_that_was_kept_no_longer_is_told_of(visit: Visit, watch) -> None:
    watch.expects("404|410")
    page = visit("/q/AAAAAAAAAAAAAAAAAAAAAA")
    expect(page.locator("main .status")).to_have_text(re.compile("404|410"))
    page.get_by_role("main").get_by_role("link").first.click()


def test_history_opens_searches_again_and_forgets_them(visit: Visit, files: Path) -> None:
    page = visit()
    for colour in ("red", "green", "blue"):
        search_with(page, files / f"{colour}.jpg")
    hits = names(page)
    page.goto("/history")
    rows = page.locator(".rows li")
    assert rows.locator("strong").all_inner_texts() == ["blue.jpg", "green.jpg", "red.jpg"]
    rows.first.locator("a").click()
    page.wait_for_url(RESULTS)
    assert names(page) == hits
    page.goto("/history")
    page.get_by_role("button", name="Forget green.jpg").click()
    expect(rows).to_have_count(2)
    assert sorted(rows.locator("strong").all_inner_texts()) == ["blue.jpg", "red.jpg"]
    page.get_by_text("Clear all", exact=True).click()
    page.get_by_role("button", name="Yes, clear all").click()
    expect(page.get_by_role("heading", name="No searches yet")).to_be_visible()


def test_history_is_of_one_browser_only(visit: Visit, files: Path) -> None:
    page, other = visit(), visit()
    search_with(page, files / "red.jpg")
    other.goto("/history")
    expect(other.get_by_role("heading", name="No searches yet")).to_be_visible()
    page.goto("/")
    expect(page.get_by_role("heading", name="Recent searches")).to_be_visible()
