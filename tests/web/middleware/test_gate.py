from collections.abc import Callable
from typing import Any

import pytest

Make = Callable[..., Any]
TOKEN = "a-token-of-more-than-16-characters"


@pytest.fixture(autouse=True)
def no_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    from collections import OrderedDict

    monkeypatch.setattr("dinoseek.web.tries._tried", OrderedDict())


def entered(made: Any) -> Any:
    page = made.client.get("/enter")
    assert page.status_code == 200
    csrf = made.client.cookies["csrftoken"].value
    return made.client.post("/enter", {"token": TOKEN, "csrfmiddlewaretoken": csrf})


def test_page_without_the_token_leads_to_the_entry_and_back(site: Make) -> None:
    response = site(token=TOKEN).client.get("/browse?page=2")
    assert response.status_code == 303
    assert response["Location"] == "/enter?next=%2Fbrowse%3Fpage%3D2"


def test_nothing_is_shown_without_the_token(site: Make) -> None:
    client = site(token=TOKEN).client
    for path in ("/", "/q/1", "/media/1/thumb/0000000000000000.jpg", "/history", "/search"):
        assert client.get(path).status_code == 303, path
        assert client.post(path).status_code == 303, path


def test_monitors_and_the_entry_are_open(site: Make) -> None:
    client = site(token=TOKEN).client
    for path in ("/healthz", "/readyz", "/enter", "/static/finder/favicon.svg"):
        response = client.get(path)
        response.close()
        assert response.status_code == 200, path


def test_program_without_the_token_gets_401_as_json(site: Make) -> None:
    response = site(token=TOKEN).client.get("/api/v1/gallery")
    assert response.status_code == 401
    assert response["WWW-Authenticate"].startswith("Bearer")
    assert response.json()["error"]["code"] == "token"
    assert TOKEN not in response.content.decode()


def test_part_of_a_page_without_the_token_leads_to_the_entry(site: Make) -> None:
    response = site(token=TOKEN).client.get("/browse", headers={"HX-Request": "true"})
    assert response.status_code == 401
    assert response["HX-Redirect"] == "/enter?next=%2F"


def test_program_with_the_token_comes_in(site: Make) -> None:
    client = site(token=TOKEN).client
    right = {"Authorization": f"Bearer {TOKEN}"}
    assert client.get("/api/v1/gallery", headers=right).status_code == 200
    assert "token" not in client.cookies


def test_wrong_token_does_not_come_in(site: Make) -> None:
    client = site(token=TOKEN).client
    nearly = (f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", TOKEN)
    for shown in ("", "Bearer", "Bearer ", "Bearer 日本", *nearly):
        response = client.get("/api/v1/gallery", HTTP_AUTHORIZATION=shown)
        assert response.status_code == 401, shown


def test_person_who_enters_the_token_comes_in_and_stays(site: Make) -> None:
    made = site(token=TOKEN)
    response = entered(made)
    assert response.status_code in (302, 303)
    cookie = made.client.cookies["token"]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"
    assert TOKEN not in cookie.value
    assert made.client.get("/help").status_code == 200


def test_forged_cookie_does_not_come_in(site: Make) -> None:
    made = site(token=TOKEN)
    entered(made)
    value = made.client.cookies["token"].value
    for forged in ("1", value[:-1], "x" + value, value.replace(":", "::"), "\x00", "a" * 4_000):
        made.client.cookies["token"] = forged
        assert made.client.get("/help").status_code == 303, forged


def test_cookie_is_worth_nothing_once_the_token_is_another(site: Make) -> None:
    first = site(token=TOKEN)
    entered(first)
    second = site(token="another-token-of-16-characters")
    second.client.cookies = first.client.cookies
    assert second.client.get("/help").status_code == 303


def test_WEB_37_wrong_tokens_are_tried_only_so_often(site: Make) -> None:
    client = site(token=TOKEN).client
    wrong = {"Authorization": "Bearer wrong"}
    statuses = [client.get("/api/v1/gallery", headers=wrong).status_code for _ in range(12)]
    assert statuses == [401] * 10 + [429] * 2
    assert int(client.get("/api/v1/gallery", headers=wrong)["Retry-After"]) > 0
    right = {"Authorization": f"Bearer {TOKEN}"}
    assert client.get("/api/v1/gallery", headers=right).status_code == 200


def test_WEB_36_entry_leads_nowhere_else(site: Make) -> None:
    made = site(token=TOKEN)
    made.client.get("/enter")
    csrf = made.client.cookies["csrftoken"].value
    for wanted in (
        "//evil.example",
        "///evil.example",
        "https://evil.example",
        "/\\evil.example",
        "/\n/evil.example",
        "javascript:alert(1)",
        "evil",
        "",
    ):
        form = {"token": TOKEN, "csrfmiddlewaretoken": csrf, "next": wanted}
        assert made.client.post("/enter", form)["Location"] == "/", wanted


def test_WEB_36_path_with_two_slashes_is_not_taken_for_a_host(site: Make) -> None:
    response = site(token=TOKEN).client.get("//evil.example/x")
    assert response["Location"].startswith("/enter?next=")


def test_metrics_are_for_this_machine_and_for_who_shows_the_token(site: Make) -> None:
    client = site().client
    assert client.get("/metrics").status_code == 200
    assert client.get("/metrics", REMOTE_ADDR="192.0.2.1").status_code == 403
    client = site(token=TOKEN).client
    right = {"Authorization": f"Bearer {TOKEN}"}
    assert client.get("/metrics", REMOTE_ADDR="192.0.2.1").status_code == 403
    assert client.get("/metrics", REMOTE_ADDR="192.0.2.1", headers=right).status_code == 200


def test_stranger_behind_a_proxy_that_is_not_named_is_not_this_machine(site: Make) -> None:
    client = site(public_url="http://photos.example", token=TOKEN).client
    assert client.get("/metrics").status_code == 403


def test_server_of_accounts_that_strangers_reach_is_for_members(site: Make) -> None:
    client = site(accounts=True, host="192.0.2.1", registration=False).client
    response = client.get("/browse?page=2")
    assert response.status_code == 303
    assert response["Location"] == "/accounts/login?next=%2Fbrowse%3Fpage%3D2"
    assert client.get("/api/v1/gallery").status_code == 401
    assert client.get("/accounts/login").status_code == 200
    assert client.get("/healthz").status_code == 200


def test_server_of_accounts_on_this_machine_is_open(site: Make) -> None:
    assert site(accounts=True).client.get("/browse").status_code == 200
