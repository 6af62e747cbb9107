"""Accounts: rules for passwords, coming in and going out, whose history, and what is not there."""

import re

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

GOOD = "correct horse battery"


def register(here, name: str = "alice", password: str = GOOD, **more: str):
    fields = {"username": name, "password1": password, "password2": password, **more}
    return here.post("/accounts/register", fields)


def log_in(here, name: str = "alice", password: str = GOOD, **more: str):
    return here.post("/accounts/login", {"username": name, "password": password, **more})


@pytest.mark.parametrize("path", ["/accounts/login", "/accounts/register", "/admin/", "/enter"])
def test_WEB_37_there_are_no_accounts_and_no_admin_unless_asked_for(site, path: str) -> None:
    assert site().client.get(path).status_code == 404


def test_registering_logs_in_and_going_out_takes_a_form(site) -> None:
    here = site(accounts=True)
    assert register(here).status_code == 303
    assert "alice" in here.client.get("/").content.decode()
    assert here.client.get("/accounts/logout").status_code == 405
    assert here.post("/accounts/logout", {}).status_code == 303
    assert "alice" not in here.client.get("/").content.decode()
    assert log_in(here).status_code == 303
    assert "alice" in here.client.get("/").content.decode()


@pytest.mark.parametrize("password", ["short", "password", "1234567890123", "alice123"])
def test_the_rules_for_passwords_are_enforced(site, password: str) -> None:
    here = site(accounts=True)
    response = register(here, password=password)
    assert response.status_code == 200
    assert "errorlist" in response.content.decode() or "error" in response.content.decode()
    from django.contrib.auth.models import User

    assert not User.objects.exists()


def test_a_wrong_password_does_not_let_in(site) -> None:
    here = site(accounts=True)
    register(here)
    here.post("/accounts/logout", {})
    assert log_in(here, password="wrong").status_code == 200
    assert "alice" not in re.sub(r'value="alice"', "", here.client.get("/").content.decode())


def test_WEB_37_trying_passwords_is_slowed_down(site) -> None:
    here = site(accounts=True)
    register(here)
    here.post("/accounts/logout", {})
    answers = [log_in(here, password=f"wrong{number}").status_code for number in range(12)]
    assert answers[0] == 200
    assert answers[-1] == 429
    assert log_in(here, name="bob", password="x").status_code == 200, "another name is not held up"


def test_each_account_has_its_own_history_and_takes_the_browsers_along(site, picture) -> None:
    here = site(accounts=True)
    address = here.post("/search", {"image": SimpleUploadedFile("a.jpg", picture)})["Location"]
    here.client.get(address)
    register(here)
    assert address in here.client.get("/history").content.decode()
    here.post("/accounts/logout", {})
    assert address not in here.client.get("/history").content.decode()
    register(here, name="bob")
    assert address not in here.client.get("/history").content.decode()
    here.post("/accounts/logout", {})
    log_in(here)
    assert address in here.client.get("/history").content.decode()


def test_no_new_accounts_where_it_is_closed(site) -> None:
    here = site(accounts=True, registration=False)
    assert here.client.get("/accounts/register").status_code == 404
    assert "/accounts/register" not in here.client.get("/").content.decode()


@pytest.mark.parametrize(
    "target", ["//evil.com", "https://evil.com/", "/\\evil.com", "javascript:1"]
)
def test_WEB_36_logging_in_never_leads_to_another_site(site, target: str) -> None:
    here = site(accounts=True)
    assert register(here, next=target)["Location"] == "/"
    here.post("/accounts/logout", {})
    assert log_in(here, next=target)["Location"] == "/"


@pytest.mark.parametrize(
    "target", ["//evil.com", "https://evil.com/", "/\\evil.com", "\t//evil.com"]
)
def test_WEB_36_a_preference_never_leads_to_another_site(site, target: str) -> None:
    here = site()
    for name, value in (("theme", "dark"), ("language", "zh-hans")):
        response = here.post(f"/preferences/{name}", {name: value, "next": target})
        assert response["Location"] == "/"


def test_the_way_back_is_kept(site) -> None:
    response = site().post("/preferences/theme", {"theme": "dark", "next": "/q/1?k=40"})
    assert response["Location"] == "/q/1?k=40"


def test_light_dark_and_language_are_remembered(site) -> None:
    here = site()
    here.post("/preferences/theme", {"theme": "dark"})
    here.post("/preferences/language", {"language": "zh-hans"})
    page = here.client.get("/").content.decode()
    assert 'data-theme="dark"' in page
    assert 'lang="zh-hans"' in page.lower() or 'lang="zh-Hans"' in page
    here.post("/preferences/theme", {"theme": "loud"})
    here.post("/preferences/language", {"language": "xx"})
    assert 'data-theme="dark"' in here.client.get("/").content.decode()


def test_the_browsers_language_counts_where_none_was_chosen(site) -> None:
    here = site()
    page = here.client.get("/", headers={"Accept-Language": "zh-CN,zh;q=0.9"}).content.decode()
    assert re.search(r"[\u4e00-\u9fff]{2}", page)


def test_who_lacks_the_token_is_led_to_where_it_is_asked_for(site) -> None:
    here = site(token="a token of many letters")
    response = here.client.get("/q/1?k=40")
    assert response.status_code in (302, 303)
    assert response["Location"].startswith("/enter?next=")
    assert here.client.get("/api/v1/gallery").status_code == 401
    assert here.client.get("/healthz").status_code == 200


def test_the_token_lets_in_people_by_a_cookie_and_programs_by_a_header(site) -> None:
    here = site(token="a token of many letters")
    here.client.get("/enter")
    form = {"token": "a token of many letters", "next": "/q/1"}
    token = here.client.cookies["csrftoken"].value
    wrong = here.client.post(
        "/enter", {**form, "token": "another one", "csrfmiddlewaretoken": token}
    )
    assert wrong.status_code == 403
    assert here.client.get("/").status_code in (302, 303)
    right = here.client.post("/enter", {**form, "csrfmiddlewaretoken": token})
    assert right["Location"] == "/q/1"
    assert here.client.get("/q/1").status_code == 200
    here.client.cookies.clear()
    header = {"Authorization": "Bearer a token of many letters"}
    assert here.client.get("/api/v1/gallery", headers=header).status_code == 200
    assert (
        here.client.get("/api/v1/gallery", headers={"Authorization": "Bearer x"}).status_code == 401
    )


def test_WEB_12_a_form_without_the_right_token_does_nothing(site, picture) -> None:
    here = site(accounts=True)
    here.client.get("/")
    for path in (
        "/search",
        "/history/clear",
        "/history/forget",
        "/preferences/theme",
        "/preferences/language",
        "/duplicates/decide",
        "/duplicates/undo",
        "/accounts/login",
        "/accounts/register",
        "/accounts/logout",
    ):
        for fields in ({}, {"csrfmiddlewaretoken": "x" * 64}):
            response = here.client.post(path, {**fields, "image": SimpleUploadedFile("a", picture)})
            assert response.status_code == 403, path
