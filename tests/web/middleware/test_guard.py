from collections.abc import Callable
from typing import Any

Make = Callable[..., Any]


def test_WEB_13_request_for_another_host_is_refused(site: Make) -> None:
    client = site().client
    for host in (
        "evil.example",
        "localhost.evil.example",
        "localhost@evil.example",
        "a b",
        "[",
        "",
    ):
        for path in ("/", "/healthz", "/api/v1/gallery", "/search"):
            response = client.get(path, headers={"Host": host})
            assert response.status_code == 400, (host, path)
            if path.startswith("/api/"):
                assert response.json()["error"]["code"] == "host"


def test_WEB_13_forwarded_host_is_not_believed(site: Make) -> None:
    response = site().client.get("/healthz", headers={"X-Forwarded-Host": "evil.example"})
    assert response.status_code == 200


def test_names_of_this_machine_are_known(site: Make) -> None:
    client = site().client
    for host in ("localhost", "127.0.0.1:8000", "[::1]"):
        assert client.get("/healthz", headers={"Host": host}).status_code == 200


def test_WEB_14_method_that_nothing_has_is_refused(site: Make) -> None:
    client = site().client
    for method in ("TRACE", "PUT", "DELETE", "PATCH", "BREW", "CONNECT"):
        for path in ("/", "/search", "/api/v1/gallery", "/no-such-page"):
            response = client.generic(method, path)
            assert response.status_code == 405, (method, path)
            assert response["Allow"] == "GET, HEAD, POST, OPTIONS"


def test_WEB_15_query_of_more_than_8_kb_is_refused(site: Make) -> None:
    client = site().client
    assert client.get("/help?" + "q" * 8_192).status_code == 200
    assert client.get("/help?" + "q" * 8_193).status_code == 414


READING = [
    ({}, 200),  # curl
    ({"Sec-Fetch-Site": "same-origin"}, 200),
    ({"Sec-Fetch-Site": "none"}, 200),
    ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 200),  # a link
    ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403),
    ({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}, 403),
    ({"Origin": "http://localhost"}, 200),
    ({"Origin": "http://evil.example"}, 403),
    ({"Origin": "null"}, 403),
    ({"Origin": "http://["}, 403),
]


def test_WEB_12_pages_of_other_sites_cannot_read_the_api(site: Make) -> None:
    client = site().client
    for headers, status in READING:
        response = client.get("/api/v1/gallery", headers={"Host": "localhost"} | headers)
        assert response.status_code == status, headers
        if status == 403:
            assert response.json()["error"]["code"] == "cross_site"


def test_WEB_12_pages_of_other_sites_cannot_post_to_the_api(site: Make) -> None:
    client = site().client
    for headers in (
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},  # a form
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ):
        response = client.post("/api/v1/search/vector", headers=headers)
        assert response.status_code == 403, headers
