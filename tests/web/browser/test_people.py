"""Who comes in: accounts with rules for passwords, one history each; and a server with a token."""

import re
from pathlib import Path

from playwright.sync_api import Page, expect

from .acts import names, search_with, settings
from .conftest import TOKEN, Visit
from .served import Served
from .watch import Watch

PASSWORD = "brown-otters-swim-42"


def register(page: Page, name: str, password: str = PASSWORD, again: str | None = None) -> None:
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_label("Password confirmation").fill(again or password)
    page.get_by_role("button", name="Register").click()


def log_out(page: Page) -> None:
    with page.expect_request("**/accounts/logout") as sent, page.expect_navigation():
        settings(page).get_by_role("button", name="Log out").click()
    assert sent.value.method == "POST"


def log_in(page: Page, name: str, password: str = PASSWORD) -> None:
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def test_weak_passwords_are_refused_with_the_rules(visit: Visit, membered: Served) -> None:
    page = visit("/accounts/register", membered)
    register(page, "weak", "12345678")
    expect(page.locator("form.card")).to_contain_text("too common")
    expect(page.locator("form.card")).to_contain_text("entirely numeric")
    register(page, "weak", PASSWORD, "brown-otters-swim-43")
    expect(page.locator("form.card")).to_contain_text("didn’t match")
    expect(page.get_by_label("Username")).to_have_value("weak")
    assert page.url.endswith("/accounts/register")


def test_account_is_made_left_by_post_and_entered_again(visit: Visit, membered: Served) -> None:
    page = visit("/accounts/register?next=/help", membered)
    register(page, "anna")
    page.wait_for_url("**/help")
    expect(settings(page)).to_contain_text("Logged in as anna")
    page.keyboard.press("Escape")
    log_out(page)
    page.goto("/accounts/login?next=/browse")
    log_in(page, "anna", "something else")
    expect(page.get_by_role("alert")).to_contain_text("correct username and password")
    log_in(page, "anna")
    page.wait_for_url("**/browse")
    expect(settings(page)).to_contain_text("Logged in as anna")


def test_each_account_has_a_history_of_its_own(visit: Visit, membered: Served, files: Path) -> None:
    page = visit("/accounts/register", membered)
    register(page, "berta")
    page.wait_for_url(f"{membered.address}/")
    search_with(page, files / "red.jpg")
    page.goto("/history")
    expect(page.locator(".rows strong")).to_have_text(["red.jpg"])
    expect(page.get_by_text("What you searched for with this account")).to_be_visible()
    log_out(page)
    page.goto("/accounts/register")
    register(page, "carla")
    page.wait_for_url(f"{membered.address}/")
    page.goto("/history")
    expect(page.get_by_role("heading", name="No searches yet")).to_be_visible()
    other = visit("/accounts/login?next=/history", membered)
    log_in(other, "berta")
    expect(other.locator(".rows strong")).to_have_text(["red.jpg"])


def test_WEB_38_after_logging_out_back_shows_nothing_of_the_account(
    visit: Visit, watch: Watch, membered: Served, files: Path
) -> None:
    watch.expects("404")
    page = visit("/accounts/register", membered)
    register(page, "dora")
    page.wait_for_url(f"{membered.address}/")
    search_with(page, files / "green.jpg")
    page.goto("/history")
    expect(page.locator(".rows strong")).to_have_text(["green.jpg"])
    log_out(page)
    page.go_back()
    page.wait_for_url("**/history")
    expect(page.get_by_text("green.jpg")).to_have_count(0)


def test_token_is_asked_for_and_leads_on_to_what_was_wanted(
    visit: Visit, watch: Watch, guarded: Served
) -> None:
    watch.expects("403")
    page = visit("/browse", guarded)
    page.wait_for_url(re.compile(r"/enter\?next="))
    assert names(page) == []
    page.get_by_label("Token").fill("this-is-not-the-token")
    page.get_by_role("button", name="Enter").click()
    expect(page.get_by_role("alert")).to_have_text("That is not the token.")
    page.get_by_label("Token").fill(TOKEN)
    page.get_by_role("button", name="Enter").click()
    page.wait_for_url("**/browse")
    assert len(names(page)) == 60
