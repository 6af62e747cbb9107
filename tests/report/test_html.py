"""The page of hits: self-contained, and nothing in a name or caption becomes markup."""

import io
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from dinoseek.errors import MachineError
from dinoseek.images.region import Region
from dinoseek.report.html import write_html
from dinoseek.report.pictures import Result, Shown

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</title></style></section>",
    "line\nbreak\ttab\x1b[31m",
    "javascript:alert(1)",
    "$title ${number} $$",
    "\u202egpj.exe",
]


class Page(HTMLParser):
    """The tags of a page with their attributes, its text, and whether each tag was closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def written(tmp_path):
    def write(results, **more) -> tuple[str, Page]:
        path = tmp_path / "out" / "page.html"
        write_html(path, results, **more)
        text = path.read_text(encoding="utf-8")
        page = Page(text)
        assert page.open == []
        return text, page

    return write


@pytest.fixture
def plain(make_picture, make_hit):
    hits = [make_hit(make_picture(f"{n}.png"), n, 1 - n / 10) for n in (1, 2)]
    return Result(query="cats/q.png", source=make_picture("q.png"), hits=hits)


def test_query_and_hits_are_shown_in_order_with_scores(plain, written):
    _, page = written([plain], facts={"model": "dinov2-small"})

    words = " ".join(page.text.split())
    assert "q.png" in words
    assert "2 hits" in words
    assert words.index("0.900") < words.index("0.800")
    assert "model" in words
    assert "dinov2-small" in words


def test_each_picture_lies_inside_the_page_and_has_words_for_who_cannot_see_it(plain, written):
    _, page = written([plain])

    images = page.all("img")
    assert len(images) == 3
    assert all(image["src"].startswith("data:image/jpeg;base64,") for image in images)
    assert [image["alt"] for image in images] == [
        "Query: q.png",
        "1.png, rank 1, score 0.900",
        "2.png, rank 2, score 0.800",
    ]


def test_the_page_fetches_and_runs_nothing(plain, written):
    text, page = written([plain])

    assert not re.search(r"https?://", text)
    assert "url(" not in text
    assert "@import" not in text
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "link", "iframe", "object", "embed", "form", "base"}
    assert all(not name.startswith("on") for _, attrs in page.tags for name in attrs)
    policy = [meta for meta in page.all("meta") if "http-equiv" in meta]
    assert policy[0]["content"].startswith("default-src 'none'; img-src data:")


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_and_captions_stay_text(text, written, plain, make_picture, make_hit):
    plain_hit = make_hit(Path("/a/b.png"), metadata={"a": "b"})
    _, clean = written([Result(query="q", source=None, hits=[plain_hit])])
    hit = make_hit(
        Path("/a/b.png"), path=f"/a/{text}/{text}", caption=text, metadata={text: text, "b": [text]}
    )
    result = Result(query=text, source=None, hits=[hit])

    page_text, page = written([result], title=text, facts={text: text})

    assert [tag for tag, _ in page.tags if tag not in ("p", "dt", "dd", "div")] == [
        tag for tag, _ in clean.tags if tag not in ("p", "dt", "dd", "div")
    ]
    assert all(not name.startswith("on") for _, attrs in page.tags for name in attrs)
    assert all(attrs["href"].startswith("file:///") for attrs in page.all("a"))
    assert "\x1b" not in page_text
    assert "\u202e" not in page_text


def test_a_hostile_file_name_is_escaped_in_its_link(written, make_hit):
    file = Path('/a/"><script>.png')

    _, page = written([Result(query="q", source=None, hits=[make_hit(file)])])

    assert page.all("a")[0]["href"] == "file:///a/%22%3E%3Cscript%3E.png"
    assert not page.all("script")


def test_names_that_are_no_utf8_are_written_escaped(written, make_hit):
    name = os.fsdecode(b"/a/caf\xe9.png")

    text, page = written([Result(query=name, source=None, hits=[make_hit(Path(name), path=name)])])

    assert "\\udce9" in page.text
    assert "caf%E9.png" in text


def test_a_missing_file_leaves_words_in_its_place(tmp_path, written, make_hit):
    hits = [make_hit(tmp_path / "gone.png")]

    _, page = written([Result(query="id:4", source=tmp_path / "also-gone.png", hits=hits)])

    assert page.all("img") == []
    assert "file missing" in page.text
    assert "no picture" in page.text


def test_a_search_without_hits_says_so(written):
    _, page = written([Result(query="q", source=None, hits=[])])

    assert "0 hits" in page.text
    assert "No hit" in page.text


def test_distances_are_shown_where_they_were_asked_for(written, make_hit):
    _, page = written(
        [Result(query="q", source=None, hits=[make_hit(Path("/a.png"), distance=1.25)])]
    )

    assert "1.250" in page.text
    assert "Euclidean" in page.text


@pytest.mark.parametrize(("score", "width"), [(-0.3, "0.0"), (0.5, "50.0"), (1.0000002, "100.0")])
def test_the_bar_of_a_score_stays_within_its_track(score, width, written, make_hit):
    _, page = written([Result(query="q", source=None, hits=[make_hit(Path("/a.png"), 1, score)])])

    assert page.all("i")[0]["style"] == f"width:{width}%"


def test_each_search_has_a_heading_of_its_own(plain, written):
    _, page = written([plain, plain])

    assert [s["aria-labelledby"] for s in page.all("section")] == ["query-1", "query-2"]
    assert [h["id"] for h in page.all("h2")] == ["query-1", "query-2"]
    assert len(page.all("h1")) == 1


def test_a_page_that_cannot_be_written_is_an_error_in_one_line(tmp_path, plain):
    with pytest.raises(MachineError) as caught:
        write_html(tmp_path, [plain])

    assert caught.value.code == "report.unwritable"


def test_a_hit_without_a_file_shows_what_the_gallery_keeps_of_it(tmp_path, written, make_hit):
    buffer = io.BytesIO()
    Image.new("RGB", (64, 32)).save(buffer, "JPEG")
    kept = {2: buffer.getvalue(), 3: buffer.getvalue()}
    url = "https://example.org/a.jpg?b=1&c=2"
    hits = [
        make_hit(tmp_path / "gone.png", 1),
        make_hit(None, 2, path=url, url=url),
        make_hit(tmp_path / "gone too.png", 3),
        make_hit(None, 4, path="/a/shard.tar/b.jpg"),
    ]

    text, page = written([Result(query="q", source=None, hits=hits)], thumbnail_of=kept.get)

    assert [image["width"] for image in page.all("img")] == ["64", "64"]
    assert page.text.count("file missing") == 2
    links = [attrs.get("href") for attrs in page.all("a")]
    assert links[1:] == [url, (tmp_path / "gone too.png").as_uri(), None]
    assert "b=1&amp;c=2" in text


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", "", "//example.org/x"])
def test_only_web_addresses_become_links(written, make_hit, url):
    hits = [make_hit(None, 1, path="x", url=url)]

    _, page = written([Result(query="q", source=None, hits=hits)])

    assert page.all("a") == [{"title": "x"}]


def test_percentiles_and_copies_are_shown_and_explained_where_there_are_any(written, make_hit):
    file = Path("/a.png")
    hits = [
        make_hit(file, 1, percentile=100.0, copies=3),
        make_hit(file, 2, percentile=99.999),
        make_hit(file, 3, percentile=12.34),
    ]

    _, page = written([Result(query="q", source=None, hits=hits)])
    _, without = written([Result(query="q", source=None, hits=[make_hit(file)])])

    words = " ".join(page.text.split())
    assert "above all" in words
    assert "above 99.99 %" in words
    assert "above 12.34 %" in words
    assert "+3" in words
    assert "random" in words
    assert "near-duplicates" in words
    for word in ("random", "near-duplicates"):
        assert word not in without.text
    classes = {attrs.get("class") for _, attrs in without.tags}
    assert not classes & {"above", "badge copies"}


def test_metadata_is_folded_away_and_of_any_type(written, make_hit):
    metadata = {"label": "cat", "price": 1.5, "tags": ["a", "ä"], "sold": True, "x": None}

    _, page = written(
        [Result(query="q", source=None, hits=[make_hit(Path("/a.png"), metadata=metadata)])]
    )

    assert len(page.all("details")) == 1
    words = " ".join(page.text.split())
    assert '5 factslabelcat price1.5 tags["a", "ä"] soldtrue xnull' in words


def test_all_pictures_of_a_query_are_shown_with_their_signs(written, make_picture):
    source = [
        Shown(name="cats/a.png", source=make_picture("a.png")),
        Shown(name="cats/b.png", source=make_picture("b.png")),
        Shown(
            name="id:3", source=make_picture("c.png", (40, 30)), sign="-", region=Region(0, 0, 7, 9)
        ),
    ]

    _, page = written([Result(query="whole", source=source, hits=[])])

    images = page.all("img")
    assert [image["alt"] for image in images] == ["Query: a.png", "Query: b.png", "Query: id:3"]
    assert (images[2]["width"], images[2]["height"]) == ("7", "9")
    words = " ".join(page.text.split())
    assert "a.png + b.png - id:3" in words
    assert "+ \N{MINUS SIGN}" in words


def test_a_region_that_is_gone_from_its_file_leaves_words(written, make_picture):
    shown = Shown(name="a", source=make_picture("a.png", (40, 30)), region=Region(39, 0, 2, 2))

    _, page = written([Result(query="a", source=[shown], hits=[])])

    assert "no picture" in page.text


def test_a_re_ranking_is_told(plain, written, make_picture, make_hit):
    hit = make_hit(make_picture("r.png"), reranked=0.5)

    assert "order of a re-ranking" in written([Result(query="q", source=None, hits=[hit])])[0]
    assert "order of a re-ranking" not in written([plain])[0]
