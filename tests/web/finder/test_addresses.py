"""Searching by the address of a picture: off by default, and guarded as all fetching is."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from dinoseek.ingest.fetch import Fetcher, FetchOptions

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])


@pytest.fixture
def elsewhere(picture: bytes) -> Iterator[str]:
    """The address of a picture on another server of this machine."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = picture if self.path == "/cat.jpg" else b"<html>" * 100
            if self.path == "/large.jpg":
                data = picture + bytes(11_000_000)
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def allowing(here) -> None:
    """Lets the site fetch from this machine, as no one but a test may."""
    here.service.fetcher.close()
    options = FetchOptions(total=60, retries=0, max_bytes=10_000_000, allow_private=True)
    object.__setattr__(here.service, "fetcher", Fetcher(options))


def test_WEB_16_no_address_is_fetched_unless_that_was_allowed(site, elsewhere) -> None:
    response = site().post("/search", {"url": f"{elsewhere}/cat.jpg"})
    assert response.status_code == 403


@pytest.mark.parametrize(
    "address",
    [
        "{elsewhere}/cat.jpg",
        "http://localhost/cat.jpg",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::127.0.0.1]/",
        "http://0x7f000001/",
        "file:///etc/passwd",
        "ftp://127.0.0.1/a.jpg",
        "gopher://127.0.0.1:25/",
        "javascript:alert(1)",
        "//127.0.0.1/a.jpg",
        "http://user:password@127.0.0.1/",
        "x" * 9000,
    ],
)
def test_WEB_16_no_address_leads_inside(site, elsewhere, address: str) -> None:
    response = site(allow_urls=True).post("/search", {"url": address.format(elsewhere=elsewhere)})
    assert response.status_code in (400, 422), response.content
    assert b"root:" not in response.content


def test_an_address_that_may_be_fetched_is_searched_with(site, elsewhere) -> None:
    here = site(allow_urls=True)
    allowing(here)
    response = here.post("/search", {"url": f"{elsewhere}/cat.jpg"})
    assert response.status_code == 303, response.content
    page = here.client.get(response["Location"]).content.decode()
    assert "cat.jpg" in page
    assert "/media/" in page


@pytest.mark.parametrize(
    ("path", "statuses"),
    [("/page.html", (415, 422)), ("/large.jpg", (413,)), ("/none", (415, 422))],
)
def test_WEB_16_what_is_no_picture_or_too_large_is_refused(
    site, elsewhere, path: str, statuses: tuple[int, ...]
) -> None:
    here = site(allow_urls=True)
    allowing(here)
    assert here.post("/search", {"url": elsewhere + path}).status_code in statuses


@pytest.mark.parametrize(
    "text",
    [
        "\ud800 lone",
        "a\u0301" * 100_000,
        "\u202e" * 500,
        "日本語" * 4000,
        "\0\x1b[31m",
        "{{1234567*7}}",
    ],
)
def test_WEB_40_any_unicode_in_a_field_is_refused_or_shown_cut(site, text: str) -> None:
    from urllib.parse import quote

    here = site(accounts=True)
    sent = quote(text, errors="surrogatepass")[:8000]
    for field in ("where", "min", "region", "is-label", "k", "plus"):
        response = here.client.get(f"/q/1?{field}={sent}")
        assert response.status_code in (200, 400, 414), (field, response.status_code)
        assert b"8641969" not in response.content
    body = text.encode("utf-8", "surrogatepass")[:20_000]
    for path in ("/history/forget", "/accounts/login", "/preferences/theme"):
        fields = {"number": body, "username": body, "theme": body, "next": body}
        assert here.post(path, fields).status_code in (200, 303, 400, 429)
