"""The server against clients that are slow, wrong, many or hostile; all on loopback."""

import contextlib
import errno
import json
import logging
import os
import select
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dinoseek.errors import MachineError
from dinoseek.web import server as server_module
from dinoseek.web.listening import connection_limit, listening_sockets
from dinoseek.web.pace import Patience

from .serving import Served, get, is_closed, post, reply_to, served, until

pytestmark = [
    pytest.mark.enable_socket,
    pytest.mark.allow_hosts(["127.0.0.0/8", "::1", "localhost"]),
]

HASTY = Patience(
    receive=0.6, upload=1_000, send=0.6, download=100_000, window=0.3, idle=2.0, linger=0.5,
    finish=3.0,
)  # fmt: skip


class Application:
    """Answers by path; `waits` hold requests to /slow until they are let go."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self.bodies: list[bytes] = []
        self.go_on = threading.Event()
        self.waiting = threading.Semaphore(0)
        self.left = threading.Event()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        self.seen.append(environ)
        path = environ["PATH_INFO"]
        if path.startswith("/fail"):
            raise RuntimeError("a secret path /srv/secret.py")
        if path.startswith("/slow"):
            self.waiting.release()
            assert self.go_on.wait(60)  # longer than any client waits
        if path == "/leave":
            self.waiting.release()
            until(environ["waitress.client_disconnected"])
            self.left.set()
        self.bodies.append(environ["wsgi.input"].read())
        body = b"x" * int(environ["QUERY_STRING"] or 0) if path == "/big" else b"fine\n"
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]


@pytest.fixture
def application() -> Iterator[Application]:
    found = Application()
    yield found
    found.go_on.set()


@pytest.fixture
def server(application: Application, tmp_path: Path) -> Iterator[Served]:
    with served(application, tmp_path) as started:
        yield started


@pytest.fixture
def hasty(application: Application, tmp_path: Path) -> Iterator[Served]:
    """A server that waits for nobody."""
    with served(application, tmp_path, patience=HASTY) as started:
        yield started


def test_server_says_where_it_listens_and_answers(server: Served) -> None:
    assert server.address == f"http://127.0.0.1:{server.port}/"
    assert server.port > 0
    assert server.get().text == "fine\n"


def test_connection_serves_several_requests(server: Served) -> None:
    with server.open() as client:
        for _ in range(3):
            client.sendall(get())
            assert reply_to(client).status == 200


def test_WEB_31_answers_name_no_program_and_no_version(server: Served) -> None:
    for request in (get(), get("/fail"), b"nonsense\r\n\r\n", post("/", b"x" * 700_000)):
        reply = server.ask(request)
        told = f"{reply.headers} {reply.text}".lower()
        assert "server" not in reply.headers
        for word in ("waitress", "python", "generated", "traceback", "secret", "django"):
            assert word not in told


def test_WEB_30_fault_outside_django_says_only_that_there_is_one(
    server: Served, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, logger="waitress"):
        reply = server.get("/fail")
    assert (reply.status, reply.text) == (500, "Something went wrong here. The log says what.\n")
    assert "a secret path" in caplog.text


@pytest.mark.parametrize(
    "request_", [get(), get("/fail"), b"nonsense\r\n\r\n", get("/", X="y" * 20_000)]
)
def test_WEB_32_every_answer_protects_the_browser(server: Served, request_: bytes) -> None:
    headers = server.ask(request_).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["cross-origin-resource-policy"] == "same-origin"


# WEB-01, WEB-02: how long a request is


def test_WEB_01_body_of_exactly_the_limit_is_taken(
    server: Served, application: Application
) -> None:
    limit = 600_000  # 100,000 for the picture, 500,000 for the form around it
    for size, status in ((limit - 1, 200), (limit, 200), (limit + 1, 413)):
        reply = server.ask(post("/", b"x" * size))
        assert reply.status == status, size
    assert [len(body) for body in application.bodies] == [limit - 1, limit]
    assert "0.6 MB" in reply.text


@pytest.mark.parametrize("length", [60_000_000, 5_000_000_000, 10**30])
def test_WEB_01_too_long_body_is_refused_before_it_is_sent(server: Served, length: int) -> None:
    with server.open() as client:
        client.sendall(f"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n".encode())
        reply = reply_to(client)
        assert reply.status == 413
        assert reply.headers["connection"] == "close"
        assert is_closed(client)


def test_WEB_01_client_that_asks_first_is_not_told_to_go_on(server: Served) -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 60000000\r\nExpect: 100-continue\r\n\r\n"
    assert server.ask(head).status == 413


def test_client_that_asks_first_may_send_what_is_small_enough(
    server: Served, application: Application
) -> None:
    with server.open() as client:
        client.sendall(
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
        )
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"hello")
        assert reply_to(client).status == 200
    assert application.bodies == [b"hello"]


def test_request_without_a_body_that_asks_first_is_answered(server: Served) -> None:
    assert server.get(Expect="100-continue").status == 200


def test_WEB_01_client_that_sends_a_refused_body_still_reads_why(server: Served) -> None:
    with server.open() as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 700000\r\n\r\n")
        for _ in range(10):  # as browsers do: all of it before the answer is looked at
            client.sendall(b"x" * 50_000)
            time.sleep(0.01)
        assert reply_to(client).status == 413


def test_refused_client_that_does_not_leave_is_left(hasty: Served) -> None:
    before = open_files()
    with hasty.open() as client:
        client.sendall(b"nonsense\r\n\r\n")
        assert reply_to(client).status == 400
        until(lambda: open_files() <= before + 1)  # the client's own end is still open


def test_WEB_01_body_is_not_read_far_past_the_limit(hasty: Served) -> None:
    with hasty.open() as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000000\r\n\r\n")
        sent = 0
        with contextlib.suppress(ConnectionError, TimeoutError):
            client.settimeout(2)
            while sent < 100_000_000:
                sent += client.send(b"x" * 100_000)
    assert sent < 20_000_000  # the limit, and what both kernels hold


def test_WEB_01_uploads_are_not_written_to_disk(
    server: Served, application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise AssertionError("a temporary file")

    monkeypatch.setattr(tempfile, "TemporaryFile", refused)
    monkeypatch.setattr("waitress.buffers.TempfileBasedBuffer.__init__", refused)
    assert server.ask(post("/", b"x" * 600_000)).status == 200


@pytest.mark.parametrize("path", ["/api/v1/search", "/search"])
def test_refusal_to_a_program_is_json(server: Served, path: str) -> None:
    refused = server.ask(post(path, b"x" * 700_000, "Accept: application/json"))
    assert refused.headers["content-type"] == "application/json"
    error = json.loads(refused.text)["error"]
    assert (error["status"], error["title"]) == (413, "Content Too Large")
    assert "0.6 MB" in error["reason"]


HEADS = {
    "chunks": (b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 411),
    "gzip": (b"Transfer-Encoding: gzip, chunked\r\n\r\n", 411),
    "unknown coding": (b"Transfer-Encoding: xchunked\r\n\r\n", 411),
    "both": (b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "both, hidden": (b"Content-Length: 5\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
    "negative": (b"Content-Length: -1\r\n\r\n", 400),
    "signed": (b"Content-Length: +5\r\n\r\nhello", 400),
    "no number": (b"Content-Length: abc\r\n\r\n", 400),
    "hexadecimal": (b"Content-Length: 0x5\r\n\r\nhello", 400),
    "5,000 digits": (b"Content-Length: " + b"1" * 5000 + b"\r\n\r\n", 400),
    "twice": (b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400),
    "twice, unequal": (b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400),
    "a list": (b"Content-Length: 5, 5\r\n\r\nhello", 400),
    "bare line feeds": (b"Content-Length: 5\nX: y\r\n\r\nhello", 400),
}


@pytest.mark.parametrize("name", HEADS)
def test_WEB_02_length_that_can_be_misunderstood_ends_the_connection(
    server: Served, application: Application, name: str
) -> None:
    head, status = HEADS[name]
    smuggled = get("/smuggled")
    with server.open() as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\n" + head + smuggled)
        assert reply_to(client).status == status
        assert is_closed(client)
    assert application.seen == []


def test_WEB_02_chunks_mean_nothing_in_http_1_0(server: Served, application: Application) -> None:
    request = b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello"
    assert server.ask(request).status == 400
    assert application.seen == []


def test_WEB_02_body_longer_than_it_says_is_not_part_of_it(
    server: Served, application: Application
) -> None:
    with server.open() as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello, world")
        assert reply_to(client).status == 200
        client.sendall(b"\r\n\r\n")
        assert reply_to(client).status == 400  # ", world" is no request
        assert is_closed(client)
    assert application.bodies == [b"hello"]


def test_WEB_02_body_shorter_than_it_says_never_reaches_the_application(
    hasty: Served, application: Application
) -> None:
    with hasty.open() as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\nhello")
        assert reply_to(client).status == 408
        assert is_closed(client)
    with hasty.open() as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\nhello")
    assert hasty.get().status == 200
    assert application.bodies == [b""]


def test_uploads_share_a_budget_of_memory(
    application: Application, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "_BODY_MEMORY", 0)  # that is, two of the largest
    with served(application, tmp_path) as server, contextlib.ExitStack() as opened:
        clients = [opened.enter_context(server.open()) for _ in range(3)]
        for client in clients:
            client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 600000\r\n\r\n")
            client.sendall(b"x" * 500_000)
        refused, _, _ = select.select(clients, [], [], 60)  # whose bytes came last
        reply = reply_to(refused[0])
        assert reply.status == 503
        assert int(reply.headers["retry-after"]) > 0
        opened.close()
        until(lambda: server.ask(post("/", b"x" * 600_000)).status == 200)
    assert len(application.bodies) == 1


def test_requests_that_are_over_hold_no_budget(
    application: Application, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "_BODY_MEMORY", 0)
    with served(application, tmp_path) as server:
        statuses = {server.ask(post("/", b"x" * 600_000)).status for _ in range(10)}
    assert statuses == {200}


# WEB-13, WEB-14, WEB-15: first lines and header fields


@pytest.mark.parametrize(
    "request_",
    [
        b"GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"CONNECT evil.example:443 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost, evil.example\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n",
    ],
)
def test_WEB_13_request_for_another_site_or_for_two_is_refused(
    server: Served, application: Application, request_: bytes
) -> None:
    assert server.ask(request_).status == 400
    assert application.seen == []


def test_WEB_13_forged_forwarding_headers_do_not_reach_the_application(
    server: Served, application: Application
) -> None:
    forged = {"X_Forwarded_For": "1.2.3.4", "X_Forwarded_Host": "evil.example"}
    assert server.get(**forged, X_Forwarded_Proto="https", Forwarded="for=1.2.3.4").status == 200
    (environ,) = application.seen
    assert environ["REMOTE_ADDR"] == "127.0.0.1"
    assert environ["HTTP_HOST"] == "localhost"
    assert environ["wsgi.url_scheme"] == "http"
    assert not [name for name in environ if "FORWARDED" in name]


def test_proxy_that_is_trusted_says_who_asks(application: Application, tmp_path: Path) -> None:
    with served(application, tmp_path, trusted_proxy="127.0.0.1") as server:
        server.get(X_Forwarded_For="6.6.6.6, 1.2.3.4", X_Forwarded_Proto="https")
    (environ,) = application.seen
    assert environ["REMOTE_ADDR"] == "1.2.3.4"
    assert environ["wsgi.url_scheme"] == "https"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.0\r\n\r\n", 200),
        (b"GET /\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\nHost: a\r\n\r\n", 400),
        (b"get / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400),  # TLS to a server that has none
        (b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", 200),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody", 200),
        (b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 200),  # the application's matter
    ],
)
def test_WEB_14_odd_requests_are_answered(server: Served, request_: bytes, status: int) -> None:
    assert server.ask(request_).status == status


def test_WEB_14_answer_to_head_has_the_length_but_no_body(server: Served) -> None:
    with server.open() as client:
        for path in ("/", "/big?500000"):
            client.sendall(get(path).replace(b"GET", b"HEAD"))
            answer = client.recv(10_000)
            assert b"Content-Length: " in answer
            assert answer.endswith(b"\r\n\r\n")
        client.sendall(get())
        assert reply_to(client).text == "fine\n"


def test_WEB_15_header_of_100_kb_is_too_large(server: Served) -> None:
    assert server.get(Cookie="c" * 100_000).status == 431
    assert server.get("/?" + "q" * 100_000).status == 431


# WEB-17, WEB-20: clients that are slow, silent or gone


def drips(client: socket.socket, stop: threading.Event) -> threading.Thread:
    def run() -> None:
        with contextlib.suppress(OSError):
            while not stop.wait(0.05):
                client.sendall(b"x")

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_WEB_17_header_that_drips_is_ended(hasty: Served) -> None:
    stop = threading.Event()
    with hasty.open() as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nX: ")
        thread = drips(client, stop)
        assert reply_to(client).status == 408
        stop.set()
        thread.join()


def test_WEB_17_body_that_drips_is_ended(hasty: Served, application: Application) -> None:
    stop = threading.Event()
    with hasty.open() as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
        thread = drips(client, stop)
        assert reply_to(client).status == 408
        stop.set()
        thread.join()
    assert application.seen == []


def test_WEB_17_upload_on_a_slow_line_is_taken_as_long_as_it_goes_on(hasty: Served) -> None:
    with hasty.open() as client:  # 40,000 bytes a second for three times what a header gets
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 80000\r\n\r\n")
        for _ in range(20):
            client.sendall(b"x" * 4_000)
            time.sleep(0.1)
        assert reply_to(client).status == 200


def test_WEB_17_silent_connections_are_closed(hasty: Served) -> None:
    with hasty.open() as client, hasty.open() as other:
        other.sendall(get())
        assert reply_to(other).status == 200
        assert is_closed(client)
        assert is_closed(other)


def test_WEB_17_client_that_does_not_read_is_ended(hasty: Served, application: Application) -> None:
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    with listening as client:
        client.settimeout(60)
        client.connect(("127.0.0.1", hasty.port))
        client.sendall(get("/big?30000000"))
        until(lambda: bool(application.seen))
        before = open_files()
        until(lambda: open_files() < before)
        received = 0
        with contextlib.suppress(ConnectionError):
            while data := client.recv(100_000):
                received += len(data)
    assert received < 30_000_000


def test_WEB_17_client_that_reads_slowly_is_ended(hasty: Served, application: Application) -> None:
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    with slow as client:
        client.settimeout(60)
        client.connect(("127.0.0.1", hasty.port))
        client.sendall(get("/big?30000000"))
        with contextlib.suppress(ConnectionError):
            end = time.monotonic() + 60
            while client.recv(200) and time.monotonic() < end:
                time.sleep(0.02)
        assert time.monotonic() < end, "it was served for a minute"


def test_WEB_17_slow_clients_do_not_hold_up_others_of_their_address(
    server: Served, application: Application
) -> None:
    with contextlib.ExitStack() as opened:
        for number in range(200):
            client = opened.enter_context(server.open())
            if number % 4 == 0:
                client.sendall(b"GET / HTTP/1.1\r\nX: ")
            elif number % 4 == 1:
                client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999\r\n\r\nx")
            elif number % 20 == 2:
                client.sendall(get("/big?9000000"))
        start = time.monotonic()
        for _ in range(20):
            assert server.get().status == 200
        assert time.monotonic() - start < Patience().receive


def test_WEB_17_address_beyond_its_connections_is_turned_away_and_others_are_not(
    application: Application, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "_LOCAL_CONNECTIONS", 3)
    with served(application, tmp_path) as server, contextlib.ExitStack() as opened:
        for _ in range(3):
            client = opened.enter_context(server.open())
            client.sendall(b"GET / HT")
        until(server.has_read_all)
        with server.open() as another:
            reply = reply_to(another)
            assert (reply.status, reply.headers["retry-after"]) == (429, "5")
        with server.open(source_address=("127.0.0.2", 0)) as elsewhere:
            elsewhere.sendall(get())
            assert reply_to(elsewhere).status == 200


def test_WEB_17_idle_connection_makes_room_for_a_new_one_of_its_address(
    application: Application, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "_LOCAL_CONNECTIONS", 2)
    with served(application, tmp_path) as server, server.open() as idle, server.open() as busy:
        idle.sendall(get())
        assert reply_to(idle).status == 200
        busy.sendall(b"GET / HT")
        until(server.has_read_all)
        until(lambda: server.get().status == 200)  # the first has its answer, but may be at its end
        assert is_closed(idle)
        busy.sendall(b"TP/1.1\r\nHost: a\r\n\r\n")
        assert reply_to(busy).status == 200


def test_trusted_proxy_may_have_any_number_of_connections(
    application: Application, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "_LOCAL_CONNECTIONS", 1)
    trusting = served(application, tmp_path, trusted_proxy="127.0.0.1")
    with trusting as server, server.open() as first:
        first.sendall(b"GET / HT")
        until(server.has_read_all)
        assert server.get().status == 200


def test_WEB_20_application_sees_that_its_client_has_left(
    server: Served, application: Application
) -> None:
    with server.open() as client:
        client.sendall(get("/leave"))
        assert application.waiting.acquire(timeout=60)
    assert application.left.wait(60)


def test_WEB_20_clients_that_leave_at_any_point_leave_nothing_behind(
    server: Served, application: Application
) -> None:
    for _ in range(5):
        assert server.get().status == 200
    files, threads = open_files(), threading.active_count()
    whole = post("/big?100000", b"x" * 50_000)
    for cut in range(1, len(whole), len(whole) // 60):
        with server.open() as client:
            client.sendall(whole[:cut])
    until(lambda: open_files() <= files + 2)
    assert threading.active_count() <= threads
    assert server.get().status == 200


# WEB-18: who waits behind whom


def test_WEB_18_health_and_thumbnails_do_not_wait_behind_searches(
    server: Served, application: Application
) -> None:
    with contextlib.ExitStack() as opened:
        for _ in range(40):  # all threads of the searches, and nothing is left of them
            opened.enter_context(server.open()).sendall(get("/slow"))
        for _ in range(40):
            assert application.waiting.acquire(timeout=60)
        assert server.get("/healthz").status == 200
        assert server.get("/media/1/thumb/0.jpg").status == 200
        assert server.ask(b"nonsense\r\n\r\n").status == 400
        application.go_on.set()


# WEB-27: the end


def test_WEB_27_requests_in_progress_are_finished_and_no_more_are_taken(
    application: Application, tmp_path: Path
) -> None:
    with served(application, tmp_path) as server:
        with server.open() as client, server.open() as idle, server.open() as late:
            client.sendall(get("/slow"))
            late.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe")
            assert application.waiting.acquire(timeout=60)
            server.stop.set()
            assert is_closed(idle)
            with pytest.raises(ConnectionRefusedError):
                server.open()
            late.sendall(b"llo")
            assert reply_to(late).status == 200
            assert server.thread.is_alive()
            application.go_on.set()
            reply = reply_to(client)
            assert (reply.text, reply.headers["connection"]) == ("fine\n", "close")
        server.end()


def test_WEB_27_no_answer_is_cut_when_it_ends_under_load(
    application: Application, tmp_path: Path
) -> None:
    cut: list[bytes] = []
    served_count = [0]

    def ask_on(server: Served) -> None:
        while True:
            try:
                client = server.open()
            except ConnectionRefusedError:
                return
            with client:
                received = b""
                try:
                    client.sendall(get("/big?300000", Connection="close"))
                    while data := client.recv(100_000):
                        received += data
                except ConnectionError:
                    pass
                if received and not len(received) > 300_000:
                    cut.append(received)
                served_count[0] += bool(received)

    with served(application, tmp_path) as server:
        clients = [threading.Thread(target=ask_on, args=(server,)) for _ in range(8)]
        for client in clients:
            client.start()
        until(lambda: served_count[0] > 50)
        server.end()
        for client in clients:
            client.join(60)
    assert cut == []


def test_WEB_27_client_that_never_finishes_does_not_hold_up_the_end(
    application: Application, tmp_path: Path
) -> None:
    patience = Patience(finish=0.5)
    with served(application, tmp_path, patience=patience) as server, server.open() as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe")
        until(server.has_read_all)
        start = time.monotonic()
        server.end()
        assert time.monotonic() - start < Patience().finish


def test_ended_server_leaves_no_socket_and_no_thread(
    application: Application, tmp_path: Path
) -> None:
    files, threads = open_files(), threading.active_count()
    with served(application, tmp_path) as server:
        assert server.get().status == 200
    until(lambda: threading.active_count() <= threads)
    assert open_files() <= files


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


# Where it listens


def test_taken_port_is_one_line_that_says_what_to_do(
    application: Application, tmp_path: Path
) -> None:
    with served(application, tmp_path) as first, pytest.raises(MachineError) as caught:
        listening_sockets("127.0.0.1", first.port)
    assert caught.value.code == "serve.port_taken"
    assert f"127.0.0.1:{first.port}" in str(caught.value)
    assert f"--port {first.port + 1}" in str(caught.value)


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid", "not a host", "\udc80"])
def test_host_that_is_not_this_machine_is_named(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if "." in host and host[0] == "n":  # no question to a name server
        monkeypatch.setattr(socket, "getaddrinfo", _unknown)
    with pytest.raises(MachineError) as caught:
        listening_sockets(host, 0)
    assert caught.value.code == "serve.host"
    assert "--host" in str(caught.value)


def _unknown(*_: Any, **__: Any) -> None:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.EACCES, "serve.port_refused"),
        (errno.EPERM, "serve.port_refused"),
        (errno.ENOBUFS, "serve.socket"),
    ],
)
def test_port_that_may_not_be_used_is_named(
    number: int, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(family: int, where: tuple[str, int]) -> socket.socket:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("dinoseek.web.listening._bound", refused)
    with pytest.raises(MachineError) as caught:
        listening_sockets("127.0.0.1", 80)
    assert caught.value.code == code
    assert "127.0.0.1:80" in str(caught.value)


def test_localhost_is_served_at_all_its_addresses_on_one_port() -> None:
    sockets = listening_sockets("localhost", 0)
    names = [each.getsockname() for each in sockets]
    for each in sockets:
        each.close()
    assert names[0][0] == "127.0.0.1"
    assert {name[1] for name in names} == {names[0][1]}


def test_connections_leave_room_for_other_open_files(monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: asked.append(limits))
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 1024))
    assert connection_limit(1_000) == 724
    assert asked == [(1024, 1024)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: (100_000, 100_000))
    assert connection_limit(1_000) == 1_000


# WEB-34


def test_WEB_34_paths_in_the_servers_log_stay_on_their_line(
    server: Served, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="waitress"):
        server.get("/fail/%0a%1b[31mforged" + "x" * 9_000)
    assert caplog.records
    for record in caplog.records:
        message = record.getMessage()
        assert message.isprintable()
        assert len(message) <= 200
