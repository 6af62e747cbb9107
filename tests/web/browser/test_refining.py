"""A search made finer: with more pictures, a part of one, fewer hits, filters, a cut-off."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from .acts import RESULTS, act, apply, chips, names, search_with, tiles
from .conftest import Visit
from .pictures import COLOURS

SIZES = re.compile(r"region=")


def colours(page: Page, count: int = 5) -> set[str]:
    """The colours of the first hits."""
    return {name.partition("-")[0] for name in names(page)[:count]}


def scores(page: Page) -> list[float]:
    return [float(text) for text in page.locator(".grid .score").all_inner_texts()]


def test_picture_added_with_plus_brings_others_like_it(visit: Visit) -> None:
    page = visit("/q/1?k=100")
    liked = next(name for name in names(page) if name.startswith("blue-"))
    before = mean_rank(page, "blue")
    act(page, liked, "+")
    page.wait_for_url(re.compile(r"plus=\d+"))
    expect(chips(page)).to_have_count(2)
    expect(chips(page).nth(1)).to_contain_text(liked)
    assert mean_rank(page, "blue") < before - 3


def test_picture_added_with_minus_makes_others_like_it_sink(visit: Visit) -> None:
    page = visit("/q/1?k=100")
    unliked = next(name for name in names(page) if name.partition("-")[0] in COLOURS[1:])
    colour = unliked.partition("-")[0]
    before = mean_rank(page, colour)
    act(page, unliked, "-")
    page.wait_for_url(re.compile(r"minus=\d+"))
    expect(chips(page).nth(1)).to_contain_text(unliked)
    assert mean_rank(page, colour) > before + 3


def mean_rank(page: Page, colour: str) -> float:
    """The mean place of the hits of one colour."""
    places = [place for place, name in enumerate(names(page)) if name.startswith(f"{colour}-")]
    return sum(places) / len(places)


def test_pictures_of_a_search_can_be_taken_away_again_and_back_goes_step_by_step(
    visit: Visit,
) -> None:
    page = visit("/q/1?k=100")
    first, second, third = names(page)[:3]
    act(page, second, "+")
    page.wait_for_url(re.compile("plus="))
    act(page, third, "-")
    page.wait_for_url(re.compile("minus="))
    expect(chips(page)).to_have_count(3)
    page.get_by_role("link", name=f"Remove {second}").click()
    page.wait_for_url(lambda url: "plus=" not in url)
    expect(chips(page)).to_have_count(2)
    page.go_back()
    expect(chips(page)).to_have_count(3)
    page.go_back()
    page.go_back()
    expect(chips(page)).to_have_count(1)
    assert names(page)[:3] == [first, second, third]


@pytest.mark.parametrize("key", ["+", "-"])
def test_hit_can_be_added_by_keyboard(visit: Visit, key: str) -> None:
    page = visit("/q/1")
    tiles(page).nth(2).locator(".open").focus()
    page.keyboard.press(key)
    page.wait_for_url(re.compile(r"plus=\d+" if key == "+" else r"minus=\d+"))


def test_box_drawn_with_the_mouse_searches_for_that_part(visit: Visit, files: Path) -> None:
    page = visit()
    search_with(page, files / "halves.png")
    frame = page.get_by_role("application", name="Region of the picture")
    page.mouse.move(*place(frame, 0.55, 0.1))
    page.mouse.down()
    page.mouse.move(*place(frame, 0.75, 0.5), steps=3)
    page.mouse.move(*place(frame, 0.95, 0.9), steps=3)
    page.mouse.up()
    expect(page.locator("#live")).to_have_text(
        re.compile(r"Region: 5\d % from the left, \d+ % from the top, [34]\d % wide, \d+ % high")
    )
    page.get_by_role("button", name="Search with this region").click()
    page.wait_for_url(SIZES)
    assert colours(page) == {"blue"}
    expect(page.locator(".box")).to_be_visible()


def test_box_can_be_moved_and_resized_with_the_mouse(visit: Visit, files: Path) -> None:
    page = visit()
    search_with(page, files / "halves.png")
    page.goto(f"{page.url}?region=60%25,20%25,30%25,60%25")
    frame = page.get_by_role("application", name="Region of the picture")
    drag(page, frame, (0.75, 0.5), (0.35, 0.5))  # from the middle of the box, to the left by 40 %
    side = page.locator("[data-side]")
    assert [round(float(each.input_value())) for each in side.all()] == [20, 20, 30, 60]
    drag(page, frame, (0.5, 0.8), (0.4, 0.9))  # from its lower right corner
    assert [round(float(each.input_value())) for each in side.all()] == [20, 20, 20, 70]


def drag(page: Page, frame, start: tuple[float, float], end: tuple[float, float]) -> None:
    page.mouse.move(*place(frame, *start))
    page.mouse.down()
    page.mouse.move(*place(frame, *end), steps=4)
    page.mouse.up()


def place(frame, x: float, y: float) -> tuple[float, float]:
    """A place on the window: `x` and `y` are parts of the frame's width and height."""
    box = frame.bounding_box()
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def test_box_can_be_drawn_with_the_keyboard(visit: Visit, files: Path) -> None:
    page = visit()
    search_with(page, files / "halves.png")
    page.get_by_role("application", name="Region of the picture").focus()
    page.keyboard.press("ArrowRight")  # a box in the middle
    live = page.locator("#live")
    expect(live).to_have_text("Region: 20 % from the left, 20 % from the top, 60 % wide, 60 % high")
    for _ in range(10):
        page.keyboard.press("Shift+ArrowLeft")
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    expect(live).to_have_text("Region: 60 % from the left, 20 % from the top, 40 % wide, 60 % high")
    page.keyboard.press("Enter")
    page.wait_for_url(SIZES)
    assert colours(page) == {"blue"}
    page.get_by_role("application", name="Region of the picture").focus()
    page.keyboard.press("Escape")
    expect(live).to_have_text("The whole picture")


def test_suggested_box_searches_at_once(visit: Visit, files: Path) -> None:
    page = visit()
    search_with(page, files / "halves.png")
    page.get_by_role("button", name="Right", exact=True).click()
    page.wait_for_url(SIZES)
    assert colours(page) == {"blue"}
    expect(page.get_by_role("button", name="Right", exact=True)).to_have_attribute(
        "aria-pressed", "true"
    )
    page.get_by_role("button", name="Left", exact=True).click()
    page.wait_for_url(re.compile("region=0"))
    assert colours(page) == {"red"}
    page.get_by_role("button", name="Whole", exact=True).click()
    page.wait_for_url(lambda url: "region=" not in url)


def test_box_can_be_given_in_numbers_without_script(visit: Visit, files: Path) -> None:
    page = visit(java_script_enabled=False)
    page.set_input_files("input[name=image]", files / "halves.png")
    page.get_by_role("button", name="Search", exact=True).click()
    page.wait_for_url(RESULTS)
    page.get_by_text("Region in numbers").click()
    for name, value in (("left", 60), ("top", 10), ("width", 40), ("height", 80)):
        page.get_by_label(f"{name} %").fill(str(value))
    with page.expect_navigation():
        page.get_by_role("button", name="Search with this region").click()
    assert colours(page) == {"blue"}
    assert page.get_by_label("left %").input_value() == "60"


def test_as_many_hits_as_are_wanted_are_shown(visit: Visit) -> None:
    page = visit("/q/1")
    expect(tiles(page)).to_have_count(20)
    page.get_by_role("radio", name="40").check()
    apply(page)
    expect(tiles(page)).to_have_count(40)
    assert page.url.endswith("/q/1?k=40"), "fields that say nothing are not in the address"


def test_only_images_with_the_chosen_value_are_shown(visit: Visit) -> None:
    page = visit("/q/1")
    page.get_by_label("label", exact=True).select_option("teal")
    apply(page)
    assert colours(page, 20) == {"teal"}
    expect(page.get_by_label("label", exact=True)).to_have_value("teal")


def test_only_images_in_the_chosen_range_are_shown(visit: Visit) -> None:
    page = visit("/q/1?k=100")
    prices = page.get_by_role("group", name="price")
    prices.get_by_label("least").fill("3")
    prices.get_by_label("most").fill("4")
    apply(page)
    assert set(names(page)) == {*(f"{colour}-03.jpg" for colour in COLOURS), "red-04.jpg"}


def test_condition_is_a_filter_and_a_slip_in_it_is_shown_beside_it(visit: Visit) -> None:
    page = visit("/q/1")
    field = page.get_by_label("Condition")
    field.fill('caption contains "number 7"')
    apply(page)
    assert {name[-6:] for name in names(page)} == {"07.jpg"}
    field.fill("price <")
    apply(page)
    expect(page.get_by_role("alert")).to_contain_text("The filter was not understood")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_have_value("price <")
    expect(tiles(page)).to_have_count(0)


def test_weak_hits_can_be_left_out_and_shown_again(visit: Visit) -> None:
    page = visit("/q/1?k=100")
    everything = len(names(page))
    page.get_by_label("Least similarity").select_option("auto")
    apply(page)
    assert 0 < len(names(page)) < everything
    left_out = page.get_by_text(re.compile(r"Hits below 0\.\d\d are left out"))
    least = float(re.search(r"0\.\d\d", left_out.inner_text())[0])
    assert min(scores(page)) >= least - 0.005
    page.get_by_role("link", name="Show weaker matches").click()
    expect(tiles(page)).to_have_count(everything)


def test_nothing_similar_enough_is_said_and_a_way_on_shown(visit: Visit) -> None:
    page = visit("/q/1?min=1&where=label%3D%22teal%22")
    expect(page.get_by_role("heading", name="Nothing is similar enough")).to_be_visible()
    page.get_by_role("link", name="Show weaker matches").click()
    assert colours(page, 20) == {"teal"}


def test_near_duplicates_are_folded_into_one(visit: Visit, operated) -> None:
    page = visit("/q/1?k=100", operated)
    before = names(page)
    page.get_by_label("Fold near-duplicates").check()
    apply(page)
    assert len(names(page)) < len(before)
    expect(page.locator(".badge.copies").first).to_contain_text("+1")
