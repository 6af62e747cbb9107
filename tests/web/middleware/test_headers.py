from collections.abc import Callable
from typing import Any

Make = Callable[..., Any]

ROUTES = [
    "/",
    "/help",
    "/no-such-page",
    "/healthz",
    "/api/v1/gallery",
    "/static/finder/favicon.svg",
    "/static/none.css",
    "/search",  # 405
    "/q/999999",
    "/media/1/thumb/0000000000000000.jpg",
    "/help?" + "q" * 9_000,
]


def test_WEB_32_every_route_protects_the_browser(site: Make) -> None:
    client = site().client
    for path in ROUTES:
        protects(client.get(path))


def protects(response: Any) -> None:
    response.close()
    policy = response["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "*" not in policy
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["X-Frame-Options"] == "DENY"
    assert response["Referrer-Policy"] == "same-origin"
    assert response["Cross-Origin-Opener-Policy"] == "same-origin"
    assert response["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "camera=()" in response["Permissions-Policy"]
    assert len(response["X-Request-ID"]) == 16
    assert "Server" not in response


def test_WEB_32_pages_take_scripts_and_styles_from_this_site_only(site: Make) -> None:
    policy = dict(
        rule.split(" ", 1)
        for rule in site().client.get("/help")["Content-Security-Policy"].split("; ")
    )
    assert policy == {
        "default-src": "'none'",
        "img-src": "'self' blob:",
        "style-src": "'self'",
        "script-src": "'self'",
        "connect-src": "'self'",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
        "manifest-src": "'self'",
    }


def test_WEB_10_pictures_may_run_nothing(site: Make) -> None:
    response = site().client.get("/media/1/thumb/0000000000000000.jpg")
    assert response["Content-Security-Policy"] == "default-src 'none'; sandbox"


def test_WEB_38_pages_are_kept_by_no_cache_and_depend_on_who_asks(site: Make) -> None:
    for path in ("/", "/help", "/q/1", "/no-such-page", "/api/v1/gallery"):
        response = site().client.get(path)
        assert "no-store" in response["Cache-Control"], path
        assert {"Cookie", "Accept-Language"} <= set(response["Vary"].split(", ")), path


def test_WEB_38_static_files_may_be_kept_and_depend_on_nobody(site: Make) -> None:
    response = site().client.get("/static/finder/favicon.svg")
    response.close()
    assert response.status_code == 200
    assert "max-age" in response["Cache-Control"]
    assert "Cookie" not in response.get("Vary", "")


def test_WEB_32_strict_transport_is_asked_for_behind_tls(site: Make) -> None:
    made = site(public_url="https://photos.example", trusted_proxy="10.0.0.1", token="t" * 16)
    answer = made.client.get("/enter", headers={"Host": "photos.example"}, secure=True)
    assert "max-age=31536000" in answer["Strict-Transport-Security"]


def test_every_answer_says_how_long_it_is_so_that_connections_are_kept(site: Make) -> None:
    client = site(requests=3).client
    for path in ("/help", "/no-such-page", "/healthz", "/search", "/help?" + "q" * 9_000):
        response = client.get(path)
        assert int(response["Content-Length"]) == len(response.content), path
    refused = client.get("/help")
    assert refused.status_code == 429
    assert int(refused["Content-Length"]) == len(refused.content)
