"""What the tests do on a page again and again."""

import re
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

RESULTS = re.compile(r"/q/[\w-]+")
PICK = "form[data-ask] input[name=image]"


def search_with(page: Page, file: Path) -> None:
    """Chooses a file in the search field, and waits for what is like it."""
    with page.expect_navigation(url=RESULTS):
        page.set_input_files(PICK, file)
    expect(page.get_by_role("heading", name="Similar images", exact=True)).to_be_attached()


def tiles(page: Page) -> Locator:
    return page.locator(".grid .tile")


def names(page: Page) -> list[str]:
    """The file names of the tiles, in their order."""
    return page.locator(".grid .tile .words .name").all_inner_texts()


def tile(page: Page, name: str) -> Locator:
    """The tile of a file."""
    return tiles(page).filter(has=page.get_by_text(name, exact=True))


def act(page: Page, name: str, key: str) -> None:
    """Presses a button of a tile: "+", "-" or "s"."""
    found = tile(page, name)
    found.hover()
    found.locator(f'[data-key="{key}"]').click()


def chips(page: Page) -> Locator:
    return page.locator(".chips .chip")


def apply(page: Page) -> None:
    """Sends the options of a search, and waits for the page that comes."""
    with page.expect_navigation():
        page.get_by_role("button", name="Apply").click()


def settings(page: Page) -> Locator:
    """Opens the settings."""
    page.get_by_role("button", name=re.compile("Settings|设置")).click()
    return page.locator("#settings")
