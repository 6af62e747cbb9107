"""Only public addresses are connected to, whatever a name or a redirect leads to."""

import socket
import time

import pytest

from dinoseek.errors import FetchError
from dinoseek.ingest import fetch
from dinoseek.ingest.fetch import Fetcher, FetchOptions

from .fault_server import FaultServer, picture
from .fault_tls import Certificates
from .internet import PUBLIC, internet
from .test_address import INSIDE, some

LOOPBACK = pytest.mark.allow_hosts(["127.0.0.0/8"])
ONCE = {"total": 30, "retries": 0}


def failure(url, **options):
    """Why an address is not fetched, by the rules for everyone."""
    chosen = FetchOptions(**{**ONCE, **options})
    with Fetcher(chosen) as fetcher, pytest.raises(FetchError) as caught:
        fetcher.fetch(url)
    return caught.value


@pytest.fixture
def server():
    with FaultServer() as opened:
        yield opened


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "LOCALHOST",
        "127.1",
        "0x7f000001",
        "2130706433",
        "017700000001",
        "0",
        "①②⑦.⓪.⓪.①",
    ],
)
def test_URL_02_no_way_to_write_loopback_is_connected_to(host):
    with internet({}) as net:  # and no socket can be made
        error = failure(f"http://{host}/a.jpg")
    assert error.code == "url.blocked_address"
    assert len(net.asked) == 1


@pytest.mark.parametrize(
    "host",
    [
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[::127.0.0.1]",
        "[fe80::1%25lo]",
        "[fec0::1]",
        "[::]",
        "[::ffff:169.254.169.254]",
    ],
)
def test_URL_03_no_way_to_wrap_it_in_ipv6_is_connected_to(host):
    with internet({}):
        assert failure(f"http://{host}/a.jpg").code == "url.blocked_address"


@pytest.mark.parametrize("network", INSIDE)
def test_URL_04_networks_inside_are_not_connected_to(network):
    for address in some(network):
        host = f"[{address}]" if ":" in address else address
        with internet({}):
            assert failure(f"http://{host}/").code == "url.blocked_address"


@pytest.mark.parametrize("network", INSIDE)
def test_URL_05_names_that_lead_inside_are_not_connected_to(network):
    for address in some(network):
        with internet({"public.test": [[address]]}) as net:
            assert failure("http://public.test/").code == "url.blocked_address"
            assert failure("https://public.test/").code == "url.blocked_address"
        assert net.asked == ["public.test"] * 2


def test_URL_04_the_metadata_of_a_cloud_is_not_asked():
    with internet({"metadata.google.internal": [["169.254.169.254"]]}):
        error = failure("http://metadata.google.internal/computeMetadata/v1/")
    assert error.code == "url.blocked_address"
    assert "DINOSEEK_ALLOW_PRIVATE_HOSTS" in str(error)


@LOOPBACK
def test_URL_06_a_name_that_changes_its_mind_is_connected_where_it_was_checked(server):
    answers = [[PUBLIC], ["127.0.0.1"]]
    with internet({"public.test": answers}, server.port) as net, Fetcher() as fetcher:
        assert fetcher.fetch("http://public.test/good/1.jpg").data == picture(1)
        assert net.asked == ["public.test"]
        with pytest.raises(FetchError) as caught:
            fetcher.fetch("http://public.test/good/1.jpg")
    assert caught.value.code == "url.blocked_address"
    assert net.connected == [(PUBLIC, 80)]
    assert [request.headers["Host"] for request in server.requests] == ["public.test"]


@LOOPBACK
def test_URL_07_of_several_addresses_only_the_first_counts(server):
    names = {"a.test": [[PUBLIC, "127.0.0.1"]], "b.test": [["127.0.0.1", PUBLIC]]}
    with internet(names, server.port) as net:
        with Fetcher() as fetcher:
            assert fetcher.fetch("http://a.test/good/1.jpg").data == picture(1)
        assert failure("http://b.test/good/1.jpg").code == "url.blocked_address"
    assert net.connected == [(PUBLIC, 80)]


REDIRECTS = {
    "http://127.0.0.1/": "url.blocked_address",
    "//127.0.0.1/": "url.blocked_address",
    "http://169.254.169.254/latest/meta-data": "url.blocked_address",
    "http://inside.test/": "url.blocked_address",
    "https://[::1]/": "url.blocked_address",
    "file:///etc/passwd": "url.scheme",
    "ftp://public.test/": "url.scheme",
    "javascript:alert(1)": "url.scheme",
    "http://public.test:8080/": "url.port",
    "http://user@public.test/": "url.syntax",
    "http://[bad": "url.syntax",
    "http://public.test/%00": "url.syntax",
    "/redir?to=http%3A%2F%2F127.0.0.1%2F": "url.blocked_address",
}


@LOOPBACK
@pytest.mark.parametrize(("to", "code"), REDIRECTS.items())
def test_URL_08_every_step_of_a_redirect_is_checked(server, to, code):
    first = server.redirect(to).replace(f"127.0.0.1:{server.port}", "public.test")
    names = {"public.test": [[PUBLIC]], "inside.test": [["10.0.0.1"]]}
    with internet(names, server.port) as net:
        assert failure(first).code == code
    assert set(net.connected) == {(PUBLIC, 80)}


@pytest.mark.parametrize("port", [22, 25, 6379, 9200, 8080])
def test_URL_11_other_ports_are_not_even_resolved(port):
    with internet({}) as net:
        assert failure(f"http://public.test:{port}/").code == "url.port"
    assert net.asked == []


@LOOPBACK
def test_URL_11_a_port_that_is_allowed_is_connected_to(server):
    options = FetchOptions(ports=(80, 443, 8080))
    with internet({"a.test": [[PUBLIC]]}, server.port) as net, Fetcher(options) as fetcher:
        fetcher.fetch("http://a.test:8080/good/1.jpg")
    assert net.connected == [(PUBLIC, 8080)]


@LOOPBACK
def test_URL_12_proxies_and_passwords_of_the_machine_are_not_used(server, tmp_path, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    (tmp_path / "netrc").write_text("default login me password secret\n")
    with internet({"public.test": [[PUBLIC]]}, server.port), Fetcher() as fetcher:
        fetcher.fetch("http://public.test/good/1.jpg")
    (request,) = server.requests
    assert set(request.headers) == {"Host", "User-Agent", "Accept", "Accept-Encoding"}
    assert request.headers["User-Agent"].startswith("dinoseek/")


@pytest.mark.parametrize("number", [socket.EAI_NONAME, socket.EAI_AGAIN, socket.EAI_FAIL])
def test_URL_13_a_name_without_an_address_is_tried_again(number, monkeypatch):
    monkeypatch.setattr(fetch, "_FIRST_PAUSE", 0.01)
    with internet({"no.test": [socket.gaierror(number, "no")]}) as net:
        assert failure("http://no.test/", retries=2, total=5).code == "url.dns"
    assert net.asked == ["no.test"] * 3


def test_URL_13_waiting_for_a_name_counts_as_time():
    with internet({"slow.test": [60.0]}):
        began = time.monotonic()
        assert failure("http://slow.test/", total=0.5, retries=2).code == "url.dns"
        assert 0.45 <= time.monotonic() - began < 30


@LOOPBACK
def test_URL_31_certificates_are_for_names_although_addresses_are_connected_to(tmp_path):
    certificates = Certificates(tmp_path)
    with FaultServer(tls=certificates.variants()) as server:
        for variant, code in (("sni", None), ("wrong-host", "url.tls"), ("expired", "url.tls")):
            with internet({"good.test": [[PUBLIC]]}, server.tls_ports[variant]) as net:
                url = "https://good.test/good/1.jpg"
                if code:
                    assert failure(url, verify=certificates.file).code == code
                else:
                    with Fetcher(FetchOptions(verify=certificates.file)) as fetcher:
                        assert fetcher.fetch(url).data == picture(1)
            assert net.connected == [(PUBLIC, 443)]
    assert certificates.names == ["good.test"]


@LOOPBACK
def test_hosts_that_share_an_address_share_no_certificate(tmp_path):
    certificates = Certificates(tmp_path)
    names = {"good.test": [[PUBLIC]], "other.test": [[PUBLIC]]}
    fetcher = Fetcher(FetchOptions(verify=certificates.file, **ONCE))
    with FaultServer(tls=certificates.variants()) as server, fetcher:
        net = internet(names, server.tls_ports["good"])
        with net:
            assert fetcher.fetch("https://good.test/good/1.jpg").data == picture(1)
            with pytest.raises(FetchError) as caught:
                fetcher.fetch("https://other.test/good/1.jpg")
    assert "other.test" in caught.value.subject
    assert caught.value.code == "url.tls"


def test_tests_that_see_no_connection_would_see_one():
    options = FetchOptions(allow_private=True, **ONCE)
    with Fetcher(options) as fetcher, pytest.raises((RuntimeError, UserWarning), match="socket"):
        fetcher.fetch("http://127.0.0.1/")
