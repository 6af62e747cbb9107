"""Which addresses mean the same, which are none, and which lead inside."""

import ipaddress
from urllib.parse import urlsplit

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from dinoseek.errors import FetchError
from dinoseek.ingest.address import check_port, is_public, normalised

# Networks that are not the public internet: the special-purpose registries of IANA, and what clouds
# put beside them.
REGISTERS = """
0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24
192.0.2.0/24 192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4
240.0.0.0/4 255.255.255.255/32 168.63.129.16/32 169.254.169.254/32 100.100.100.200/32
::/128 ::1/128 ::/96 ::ffff:0:0:0/96 ::ffff:10.0.0.0/104 ::ffff:127.0.0.0/104 64:ff9b::/96
64:ff9b:1::/48 100::/64 2001::/32 2001:2::/48 2001:10::/28 2001:20::/28 2001:db8::/32 2002::/16
3fff::/20 5f00::/16 fc00::/7 fe80::/10 fec0::/10 ff00::/8 4000::/3 fd00:ec2::254/128
"""
INSIDE = REGISTERS.split()
PUBLIC = ["1.1.1.1", "8.8.8.8", "93.184.216.34", "2606:4700::1111", "2a00:1450:4001::200e"]


def some(network):
    """Its first, middle and last address."""
    net = ipaddress.ip_network(network)
    return [str(net[index]) for index in (0, net.num_addresses // 2, -1)]


def code_of(url):
    with pytest.raises(FetchError) as caught:
        normalised(url)
    assert "\n" not in str(caught.value)
    assert str(caught.value).isprintable()
    return caught.value.code


@pytest.mark.parametrize("network", INSIDE)
def test_URL_04_networks_inside_are_not_public(network):
    assert not any(is_public(ipaddress.ip_address(address)) for address in some(network))


def test_URL_04_there_are_many_such_networks_and_others_are_public():
    assert len(INSIDE) >= 32
    assert all(is_public(ipaddress.ip_address(address)) for address in PUBLIC)
    assert is_public(ipaddress.ip_address("::ffff:8.8.8.8"))


@given(st.ip_addresses())
def test_what_is_public_is_global_for_python_too(address):
    if is_public(address) and getattr(address, "ipv4_mapped", None) is None:
        assert address.is_global
        assert not address.is_multicast


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "FILE:///etc/passwd",
        "ftp://example.com/a.jpg",
        "gopher://example.com/",
        "dict://example.com:11211/",
        "data:image/png;base64,AAAA",
        "javascript:alert(1)",
        "jar:http://example.com!/a",
        "//example.com/a.jpg",
        "example.com/a.jpg",
        "/etc/passwd",
        "://",
        "",
        " ",
        "http",
    ],
)
def test_URL_01_only_http_and_https_are_addresses(url):
    assert code_of(url) == "url.scheme"


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1@example.com/",
        "http://user:password@example.com/",
        "http://@example.com/",
        "http://example.com\\@127.0.0.1/",
        "http://example.com#@127.0.0.1:99999/",
        "http://exam\tple.com/",
        "http://example.com\r\nHost: inside/",
        "http://example.com/a\nb",
        "http://exa mple.com/",
        "http://example.com:99999/",
        "http://example.com:-1/",
        "http://example.com:8O/",
        "http://",
        "http:///a.jpg",
        "http:a.jpg",
        "http://:80/",
        "http://?a",
        "http://..",
        "http://a..b/",
        "http://[::1/",
        "http://[v1.a]/",
        "http://[1.2.3.4]/",
        "http://[not]/",
        "http://exa<mple.com/",
        "http://example.com%2f@inside/",
        "http://exam%70le.com/",
        "http://" + "a" * 64 + ".com/",
        "http://\u2488.com/",
        "http://a\u2100b.com/",
        "http://example.com/\ud800",
    ],
)
def test_URL_10_what_could_be_read_in_two_ways_is_no_address(url):
    if "#" in url:  # for every parser, the host ends before it
        assert normalised(url) == "http://example.com/"
    else:
        assert code_of(url) == "url.syntax"


def test_URL_10_digits_of_other_kinds_are_the_address_that_they_mean():
    assert normalised("http://①②⑦.⓪.⓪.①/") == "http://127.0.0.1/"
    assert normalised("http://127。0。0。1/") == "http://127.0.0.1/"


SAME = {
    "http://example.com/~a/b.jpg?x=%2F&y": [
        "http://example.com/~a/b.jpg?x=%2f&y",
        "HTTP://example.com/~a/b.jpg?x=%2F&y",
        "http://EXAMPLE.com/%7ea/b.jpg?x=%2F&y",
        "http://example.com:80/%7Ea/b.jpg?x=%2F&y#top",
        "http://example.com:/~a/./b.jpg?x=%2F&y",
        "  http://example.com/c/../~a/b.jpg?%78=%2F&y\n",
        "http://example.com/../../~%61/%62.jpg?x=%2F&y",
        "http://example.com/%2e%2E/~a/%2e/b.jpg?x=%2F&y#%%%",
    ],
    "https://example.com/": ["https://example.com", "https://EXAMPLE.COM:443#a?b"],
    "http://example.com:443/": ["http://example.com:443"],
    "http://xn--bcher-kva.example/": ["http://bücher.example", "http://BÜCHER。example/"],
    "http://[2001:db8::1]:8080/a": ["http://[2001:DB8:0:0::1]:8080/a"],
    "http://example.com/a%20b%25c": ["http://example.com/a b%c", "http://example.com/a%20b%25c"],
    "http://example.com/%E2%98%83?q=%F0%9F%98%80": ["http://example.com/☃?q=😀"],
    "http://example.com/%5Ba%5D%7C?[": ["http://example.com/[a]|?["],
    "http://example.com/a//b/": ["http://example.com/a//b/", "http://example.com/a//b/c/.."],
}


@pytest.mark.parametrize(
    ("normal", "url"), [(normal, url) for normal, urls in SAME.items() for url in urls]
)
def test_URL_36_addresses_that_mean_the_same_are_the_same(normal, url):
    normal = normal.replace("?[", "?%5B")
    assert normalised(url) == normal
    assert normalised(normal) == normal


def test_URL_36_addresses_that_mean_something_else_stay_apart():
    text = """http://a.com/x http://a.com/X https://a.com/x http://a.com:81/x http://a.com/x/
        http://b.com/x http://a.com/x?y http://a.com/x%2Fy http://a.com/x/y http://a.com//x
        http://a.com/x?y&z http://a.com/x?z&y http://a.com/x+y http://a.com/x%20y"""
    different = text.split()
    assert len({normalised(url) for url in different}) == len(different)


def test_URL_39_long_addresses_and_hidden_control_characters_are_refused():
    assert code_of("http://example.com/" + "a" * 10_000) == "url.syntax"
    assert code_of("http://example.com/" + "☃" * 1_000) == "url.syntax"  # 9 characters each
    assert code_of("http://example.com/a%00.jpg") == "url.syntax"
    assert code_of("http://example.com/a?b=%0d%0aHost:%20inside") == "url.syntax"
    assert len(normalised("http://example.com/" + "a" * 4_000)) == 4_019


def test_URL_45_what_is_wrong_with_an_address_can_be_shown():
    with pytest.raises(FetchError) as caught:
        normalised("http://\x1b[2J\nerror: all is lost/")
    assert str(caught.value).isprintable()
    assert "\\x1b" in str(caught.value)


def tried(url):
    """The normal form, None if there is none."""
    try:
        return normalised(url)
    except FetchError as exc:
        return None if exc.code in ("url.syntax", "url.scheme") else exc


@given(st.text(max_size=60))
def test_a_normal_form_is_final_and_what_requests_sends(text):
    if normal := tried("http://example.com/" + text):
        assert normalised(normal) == normal
        assert requests.Request("GET", normal).prepare().url == normal
        assert normal.isascii()


@given(st.text(max_size=40))
def test_any_text_is_an_address_or_is_refused(text):
    for normal in filter(None, map(tried, (text, "http://" + text))):
        parts = urlsplit(normal)
        assert parts.scheme in ("http", "https")
        assert parts.hostname
        assert parts.username is None
        assert normalised(normal) == normal


@pytest.mark.parametrize("port", [0, 22, 25, 8080, 6379, 9200, 65535])
def test_URL_11_other_ports_are_refused(port):
    with pytest.raises(FetchError) as caught:
        check_port(urlsplit(f"http://example.com:{port}/"), (80, 443))
    assert caught.value.code == "url.port"
    check_port(urlsplit(f"http://example.com:{port}/"), (80, 443, port))


def test_URL_11_the_ports_of_the_schemes_are_allowed():
    for url in ("http://a.com/", "https://a.com/", "http://a.com:443/", "https://a.com:80/"):
        check_port(urlsplit(url), (80, 443))
