"""The operator indexes from the page: progress, a reload in the middle, the end, refusals."""

import re
from pathlib import Path

from playwright.sync_api import expect

from . import pictures
from .conftest import Visit
from .picture_server import PictureServer
from .served import Served


def test_progress_of_indexing_survives_a_reload_and_what_is_new_is_found(
    visit: Visit, operated: Served, picture_server: PictureServer
) -> None:
    listed = operated.gallery.parent / "more" / "slow.csv"
    addresses = [picture_server.url(f"/{number}.jpg?held=1") for number in range(900, 920)]
    pictures.address_list(listed, [*addresses, picture_server.url("/nothing")])
    picture_server.hold()
    page = visit("/indexing", operated)
    page.get_by_label("Folder or list on the server").fill(str(listed))
    page.get_by_role("button", name="Index", exact=True).click()
    state = page.locator("#job [data-status]")
    expect(state).to_have_text("running")
    expect(page.get_by_role("progressbar")).to_be_visible()
    page.reload()
    expect(state).to_have_text("running")
    expect(page.locator("#job h2")).to_have_text(str(listed))
    picture_server.let_go()
    expect(state).to_have_text("done")
    counts = [text.split() for text in page.locator("#job .counts > div").all_inner_texts()]
    assert ["stored", "20"] in counts
    assert ["failed", "1"] in counts
    expect(page.locator("#live")).to_have_text("done")
    expect(page.locator("#job table")).to_contain_text("404")
    expect(page.get_by_role("heading", name="Latest runs")).to_have_count(0)  # it was the first
    page.goto("/browse")
    expect(page.get_by_text("915.jpg", exact=True)).to_be_visible()


def test_run_can_be_stopped(visit: Visit, operated: Served, picture_server: PictureServer) -> None:
    listed = operated.gallery.parent / "more" / "endless.csv"
    pictures.address_list(
        listed, [picture_server.url(f"/{number}.jpg?held=1") for number in range(1000, 1200)]
    )
    picture_server.hold()
    page = visit("/indexing", operated)
    page.get_by_label("Folder or list on the server").fill(str(listed))
    page.keyboard.press("Enter")
    with page.expect_response("**/indexing/stop"):
        page.get_by_role("button", name="Stop").click()
    picture_server.let_go()
    expect(page.locator("#job [data-status]")).to_have_text("stopped")
    page.get_by_label("Folder or list on the server").fill(str(listed.parent))
    page.get_by_role("button", name="Index", exact=True).click()
    expect(page.locator("#job h2")).to_have_text(str(listed.parent))
    runs = page.get_by_role("region", name="Latest runs").get_by_role("row")
    expect(runs.filter(has_text="endless.csv")).to_contain_text("stopped")


def test_folder_elsewhere_is_refused_in_place(
    visit: Visit, watch, operated: Served, tmp_path: Path
) -> None:
    watch.expects("422")
    page = visit("/indexing", operated)
    page.get_by_label("Folder or list on the server").fill(str(tmp_path))
    page.get_by_role("button", name="Index", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("it may not be indexed from here")
    expect(page.get_by_label("Folder or list on the server")).to_have_value(str(tmp_path))


def test_nobody_indexes_where_it_was_not_allowed(visit: Visit, watch) -> None:
    watch.expects("404")
    page = visit("/")
    expect(page.get_by_role("link", name="Indexing")).to_have_count(0)
    page.goto("/indexing")
    expect(page.locator("main .status")).to_have_text("404")
    expect(page.get_by_role("link", name=re.compile("start"))).not_to_have_count(0)
