"""The page of duplicates: side by side, the keeper said why, and nothing in a name is markup."""

import os
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from dinoseek.duplicates.groups import Group, Member
from dinoseek.duplicates.levels import Evidence
from dinoseek.errors import MachineError
from dinoseek.gallery.base import WEB
from dinoseek.gallery.holdings import Copy
from dinoseek.report.duplicates import write_duplicates

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</title></style></section>",
    "line\nbreak\ttab\x1b[31m",
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

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def written(tmp_path):
    def write(groups, **options):
        page = tmp_path / "out" / "dupes.html"
        write_duplicates(page, groups, **options)
        text = page.read_text("utf-8")
        parsed = Page(text)
        assert not parsed.open
        return text, parsed

    return write


def copy_of(file: Path, **changes) -> Copy:
    values = {"width": 40, "height": 30, "bytes": 2_100_000, "format": "PNG", "mtime_ns": 0}
    values |= {"root": str(file.parent), "path": os.fsencode(file.name), "kind": "file"}
    return Copy(**{"id": 1, "digest": "a" * 64, **values, **changes})


@pytest.fixture
def group(make_picture):
    kept = Member(copy=copy_of(make_picture("a.png")), keep=True, why="2.1 MB rather than 9 kB")
    evidence = Evidence(level="near", score=0.98765, distance=6, colour=2.0)
    other = copy_of(make_picture("b.png"), bytes=9000)
    spare = Member(copy=other, keep=False, why="2.1 MB rather than 9 kB", evidence=evidence)
    return Group(level="near", members=(kept, spare))


def test_the_keeper_stands_first_with_the_reason_and_others_with_the_evidence(group, written):
    _, page = written([group], facts={"searched": "photos.dino"})

    words = " ".join(page.text.split())
    assert words.index("a.png") < words.index("b.png")
    assert "2.1 MB rather than 9 kB" in words
    assert "6 of 256 bits differ, cosine 0.9876" in words
    assert "9.0 kB can go" in words
    assert "photos.dino" in words
    assert [item["class"] for item in page.all("li")] == ["image keep", "image"]
    assert [image["alt"] for image in page.all("img")] == ["a.png, to keep", "b.png, can go"]
    assert all(image["src"].startswith("data:image/jpeg;base64,") for image in page.all("img"))


def test_levels_are_sections_that_can_be_gone_to(group, written):
    exact = replace(group, level="exact")

    _, page = written([exact, group, group])

    assert [link["href"] for link in page.all("a") if link["href"][0] == "#"] == ["#exact", "#near"]
    assert [heading["id"] for heading in page.all("h2")] == ["exact", "near"]
    assert [heading["id"] for heading in page.all("h3")] == ["group-1", "group-2", "group-3"]
    assert len(page.all("h1")) == 1


def test_the_page_fetches_and_runs_nothing(group, written):
    text, page = written([group])

    assert not re.search(r"https?://", text)
    assert "url(" not in text
    assert "@import" not in text
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "link", "iframe", "object", "embed", "form", "base"}
    assert all(not name.startswith("on") for _, attrs in page.tags for name in attrs)
    policy = [meta for meta in page.all("meta") if "http-equiv" in meta]
    assert policy[0]["content"].startswith("default-src 'none'; img-src data:")


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_stay_text(text, group, written):
    _, clean = written([group])
    hostile = replace(
        group.members[1],
        copy=replace(group.members[1].copy, path=text.encode(), format=text),
    )
    kept = replace(group.members[0], why=text)

    page_text, page = written(
        [replace(group, members=(kept, hostile))], title=text, facts={text: text}
    )

    def skeleton(parsed):
        return [tag for tag, _ in parsed.tags if tag not in ("img", "dt", "dd", "div", "span")]

    assert skeleton(page) == skeleton(clean)
    assert all(not name.startswith("on") for _, attrs in page.tags for name in attrs)
    assert "\x1b" not in page_text
    assert "\u202e" not in page_text


def test_images_elsewhere_show_their_thumbnail_and_lead_where_it_is_safe(group, written):
    web = copy_of(Path("x"), root=WEB, path=b"https://e.org/a.png", kind="web", id=7)
    script = replace(web, path=b"javascript:alert(1)", id=8)
    members = [
        Member(copy=each, keep=False, why="on the web, so it is left alone", evidence=evidence)
        for evidence in [Evidence(level="near", score=1.0)]
        for each in (web, script)
    ]
    small = group.members[0].copy.file.read_bytes()

    _, page = written(
        [replace(group, members=(group.members[0], *members))],
        thumbnail_of={7: small}.get,
    )

    targets = [link.get("href") for link in page.all("a")][2:]
    assert targets == ["https://e.org/a.png", None]
    assert len(page.all("img")) == 2
    assert "no picture" in page.text
    assert "On the web, so it is left alone" in page.text


def test_a_missing_file_and_what_was_decided_are_told_in_words(group, written, tmp_path):
    gone = replace(group.members[1], copy=copy_of(tmp_path / "gone.png"), decided="keep-both")

    _, page = written([replace(group, members=(group.members[0], gone))])

    assert "file missing" in page.text
    assert "you said: keep-both" in page.text


def test_names_that_are_no_utf8_are_written_escaped(group, written):
    odd = replace(group.members[1].copy, path=b"caf\xe9.png")

    text, page = written(
        [replace(group, members=(group.members[0], replace(group.members[1], copy=odd)))]
    )

    assert "\\udce9" in page.text
    assert "caf%E9.png" in text


def test_a_page_of_very_many_groups_is_cut_and_says_so(group, written):
    _, page = written([group] * 5, limit=3)

    assert len(page.all("article")) == 3
    assert "The first 3 of 5 groups are shown" in page.text


def test_no_duplicates_are_told_too(written):
    _, page = written([])

    assert "No duplicates were found" in page.text


def test_a_page_that_cannot_be_written_is_an_error_in_one_line(tmp_path, group):
    with pytest.raises(MachineError) as caught:
        write_duplicates(tmp_path, [group])
    assert caught.value.code == "report.unwritable"
