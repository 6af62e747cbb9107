"""One address: whatever its server does, it is the image or an error with a code, in time."""

import logging
import threading
import time
from contextlib import contextmanager

import pytest

from dinoseek.errors import FetchError
from dinoseek.ingest import fetch as module
from dinoseek.ingest.answers import _retry_after
from dinoseek.ingest.fetch import BusyError, Fetcher, FetchOptions, is_transient

from .fault_server import FaultServer, picture
from .fault_tls import Certificates

pytestmark = pytest.mark.allow_hosts(["127.0.0.0/8"])

TOTAL, READ = 0.7, 0.35
HURRY = {"total": TOTAL, "connect_timeout": READ, "read_timeout": READ}
LATE = 10  # seconds that a deadline may be missed by; without it, it would be 30 or for ever


@pytest.fixture
def server():
    with FaultServer() as opened:
        yield opened


@pytest.fixture
def fetch():
    """Fetches once, from anywhere."""
    fetchers = []

    def get(url, **options):
        usual = {"total": 30, "connect_timeout": 30, "read_timeout": 30, "retries": 0}
        chosen = {"max_bytes": 1_000_000, "allow_private": True, **usual, **options}
        fetchers.append(Fetcher(FetchOptions(**chosen)))
        return fetchers[-1].fetch(url)

    yield get
    for fetcher in fetchers:
        fetcher.close()


@pytest.fixture
def code_of(fetch):
    """The code with which an address fails."""

    def get(url, **options):
        with pytest.raises(FetchError) as caught:
            fetch(url, **options)
        assert str(caught.value).isprintable()
        assert len(caught.value.reason) < 200
        return caught.value.code

    return get


@contextmanager
def seconds(least, most):
    began = time.monotonic()
    yield
    assert least <= time.monotonic() - began < most


def test_a_picture_is_fetched_with_its_type_and_from_where(server, fetch):
    url = server.url("/good/5.jpg", "127.0.0.7")
    found = fetch(url + "#top")
    assert (found.data, found.content_type, found.final_url) == (picture(5), "image/jpeg", url)
    assert found.url == url + "#top"


def test_a_connection_serves_many_pictures(server):
    with Fetcher(FetchOptions(allow_private=True)) as fetcher:
        for number in range(30):
            url = server.url(f"/good/{number}.jpg", f"127.0.0.{1 + number % 3}")
            assert fetcher.fetch(url).data == picture(number)
    assert dict(server.connections) == {"127.0.0.1": 1, "127.0.0.2": 1, "127.0.0.3": 1}


def test_URL_08_redirects_are_followed_three_times(server, fetch, code_of):
    found = fetch(server.url("/hops/3"))
    assert (found.data, found.final_url) == (picture(0), server.url("/hops/0"))
    server.requests.clear()
    assert code_of(server.url("/hops/20")) == "url.redirect_limit"
    assert len(server.asked()) == 4
    assert code_of(server.redirect("?to=%3F")) == "url.redirect_limit"  # to itself
    assert code_of(server.url("/redir-nowhere")) == "url.protocol"
    for status in (301, 302, 303, 307, 308):
        assert fetch(server.url(f"/redir?to=/good/1.jpg&status={status}")).data == picture(1)
    assert fetch(server.redirect("//127.0.0.9:" + str(server.port) + "/good/2.jpg"))


def test_URL_39_a_redirect_to_an_address_with_other_letters_is_followed(server, fetch):
    found = fetch(server.redirect("/good/5.jpg?name=\u2603 a"))
    assert found.final_url == server.url("/good/5.jpg?name=%E2%98%83%20a")
    assert found.data == picture(5)


def test_the_body_of_a_redirect_is_not_read(server, fetch):
    with seconds(0, LATE):
        assert fetch(server.url("/redir-endless")).data == picture(1)


def test_URL_09_a_redirect_that_gives_up_tls_is_followed_and_logged(tmp_path, caplog):
    certificates = Certificates(tmp_path)
    caplog.set_level(logging.INFO, logger="dinoseek")
    options = FetchOptions(allow_private=True, verify=certificates.file)
    with FaultServer(tls=certificates.variants()) as server, Fetcher(options) as fetcher:
        url = server.redirect(server.url("/good/1.jpg")).partition("/redir")[2]
        assert fetcher.fetch(server.url("/redir" + url, tls="good")).data == picture(1)
    (record,) = caplog.records
    assert "not protected by TLS" in record.getMessage()


def test_URL_14_what_cannot_be_connected_to_or_breaks_off_is_tried_again(server, fetch, code_of):
    url = server.url("/reset")
    assert code_of(url, retries=1, total=30) == "url.connect"
    assert server.asked("/reset") == 2
    assert code_of(server.url("/reset?at=100")) == "url.connect"
    assert code_of("http://127.0.0.61:1/") == "url.connect"  # nobody listens


def test_URL_14_a_host_that_swallows_connections_costs_the_time_to_connect(code_of):
    import socket

    with socket.socket() as listener:  # its queue is full, so that further ones get no answer
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(listener.getsockname())
        port = listener.getsockname()[1]
        with seconds(0.3, 0.3 + LATE):
            assert code_of(f"http://127.0.0.1:{port}/", connect_timeout=0.3) == "url.connect"
        for each in waiting:
            each.close()


def test_URL_15_a_server_that_never_answers_costs_the_time_to_read(server, code_of):
    with seconds(READ, READ + LATE):
        assert code_of(server.url("/silent"), read_timeout=READ) == "url.timeout"


DRIPS = {
    "16_header": "/header-drip",
    "16_header_after_header": "/continues",
    "17_body": "/drip",
    "17_body_of_a_connection_that_ends": "/drip?close=1",
    "17_chunks": "/drip?chunked=1",
    "17_size_of_a_chunk": "/drip?chunked=1&size=1",
    "17_trailer": "/trailer-drip",
}


@pytest.mark.parametrize("path", DRIPS.values(), ids=DRIPS)
def test_URL_16_URL_17_what_drips_is_cut_off_at_the_deadline(server, code_of, path):
    with seconds(TOTAL, TOTAL + LATE):
        assert code_of(server.url(path), max_bytes=10**9, **HURRY) == "url.timeout"


def test_URL_17_a_slow_last_byte_is_not_waited_for(server, code_of):
    """The deadline holds although every read is within its own time."""
    with seconds(TOTAL, TOTAL + LATE):
        url = server.url("/drip?by=20000")
        assert code_of(url, max_bytes=10**9, total=TOTAL) == "url.timeout"


def test_URL_16_dripping_does_not_harm_what_the_thread_fetches_next(server):
    options = FetchOptions(allow_private=True, total=1, retries=0)
    with Fetcher(options) as fetcher:
        for number in range(2):
            with pytest.raises(FetchError):
                fetcher.fetch(server.url("/header-drip"))
            assert fetcher.fetch(server.url(f"/good/{number}.jpg")).data == picture(number)
        time.sleep(1.05)  # the deadlines of what is done pass
        assert fetcher.fetch(server.url("/good/9.jpg")).data == picture(9)


def test_URL_18_an_endless_body_is_cut_off_at_the_limit(server, code_of):
    with seconds(0, LATE):
        assert code_of(server.url("/endless")) == "url.too_large"


def test_URL_19_a_body_that_says_it_is_too_large_is_not_read(server, code_of):
    with seconds(0, LATE):
        assert code_of(server.url("/huge")) == "url.too_large"
    assert code_of(server.url("/huge?digits=3000")) == "url.too_large"
    assert code_of(server.url("/huge?digits=6000")) in ("url.too_large", "url.protocol")


def test_a_body_of_exactly_the_limit_is_read(server, fetch, code_of):
    size = len(picture(1))
    assert fetch(server.url("/good/1.jpg"), max_bytes=size).data == picture(1)
    assert code_of(server.url("/good/1.jpg"), max_bytes=size - 1) == "url.too_large"
    assert code_of(server.url("/chunked/1.jpg"), max_bytes=size - 1) == "url.too_large"


def test_URL_20_a_body_that_is_shorter_than_announced_is_an_error(server, code_of):
    assert code_of(server.url("/trunc/1.jpg")) == "url.truncated"
    assert is_transient("url.truncated")


def test_URL_20_what_follows_a_body_is_no_answer_to_the_next_question(server):
    with Fetcher(FetchOptions(allow_private=True, retries=0)) as fetcher:
        for number in range(5):
            assert fetcher.fetch(server.url(f"/more/{number}.jpg")).data == picture(number)


@pytest.mark.parametrize("path", ["", "?size=1", "?size=7", "?end=trailers"])
def test_URL_21_chunks_of_any_size_are_joined(server, fetch, path):
    assert fetch(server.url(f"/chunked/3.jpg{path}")).data == picture(3)


def test_URL_21_a_million_tiny_chunks_are_read_within_the_deadline(server, code_of):
    with seconds(0, TOTAL + LATE):
        url = server.url("/chunked/3.jpg?w=2000&h=2000&size=1")
        assert code_of(url, **HURRY) in ("url.timeout", "url.too_large")


@pytest.mark.parametrize("end", ["none", "bad"])
def test_URL_21_chunks_that_break_off_are_an_error(server, code_of, end):
    code = code_of(server.url(f"/chunked/3.jpg?end={end}"))
    assert code in ("url.truncated", "url.protocol")


@pytest.mark.parametrize(
    "encoding", ["gzip", "br", "zstd", "deflate", "x", "gzip, gzip, gzip, gzip, gzip, gzip"]
)
def test_URL_22_packed_bodies_are_not_unpacked(server, code_of, encoding):
    assert code_of(server.url(f"/good/1.jpg?header=Content-Encoding:{encoding}")) == (
        "url.content_encoding"
    )
    (request,) = server.requests
    assert request.headers["Accept-Encoding"] == "identity"


def test_URL_22_a_bomb_is_not_even_read(server, code_of, fetch):
    assert code_of(server.url("/gz")) == "url.content_encoding"
    assert fetch(server.url("/good/1.jpg?header=Content-Encoding:identity")).data == picture(1)


@pytest.mark.parametrize(
    "path",
    [
        "/headers/300",
        "/long-header",
        "/raw?text=hello",
        "/raw?text=HTTP/1.1",
        "/raw?text=SSH-2.0-OpenSSH_9.2%20hello",
        "/raw?text=HTTP/2.0%20abc",
        "/raw?text=%FF%FE%FD%FC",
        "/raw?text=HTTP/1.1%2099999%20OK~0d~0a~0d~0a",
    ],
)
def test_URL_23_URL_24_what_is_no_http_is_an_error(server, code_of, path):
    assert code_of(server.url(path)) == "url.protocol"
    assert is_transient("url.protocol")


def test_URL_23_binary_headers_do_no_harm(server, fetch):
    assert fetch(server.url("/good/1.jpg?header=X:%FF%FE%80")).data == picture(1)


FINAL = (204, 206, 300, 304, 400, 401, 403, 404, 405, 410, 418, 451)
TRANSIENT = (408, 425, 500, 502, 503, 504, 599, 999)


@pytest.mark.parametrize("status", FINAL)
def test_URL_24_what_is_final_is_asked_once(server, code_of, status):
    assert code_of(server.url(f"/status/{status}"), retries=2, total=30) == f"url.http_{status}"
    assert not is_transient(f"url.http_{status}")
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", TRANSIENT)
def test_URL_24_what_may_pass_is_asked_three_times(server, code_of, status, monkeypatch):
    monkeypatch.setattr(module, "_FIRST_PAUSE", 0.01)
    assert code_of(server.url(f"/status/{status}"), retries=2, total=30) == f"url.http_{status}"
    assert is_transient(f"url.http_{status}")
    assert len(server.requests) == 3


def test_URL_24_a_status_in_the_servers_words_is_said_in_ours(server, fetch):
    with pytest.raises(FetchError) as caught:
        fetch(server.url("/status/404?reason=~1b[31mall%20is%20lost"))
    assert caught.value.reason == "its server answers 404 Not Found"


def test_an_empty_answer_is_no_image_yet_and_no_end(server, fetch, code_of):
    assert fetch(server.url("/empty")).data == b""  # as it says
    assert code_of(server.url("/raw?text=HTTP/1.1%20200%20OK~0d~0aContent-Ty")) == "url.truncated"


@pytest.mark.parametrize("wait", ["", "&ra=40", "&ra=40&date=1", "&ra=86400", "&ra=-1", "&ra=soon"])
def test_URL_27_a_server_that_wants_fewer_requests_gets_fewer(server, fetch, wait):
    path = f"/status/429?x=1{wait}"
    if wait == "&ra=soon":
        path = "/status/429?header=Retry-After:soon"
    with seconds(0, LATE), pytest.raises(BusyError) as caught:
        fetch(server.url(path), retries=2, total=0.9)
    assert caught.value.code == "url.rate_limited"
    assert server.asked() == [path]  # there was no time for another try
    expected = {"&ra=40": 40, "&ra=40&date=1": 40, "&ra=86400": 86_400}.get(wait, 1)
    assert caught.value.seconds == pytest.approx(expected, abs=1.1)


def test_URL_27_what_a_server_asks_for_is_waited_for(server, fetch):
    with seconds(0.9, LATE):
        url = server.url("/status/429/7.jpg?times=1&ra=1")
        assert fetch(url, retries=2, total=30).data == picture(7)


def test_URL_27_retry_after_is_a_number_a_date_or_nothing():
    assert [_retry_after(value) for value in ("120", " 7 ", "0")] == [120, 7, 0]
    assert _retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert _retry_after("9" * 4_000) > 10**9
    for value in (None, "", "-1", "1.5", "soon", "\u0663", "Wed, 99 Foo 2015", "\x00", "1 2"):
        assert _retry_after(value) is None, value


def test_URL_28_what_works_at_the_third_try_works(server, fetch, code_of, monkeypatch):
    monkeypatch.setattr(module, "_FIRST_PAUSE", 0.01)
    assert fetch(server.url("/flip/3/8.jpg"), retries=2, total=30).data == picture(8)
    assert code_of(server.url("/flip/4/8.jpg"), retries=2, total=30) == "url.http_503"
    assert fetch(server.url("/flip/4/8.jpg"), retries=2, total=30).data == picture(8)


def test_pauses_between_tries_grow_and_differ():
    error = FetchError("url.http_503", "x", "busy")
    pauses = [[module._pause(error, number) for _ in range(50)] for number in range(3)]
    for number, some in enumerate(pauses):
        assert all(0.25 * 2**number <= pause <= 0.5 * 2**number for pause in some)
        assert len(set(some)) > 40


TLS = {
    "expired": "url.tls",
    "wrong-host": "url.tls",
    "self-signed": "url.tls",
    "tls-1.0": "url.tls",
    "hang": "url.timeout",
    "drip": "url.timeout",
    "plain": "url.timeout",  # it waits for the end of a request that never comes
}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("tls"))


@pytest.mark.parametrize(("variant", "code"), TLS.items())
def test_URL_31_tls_that_is_not_good_is_an_error(certificates, code_of, variant, code):
    with FaultServer(tls=certificates.variants()) as server:
        url = server.url("/good/1.jpg", tls=variant)
        with seconds(0, READ + LATE):
            hurry = HURRY if code == "url.timeout" else {}
            assert code_of(url, verify=certificates.file, **hurry) == code
    assert server.asked() == []
    assert is_transient(code)


def test_URL_31_good_tls_is_good_and_needs_an_authority(certificates, fetch, code_of):
    with FaultServer(tls=certificates.variants()) as server:
        url = server.url("/good/1.jpg", tls="good")
        assert fetch(url, verify=certificates.file).data == picture(1)
        assert code_of(url) == "url.tls"


def test_URL_31_tls_that_drips_after_its_handshake_is_cut_off(certificates, code_of):
    with FaultServer(tls=certificates.variants()) as server:
        for path in ("/drip", "/header-drip", "/drip?close=1"):
            with seconds(TOTAL, TOTAL + LATE):
                url = server.url(path, tls="good")
                code = code_of(url, verify=certificates.file, max_bytes=10**9, **HURRY)
                assert code == "url.timeout"


def test_URL_34_names_that_servers_give_are_not_looked_at(server, fetch):
    name = "Content-Disposition:attachment;filename=../../x.jpg"
    assert fetch(server.url(f"/good/1.jpg?header={name}")).data == picture(1)


def test_URL_35_cookies_are_not_kept(server):
    with Fetcher(FetchOptions(allow_private=True)) as fetcher:
        fetcher.fetch(server.url("/good/1.jpg?header=Set-Cookie:a=b"))
        fetcher.fetch(server.url("/redir?to=/good/2.jpg&header=Set-Cookie:a=b"))
        fetcher.fetch(server.url("/good/3.jpg"))
    assert len(server.requests) == 4
    assert not any("Cookie" in request.headers for request in server.requests)


def test_URL_44_deadlines_do_not_know_the_clock(server, code_of, fetch, monkeypatch):
    now, jumps = time.time, iter(range(0, 10**9, 3_600))
    monkeypatch.setattr(time, "time", lambda: now() + next(jumps))
    with seconds(TOTAL, TOTAL + LATE):
        assert code_of(server.url("/drip"), max_bytes=10**9, **HURRY) == "url.timeout"
    assert fetch(server.url("/good/1.jpg")).data == picture(1)
    monkeypatch.setattr(time, "time", lambda: now() - next(jumps))
    with seconds(TOTAL, TOTAL + LATE):
        assert code_of(server.url("/header-drip"), **HURRY) == "url.timeout"


def test_closing_ends_what_is_under_way_and_leaves_no_thread(server):
    fetcher = Fetcher(FetchOptions(allow_private=True, total=60, read_timeout=60))
    errors = []

    def run(path):
        try:
            fetcher.fetch(server.url(path))
        except FetchError as exc:
            errors.append(exc)

    paths = ("/drip", "/silent", "/header-drip", "/status/429?ra=50")
    threads = [threading.Thread(target=run, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    while len(server.requests) < len(paths):
        time.sleep(0.01)
    with seconds(0, LATE):
        fetcher.close()
        for thread in threads:
            thread.join()
    assert len(errors) == 4
    names = [thread.name for thread in threading.enumerate()]
    assert not any(name.startswith("dinoseek") for name in names)
    with pytest.raises(FetchError):
        fetcher.fetch(server.url("/good/1.jpg"))


@pytest.mark.parametrize("name", ["connect_timeout", "read_timeout", "total", "max_bytes"])
def test_options_that_make_no_sense_are_refused(name):
    with pytest.raises(ValueError, match=name):
        FetchOptions(**{name: 0})
