"""The server with Django behind it, as people and programs reach it."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .serving import Served, get, is_closed, post, reply_to, served, until

pytestmark = [pytest.mark.enable_socket, pytest.mark.allow_hosts(["127.0.0.0/8"])]

Make = Callable[..., Any]


@pytest.fixture
def started(site: Make, tmp_path: Path) -> Iterator[Callable[..., tuple[Any, Served]]]:
    """Makes a site and serves it."""
    from contextlib import ExitStack

    from django.core.handlers.wsgi import WSGIHandler

    with ExitStack() as stack:

        def make(**changes: Any) -> tuple[Any, Served]:
            made = site(**changes)
            limits = made.config.limits
            server = served(WSGIHandler(), tmp_path, limits=limits, waiting=made.config.waiting)
            return made, stack.enter_context(server)

        yield make


def upload(data: bytes) -> bytes:
    head = b'--xyz\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n'
    body = head + data + b"\r\n--xyz--\r\n"
    return post("/api/v1/search", body, "Content-Type: multipart/form-data; boundary=xyz")


def test_picture_is_searched_with_over_the_wire(started: Any, picture: bytes) -> None:
    _, server = started()
    reply = server.ask(upload(picture))
    assert reply.status == 200
    assert "red" in json.loads(reply.text)["hits"][0]["path"]


def test_WEB_14_head_has_the_headers_of_get_and_no_body(started: Any) -> None:
    _, server = started()
    with server.open() as client:
        for path in ("/help", "/healthz", "/static/finder/favicon.svg", "/no-such-page"):
            whole = server.get(path)
            client.sendall(get(path).replace(b"GET", b"HEAD"))
            head = client.recv(20_000)
            assert head.endswith(b"\r\n\r\n"), path
            assert f"Content-Length: {len(whole.body)}".encode() in head, path
        client.sendall(get("/healthz"))
        assert reply_to(client).text == "ok\n"


def test_WEB_31_no_answer_names_a_version_a_program_or_a_folder(
    started: Any, picture: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, server = started()
    requests = [get(path) for path in ("/help", "/no-such-page", "/api/v1/gallery", "/item/99999")]
    requests += [upload(b"no picture"), upload(picture[:500]), b"nonsense\r\n\r\n"]
    requests += [get("/", Host="evil.example"), get("/?" + "q" * 9_000)]
    replies = [server.ask(request) for request in requests]
    broken = RuntimeError(str(made.config.gallery))
    monkeypatch.setattr(
        made.service.pictures, "read", lambda *_, **__: (_ for _ in ()).throw(broken)
    )
    replies.append(server.ask(upload(picture)))
    assert replies[-1].status == 500
    for reply in replies:
        told = f"{reply.headers}\n{reply.text}"
        assert not re.search(r"waitress|django|python|site-packages|Traceback", told, re.IGNORECASE)
        assert str(made.config.gallery.parent) not in told
        assert not re.search(r"/(home|root|srv|tmp|usr|work)/", told)
        assert "server" not in reply.headers


def test_WEB_20_upload_whose_client_leaves_is_dropped(
    started: Any, picture: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dinoseek.web.live.busy import Gone

    made, server = started()
    begun, dropped = threading.Event(), threading.Event()

    def read(*_: Any, is_wanted: Callable[[], bool], **__: Any) -> None:
        begun.set()
        until(lambda: not is_wanted())
        dropped.set()
        raise Gone

    monkeypatch.setattr(made.service.pictures, "read", read)
    with server.open() as client:
        client.sendall(upload(picture))
        assert begun.wait(60)
    assert dropped.wait(60)
    assert server.get("/healthz").status == 200


def test_WEB_18_full_queue_answers_at_once_and_health_as_well(
    started: Any, picture: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, server = started()
    monkeypatch.setattr(type(made.service.pictures), "is_full", property(lambda _: True))
    with server.open() as client:
        for _ in range(20):
            client.sendall(upload(picture))
            reply = reply_to(client)
            assert (reply.status, int(reply.headers["retry-after"]) > 0) == (503, True)
    assert server.get("/healthz").status == 200


@pytest.mark.parametrize("path", ["/.git/config", "/settings.py", "/db.sqlite3", "/secret.key"])
def test_WEB_33_files_of_the_server_are_not_there(started: Any, path: str) -> None:
    _, server = started()
    for before in ("", "/static", "/static/..", "/static/%2e%2e", "/static/..%2f..", "/media/.."):
        assert server.get(before + path).status == 404, before


def test_WEB_33_static_files_are_those_of_the_page_only(started: Any) -> None:
    made, server = started()
    assert server.get("/static/finder/favicon.svg").status == 200
    root = made.config.state_dir
    for path in (
        f"/static/{root}/secret.key",
        "/static//etc/passwd",
        "/static/",
        "/static/finder/",
    ):
        assert server.get(path).status == 404, path


def test_refused_connection_is_closed_and_others_go_on(started: Any) -> None:
    _, server = started()
    with server.open() as good, server.open() as bad:
        bad.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert reply_to(bad).status == 400
        assert is_closed(bad)
        good.sendall(get("/healthz"))
        assert reply_to(good).status == 200
