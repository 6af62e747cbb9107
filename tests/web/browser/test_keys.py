"""Everything by keyboard, with a focus that can be seen; single keys that stay out of typing."""

import re

from playwright.sync_api import Page, expect

from .acts import RESULTS, tiles
from .conftest import Visit

FOCUS = """() => {
    const element = document.activeElement;
    const shown = element.matches(".pick input") ? element.closest("label")
        : element.matches(".segments input") ? element.nextElementSibling : element;
    const style = getComputedStyle(shown);
    return {
        name: element.getAttribute("aria-label") || element.innerText || element.name || "",
        outline: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
        body: element === document.body,
    };
}"""


def test_first_page_to_an_open_hit_by_keyboard_alone(visit: Visit) -> None:
    page = visit()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    tab_to(page, "sample", "document.activeElement.matches('.sample .open')")
    page.keyboard.press("Enter")
    page.wait_for_url(RESULTS)
    tab_to(page, "hit", "document.activeElement.matches('.grid .open')")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    expect(page.locator(".grid .open:focus")).to_have_count(1)
    assert page.evaluate(FOCUS)["outline"]
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/item/\d+"))


def tab_to(page: Page, what: str, condition: str) -> None:
    """Presses Tab until a condition holds; each stop on the way shows where the focus is."""
    for _ in range(60):
        page.keyboard.press("Tab")
        seen = page.evaluate(FOCUS)
        assert seen["outline"] or seen["body"], f"the focus on {seen['name']!r} cannot be seen"
        if page.evaluate(condition):
            return
    raise AssertionError(f"no {what} is reached by Tab")


def test_arrows_move_by_place_in_the_grid(visit: Visit) -> None:
    page = visit("/q/1")
    opens = page.locator(".grid .open")
    opens.first.focus()
    page.keyboard.press("ArrowRight")
    expect(opens.nth(1)).to_be_focused()
    page.keyboard.press("ArrowDown")
    above, below = opens.nth(1).bounding_box(), page.locator(".grid .open:focus").bounding_box()
    assert below["x"] == above["x"]
    assert below["y"] > above["y"]
    page.keyboard.press("ArrowUp")
    expect(opens.nth(1)).to_be_focused()
    page.keyboard.press("End")
    expect(opens.last).to_be_focused()
    page.keyboard.press("Home")
    expect(opens.first).to_be_focused()
    page.keyboard.press("s")
    page.wait_for_url(re.compile(r"/q/(?!1$)\d+$"))


def test_question_mark_shows_the_sheet_of_shortcuts(visit: Visit) -> None:
    page = visit("/browse")
    sheet = page.get_by_role("dialog", name="Keyboard shortcuts")
    expect(sheet).to_be_hidden()
    page.keyboard.press("?")
    expect(sheet).to_be_visible()
    expect(sheet).to_contain_text("to the search field")
    page.keyboard.press("Escape")
    expect(sheet).to_be_hidden()


def test_slash_and_control_k_lead_to_the_search_field(visit: Visit) -> None:
    page = visit("/help")
    field = page.locator("form[data-ask] :focus")
    for key in ("/", "Control+k"):
        page.evaluate("document.activeElement.blur()")
        expect(field).to_have_count(0)
        page.keyboard.press(key)
        expect(field).to_have_count(1)


def test_g_and_a_letter_lead_to_the_pages(visit: Visit) -> None:
    page = visit()
    for path in ("/browse", "/random", "/history", "/duplicates"):
        page.keyboard.press("g")
        page.keyboard.press(path[1])
        page.wait_for_url(f"**{path}*")


def test_shortcuts_are_silent_while_somebody_types(visit: Visit) -> None:
    page = visit("/q/1")
    field = page.get_by_label("Condition")
    field.click()
    page.keyboard.type("s?/gb+-k")
    expect(field).to_have_value("s?/gb+-k")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(field).to_be_focused()
    assert page.url.endswith("/q/1")


def test_single_keys_can_be_switched_off(visit: Visit) -> None:
    page = visit("/q/1")
    page.keyboard.press("?")
    page.get_by_label("Use shortcuts of a single key").uncheck()
    page.keyboard.press("Escape")
    page.reload()
    tiles(page).first.locator(".open").focus()
    page.keyboard.press("s")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert page.url.endswith("/q/1")


def test_button_copies_a_command(visit: Visit) -> None:
    page = visit("/api/docs", permissions=["clipboard-read", "clipboard-write"])
    button = page.locator("[data-copy]").first
    command = button.locator("xpath=preceding-sibling::code").inner_text()
    button.click()
    expect(button).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == command
