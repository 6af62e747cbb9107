"""What a server says about machines that take its images is obeyed."""

import time

import pytest

from dinoseek.errors import FetchError
from dinoseek.ingest.fetch import Fetcher, FetchOptions
from dinoseek.ingest.robots import opted_out

from .fault_server import Answer, FaultServer, picture

pytestmark = pytest.mark.allow_hosts(["127.0.0.0/8"])


@pytest.fixture
def server():
    with FaultServer() as opened:
        yield opened


@pytest.fixture
def code():
    """What becomes of an address: "fetched" or the code of its error."""
    fetchers = []

    def of(url, **options):
        chosen = {"total": 30, "retries": 0, "honour_robots_txt": True, **options}
        fetchers.append(Fetcher(FetchOptions(allow_private=True, **chosen)))
        try:
            fetchers[-1].fetch(url)
        except FetchError as exc:
            return exc.code
        return "fetched"

    yield of
    for fetcher in fetchers:
        fetcher.close()


NO = [
    "noai",
    "NoAI",
    "noimageai",
    "noindex",
    "noimageindex",
    "none",
    "nofollow, noai",
    " noai ,x",
    "dinoseek: noai",
    "Dinoseek : NOAI",
    "*: noai",
    "dinoseek: nofollow, noai",
    "max-image-preview: large, noai",
    "unavailable_after: 25 Jun 2030 15:00:00 PST, noai",
    "noai, unavailable_after: 25 Jun 2030 15:00:00 PST",
]
YES = ["", "all", "nofollow", "otherbot: noai", "otherbot: index, noai", "noaim", "x-noai", ","]


@pytest.mark.parametrize("tag", NO)
def test_URL_32_an_image_that_is_not_to_be_used_is_not(tag):
    assert opted_out([tag])
    assert opted_out(["otherbot: index", tag])


@pytest.mark.parametrize("tag", YES)
def test_URL_32_other_words_and_words_for_others_mean_nothing(tag):
    assert not opted_out([tag])


def test_URL_32_of_several_headers_each_counts_for_itself(server, code):
    two = "/good/1.jpg?header=X-Robots-Tag:otherbot:%20nofollow&header=X-Robots-Tag:noai"
    assert code(server.url(two)) == "url.optout"
    assert code(server.url("/good/1.jpg?header=x-robots-tag:NOAI")) == "url.optout"
    assert code(server.url("/good/1.jpg?header=X-Robots-Tag:otherbot:noai")) == "fetched"
    assert code(server.url(two), honour_optout=False) == "fetched"


RULES = """
User-agent: otherbot
Disallow: /

User-agent: *
Disallow: /good/7
Allow: /
"""


def test_URL_33_robots_txt_is_obeyed_and_asked_once(server):
    server.robots_txt = RULES
    fetcher = Fetcher(FetchOptions(allow_private=True, honour_robots_txt=True))
    with fetcher:
        assert fetcher.fetch(server.url("/good/6.jpg")).data == picture(6)
        for number in (7, 71):
            with pytest.raises(FetchError) as caught:
                fetcher.fetch(server.url(f"/good/{number}.jpg"))
            assert caught.value.code == "url.robots"
    assert server.asked() == ["/good/6.jpg"]
    assert server.asked("/robots.txt") == 1


def test_URL_33_robots_txt_counts_for_where_a_redirect_leads(server, code):
    server.robots_txt = RULES
    assert code(server.redirect("/good/7.jpg")) == "url.robots"
    assert code(server.redirect("/good/8.jpg")) == "fetched"


def test_URL_33_without_the_option_robots_txt_is_not_asked(server, code):
    server.robots_txt = "User-agent: *\nDisallow: /"
    assert code(server.url("/good/7.jpg"), honour_robots_txt=False) == "fetched"
    assert server.asked("/robots.txt") == 0


@pytest.mark.parametrize(
    ("robots", "expected"),
    [
        (None, "fetched"),
        (404, "fetched"),
        (403, "fetched"),
        (503, "url.http_503"),  # it could say no: RFC 9309, section 2.3.1.4
        ("", "fetched"),
        ("\x00\xff no rules at all", "fetched"),
        ("User-agent: dinoseek\nDisallow: /", "url.robots"),
        ("#" * 600_000, "fetched"),
    ],
)
def test_URL_33_what_is_no_robots_txt_allows_everything_but_silence_does_not(
    server, code, robots, expected
):
    server.robots_txt = robots
    assert code(server.url("/good/1.jpg")) == expected


def test_URL_33_waiting_for_robots_txt_counts_as_time(server, code, monkeypatch):
    monkeypatch.setattr(Answer, "on_robots", Answer.on_header_drip)
    began = time.monotonic()
    assert code(server.url("/good/1.jpg"), total=0.5) == "url.timeout"
    assert 0.5 <= time.monotonic() - began < 30
    assert server.asked() == []
