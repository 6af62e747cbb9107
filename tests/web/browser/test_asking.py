"""Every way to ask: choose, drop, paste, photograph, give an address, click; and what fails."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from .acts import PICK, RESULTS, act, chips, names, search_with, tiles
from .conftest import Visit
from .picture_server import PictureServer
from .pictures import noise
from .served import Served
from .watch import Watch

TOUCH = {"has_touch": True, "is_mobile": True, "viewport": {"width": 390, "height": 800}}


def test_picture_that_is_chosen_is_searched_with_at_once(visit: Visit, files: Path) -> None:
    page = visit()
    search_with(page, files / "red.jpg")
    assert all(name.startswith("red-") for name in names(page)[:5])
    expect(chips(page)).to_have_count(1)
    expect(chips(page)).to_contain_text("red.jpg")


def test_picture_can_be_chosen_in_the_head_of_every_page(visit: Visit, files: Path) -> None:
    page = visit("/help")
    search_with(page, files / "blue.jpg")
    assert names(page)[0].startswith("blue-")


def test_picture_can_be_dropped_anywhere(visit: Visit, files: Path) -> None:
    page = visit("/browse")
    browser = page.context.new_cdp_session(page)
    dragged = {"items": [], "files": [str(files / "teal.jpg")], "dragOperationsMask": 1}

    def drag(what: str) -> None:
        place = {"x": 400, "y": 600}
        browser.send("Input.dispatchDragEvent", {"type": what, "data": dragged, **place})

    veil = page.get_by_text("Drop the picture anywhere")
    expect(veil).to_be_hidden()
    drag("dragEnter")
    drag("dragOver")
    expect(veil).to_be_visible()
    drag("drop")
    page.wait_for_url(RESULTS)
    assert names(page)[0].startswith("teal-")


def test_picture_can_be_pasted(visit: Visit) -> None:
    page = visit("/history", permissions=["clipboard-read", "clipboard-write"])
    page.evaluate(
        """async () => {
            const canvas = new OffscreenCanvas(60, 40);
            const context = canvas.getContext("2d");
            context.fillStyle = "purple";
            context.fillRect(0, 0, 60, 40);
            const blob = await canvas.convertToBlob({ type: "image/png" });
            await navigator.clipboard.write([new ClipboardItem({ "image/png": blob })]);
        }"""
    )
    page.keyboard.press("Control+V")
    page.wait_for_url(RESULTS)
    assert names(page)[0].startswith("purple-")


def paste_text(page: Page, text: str) -> None:
    page.evaluate("text => navigator.clipboard.writeText(text)", text)
    page.keyboard.press("Control+V")


def test_address_can_be_pasted(visit: Visit, picture_server: PictureServer) -> None:
    page = visit(permissions=["clipboard-read", "clipboard-write"])
    paste_text(page, picture_server.url("/600.jpg"))
    page.wait_for_url(RESULTS)
    assert names(page)[0].startswith("red-")


def test_address_can_be_typed(visit: Visit, picture_server: PictureServer) -> None:
    page = visit()
    page.get_by_label("Address of a picture").fill(picture_server.url("/602.jpg"))
    page.keyboard.press("Enter")
    page.wait_for_url(RESULTS)
    assert names(page)[0].startswith("blue-")


def test_address_with_no_picture_is_told_of_in_place(
    visit: Visit, watch: Watch, picture_server: PictureServer
) -> None:
    watch.expects("Failed to load resource")
    page = visit()
    page.get_by_label("Address of a picture").fill(picture_server.url("/nothing"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("404")
    assert page.url.endswith("/")


def test_pasted_address_is_refused_with_a_reason_where_none_is_fetched(
    visit: Visit, guarded: Served
) -> None:
    page = visit("/enter?next=/", guarded, permissions=["clipboard-read", "clipboard-write"])
    page.get_by_label("Token").fill("a-token-of-more-than-16-letters")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{guarded.address}/")
    paste_text(page, "http://127.0.0.1/x.jpg")
    expect(page.get_by_role("alert")).to_contain_text("does not fetch pictures from addresses")


def test_pasted_words_are_no_query(visit: Visit) -> None:
    page = visit(permissions=["clipboard-read", "clipboard-write"])
    paste_text(page, "only words")
    expect(page.get_by_role("alert")).to_contain_text("There is no picture in what was given")


def test_phone_offers_its_camera_and_a_desk_does_not(visit: Visit, files: Path) -> None:
    assert not visit().get_by_text("Take a photo").is_visible()
    page = visit(**TOUCH)
    camera = page.locator("input[capture=environment]")
    expect(page.get_by_text("Take a photo")).to_be_visible()
    camera.set_input_files(files / "orange.jpg")
    page.wait_for_url(RESULTS)
    assert names(page)[0].startswith("orange-")


def test_image_of_the_gallery_is_a_query_too(visit: Visit) -> None:
    page = visit()
    sample = page.locator(".sample .open").first
    name = re.sub("^More like ", "", sample.locator("img").get_attribute("alt") or "")
    sample.click()
    page.wait_for_url(re.compile(r"/q/\d+$"))
    expect(chips(page)).to_contain_text(name)


def test_each_hit_leads_to_what_is_like_it(visit: Visit, files: Path) -> None:
    page = visit()
    search_with(page, files / "halves.png")
    green = next(name for name in names(page) if not name.startswith("red"))
    act(page, green, "s")
    page.wait_for_url(re.compile(r"/q/\d+$"))
    expect(chips(page)).to_contain_text(green)


def test_query_is_shown_while_it_is_searched_for(visit: Visit, files: Path) -> None:
    page, held = visit(), []
    page.route("**/search", lambda route: held.append(route))
    page.set_input_files(PICK, files / "red.jpg")
    preview = page.locator("[data-preview]")
    expect(preview.get_by_role("img", name="The chosen picture")).to_be_visible()
    expect(preview.get_by_role("status")).to_have_text("Searching…")
    expect(preview).to_contain_text("red.jpg")
    expect(page.locator("form[data-ask]")).to_have_attribute("aria-busy", "true")
    natural = preview.locator("img").evaluate(
        "image => image.decode().then(() => image.naturalWidth)"
    )
    assert natural == 320
    while not held:  # it is shown before it is sent
        page.wait_for_timeout(10)
    held[0].continue_()
    page.wait_for_url(RESULTS)


def test_query_can_be_taken_back_while_it_is_searched_for(visit: Visit, files: Path) -> None:
    page, held = visit(), []
    page.route("**/search", lambda route: held.append(route))
    page.set_input_files(PICK, files / "red.jpg")
    page.get_by_role("button", name="Clear the picture").click()
    expect(page.locator("[data-preview]")).to_be_hidden()
    expect(page.locator("form[data-ask]")).to_have_attribute("aria-busy", "false")


def test_busy_server_is_asked_again_by_itself(visit: Visit, watch: Watch, files: Path) -> None:
    watch.expects("503")
    page, asked = visit(), []

    def answer(route: Route) -> None:
        asked.append(route)
        if len(asked) == 1:
            route.fulfill(status=503, headers={"Retry-After": "30"}, body="")
        else:
            route.continue_()

    page.route("**/search", answer)
    page.clock.install()
    page.set_input_files(PICK, files / "red.jpg")
    doing = page.locator("[data-doing]")
    expect(doing).to_contain_text("The server is busy. Trying again in 30 s")
    page.clock.fast_forward(30_000)
    page.wait_for_url(RESULTS)
    assert len(asked) == 2


def test_server_that_is_gone_is_told_of(visit: Visit, watch: Watch, files: Path) -> None:
    watch.expects("ERR_CONNECTION_REFUSED")
    page = visit()
    page.route("**/search", lambda route: route.abort("connectionrefused"))
    page.set_input_files(PICK, files / "red.jpg")
    expect(page.get_by_role("alert")).to_contain_text("The server cannot be reached")


@pytest.mark.parametrize("javascript", [True, False])
def test_picture_over_the_limit_is_made_smaller_where_there_is_script(
    visit: Visit, watch: Watch, tmp_path: Path, javascript: bool
) -> None:
    large = noise(tmp_path / "large.png")
    page = visit(java_script_enabled=javascript)
    page.set_input_files(PICK, large)
    if not javascript:
        watch.expects("413|favicon.ico")  # Chromium wants an icon for a page of plain text
        page.get_by_role("button", name="Search", exact=True).click()
        expect(page.locator("body")).to_contain_text("larger than the limit")
        return
    expect(page.locator("[data-note]")).to_contain_text("made smaller, as at most 10 MB are taken")
    page.wait_for_url(RESULTS, timeout=60_000)
    expect(tiles(page)).to_have_count(20)


def test_text_file_is_told_of_in_place(visit: Visit, watch: Watch, files: Path) -> None:
    watch.expects("Failed to load resource")
    page = visit()
    page.set_input_files(PICK, files / "text.txt")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("Not a picture of a known format")
    assert page.url.endswith("/")
    page.set_input_files(PICK, files / "red.jpg")  # and the next one is searched with as ever
    page.wait_for_url(RESULTS)
