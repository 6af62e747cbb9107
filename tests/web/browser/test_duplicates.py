"""Duplicates are reviewed one group at a time, by keyboard or by button; nothing is touched."""

import re

from playwright.sync_api import Page, expect

from .conftest import Visit
from .served import Served, dupes
from .watch import Watch


def discarded(server: Served) -> list[str]:
    """What `dinoseek dupes --discarded` would move away."""
    found = dupes(server.gallery, "--discarded", "--dry-run")["groups"]
    return sorted(
        image["path"].rpartition("/")[2]
        for group in found
        for image in group["images"]
        if not image["keep"]
    )


def group(page: Page) -> str:
    heading = page.get_by_role("heading", name=re.compile("^Group ")).inner_text()
    return heading.partition("\n")[0]


def focused(page: Page) -> str:
    return page.evaluate(
        "document.activeElement.closest('.twin').querySelector('strong').innerText"
    )


def press(page: Page, key: str) -> None:
    with page.expect_navigation():
        page.keyboard.press(key)


def test_groups_are_decided_on_by_keyboard_and_the_command_line_knows(
    visit: Visit, operated: Served
) -> None:
    page = visit("/duplicates?level=near", operated)
    assert group(page) == "Group 1 of 3"
    names = page.locator(".twin strong").all_inner_texts()
    assert focused(page) == names[0]
    assert not names[0].endswith("-small.jpg"), "the larger one is first, and suggested"
    page.keyboard.press("ArrowRight")
    assert focused(page) == names[1]
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowRight")
    press(page, "d")
    assert group(page) == "Group 2 of 3"
    assert discarded(operated) == [names[1]]
    press(page, "a")
    assert group(page) == "Group 3 of 3"
    expect(page.get_by_text("1 file is to be discarded")).to_be_visible()
    press(page, "k")
    press(page, "u")
    assert group(page) == "Group 3 of 3"
    press(page, "u")
    assert group(page) == "Group 2 of 3"
    press(page, "p")
    assert group(page) == "Group 1 of 3"
    expect(page.locator(".twin.is-discard strong")).to_have_text(names[1])
    press(page, "u")
    assert discarded(operated) == []
    press(page, "n")
    assert group(page) == "Group 2 of 3"


def test_groups_are_decided_on_by_button_without_script(visit: Visit, operated: Served) -> None:
    page = visit("/duplicates?level=exact", operated, java_script_enabled=False)
    assert group(page) == "Group 1 of 2"
    name = page.locator(".twin strong").nth(1).inner_text()
    with page.expect_navigation():
        page.get_by_role("button", name=f"Discard {name}").click()
    assert group(page) == "Group 2 of 2"
    assert discarded(operated) == [name]
    with page.expect_navigation():
        page.get_by_role("link", name="Previous").click()
    expect(page.locator(".twin.is-discard strong")).to_have_text(name)
    with page.expect_navigation():
        page.get_by_role("button", name="Undo").click()
    assert discarded(operated) == []
    with page.expect_navigation():
        page.get_by_role("button", name="Keep all").click()
    assert group(page) == "Group 2 of 2"
    kept = [one for one in dupes(operated.gallery)["groups"] if one["level"] == "exact"]
    assert len(kept) == 1, "the group of which all are kept is not a group any more"
    with page.expect_navigation():
        page.get_by_role("button", name="Undo").click()


def test_last_file_of_a_group_cannot_be_discarded(
    visit: Visit, watch: Watch, operated: Served
) -> None:
    watch.expects("409")
    page = visit("/duplicates?level=near&group=3", operated)
    names = page.locator(".twin strong").all_inner_texts()
    with page.expect_navigation():
        page.get_by_role("button", name=f"Discard {names[1]}").click()
    page.goto("/duplicates?level=near&group=3")
    with page.expect_navigation():
        page.get_by_role("button", name=f"Discard {names[0]}").click()
    expect(page.get_by_role("alert")).to_contain_text("last file of this group that is kept")
    assert discarded(operated) == [names[1]]
    with page.expect_navigation():
        page.get_by_role("button", name="Undo").click()
    assert discarded(operated) == []
