"""The page of duplicates: what it shows, who may decide, what a decision does, and what is told."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

import dinoseek
from dinoseek.duplicates.find import find_duplicates
from dinoseek.errors import GalleryError
from dinoseek.gallery.choices import choices, discards
from dinoseek.gallery.decisions import decisions
from dinoseek.gallery.factory import open_gallery
from dinoseek.gallery.holdings import copies

NEW = ["copy <b>.jpg", "other copy.jpg", "small.jpg"]


@pytest.fixture
def doubled(gallery_path, photos, tmp_path, embedder) -> Path:
    """Two equal files of red-00.jpg, and a smaller one of green-01.jpg, in another folder."""
    folder = tmp_path / "phone"
    folder.mkdir()
    for name in NEW[:2]:
        shutil.copy(photos / "red-00.jpg", folder / name)
    Image.open(photos / "green-01.jpg").resize((160, 120)).save(folder / "small.jpg", quality=90)
    with open_gallery(gallery_path, embedder) as gallery:
        list(dinoseek.ingest(dinoseek.from_folder(folder), gallery))
    return folder


@pytest.fixture(autouse=True)
def contexts(monkeypatch):
    """Has answers tell what their templates were given."""
    from django.template import Template
    from django.test.utils import instrumented_test_render

    monkeypatch.setattr(Template, "_render", instrumented_test_render)


@pytest.fixture
def page(site, doubled):
    return Page(site(), doubled)


class Page:
    """The page, and the gallery behind it."""

    def __init__(self, site, folder: Path) -> None:
        self.site, self.folder = site, folder

    def get(self, **query):
        """What is shown, once it is found."""
        while (shown := self.shown(self.site.client.get("/duplicates", query))).is_computing:
            pass
        return shown

    def shown(self, response):
        return response.context["duplicates"]

    def post(self, path="decide", **fields):
        return self.site.post(f"/duplicates/{path}", fields)

    def say(self, name: str, choice: str, level="exact"):
        shown = self.get(level=level)
        (twin,) = [each for each in shown.twins if each.name == name]
        return self.post(level=level, group=shown.position, key=twin.key, choice=choice)

    def said(self):
        with open_gallery(self.site.config.gallery) as gallery:
            return choices(gallery), decisions(gallery)

    def discarded(self) -> list[str]:
        with open_gallery(self.site.config.gallery) as gallery:
            return sorted(path.decode() for _, path in discards(gallery))


def test_the_page_shows_one_group_with_reasons_and_evidence(page):
    shown = page.get(level="exact")

    assert [twin.name for twin in shown.twins] == ["red-00.jpg", *NEW[:2]]
    kept, copy, _ = shown.twins
    assert [twin.keep for twin in shown.twins] == [True, False, False]
    assert kept.why
    assert (kept.alike, copy.alike, copy.why) == ("", "same bytes", "")
    assert re.fullmatch(r"320 × 240 · [\d.]+ kB · JPEG", kept.facts)
    assert (kept.place, copy.place) == ("photos/red-00.jpg", "phone/copy <b>.jpg")
    assert kept.item == f"/item/{kept.id}"
    assert kept.thumb == copy.thumb
    assert (shown.position, shown.total, shown.previous, shown.next) == (1, 1, None, None)
    assert [(level.value, level.is_chosen) for level in shown.levels] == [
        ("exact", True),
        ("near", False),
        ("similar", False),
    ]
    assert (shown.can_decide, shown.can_undo, shown.discarded, shown.command) == (
        True,
        False,
        0,
        "",
    )


def test_levels_are_pages_of_their_own(page):
    near = page.get(level="near")
    assert [twin.name for twin in near.twins] == ["green-01.jpg", "small.jpg"]
    assert "of 256 bits differ" in near.twins[1].alike
    assert near.twins[0].why == "320 x 240 rather than 160 x 120"
    assert {level.value: level.count for level in page.get(level="exact").levels}["near"] == 1
    assert page.get().level == "exact"
    assert page.get(level="nonsense", group="x").level == "exact"


def test_names_of_files_are_text_in_the_page(page):
    page.get()
    html = page.site.client.get("/duplicates").content.decode()
    assert "copy &lt;b&gt;.jpg" in html
    assert "copy <b>.jpg" not in html
    assert str(page.folder) not in html, "where it lies on the server is nobody's business"


def test_a_discard_goes_on_to_what_comes_next_and_touches_no_file(page):
    response = page.say(NEW[0], "discard")

    assert (response.status_code, response["Location"]) == (303, "/duplicates?level=exact&group=1")
    assert page.discarded() == [NEW[0]]
    shown = page.get(level="exact")
    assert [twin.choice for twin in shown.twins] == ["", "discard", ""]
    assert (shown.discarded, shown.is_decided) == (1, False)
    assert shown.command == "dinoseek dupes photos.dino --discarded --move-to spare/"
    assert (page.folder / NEW[0]).exists()
    page.say(NEW[1], "keep")
    shown = page.get(level="exact")
    assert [twin.choice for twin in shown.twins] == ["keep", "discard", "keep"]
    assert shown.is_decided


def test_the_command_that_the_page_shows_acts_on_what_was_discarded(page, tmp_path, monkeypatch):
    from dinoseek.cli.main import run

    page.say(NEW[1], "discard")
    command = page.get().command.split()
    monkeypatch.chdir(tmp_path)

    assert run(command[1:]) == 0

    assert not (page.folder / NEW[1]).exists()
    assert (tmp_path / "spare" / NEW[1]).exists()
    assert (page.folder / NEW[0]).exists()


def test_keep_all_is_said_of_the_group(page):
    shown = page.get(level="near")
    response = page.post(level="near", group=1, key=shown.group, choice="keep-all")

    assert response.status_code == 303
    assert len(page.said()[1]) == 1
    with open_gallery(page.site.config.gallery) as gallery:
        assert [group.level for group in find_duplicates(gallery)] == ["exact"]
    assert page.get(level="near").is_decided


def test_undo_restores_what_was_and_shows_its_group(page):
    page.say(NEW[0], "discard")
    before = page.said()
    page.say("small.jpg", "keep", level="near")
    assert page.get().can_undo

    response = page.post("undo", level="exact", group=1)

    assert (response.status_code, response["Location"]) == (303, "/duplicates?level=near&group=1")
    assert page.said() == before
    page.post("undo")
    assert page.said() == ({}, {})
    assert not page.get().can_undo
    assert page.post("undo").status_code == 303, "nothing to undo is no error"


def test_another_browser_does_not_undo_what_this_one_said(page):
    from django.test import Client

    page.say(NEW[0], "discard")
    mine = page.site
    other = Client(enforce_csrf_checks=True, **mine.client.defaults)
    page.site = replace(mine, client=other)
    assert not page.get().can_undo
    page.post("undo")
    page.site = mine
    assert page.discarded() == [NEW[0]]
    assert page.get().can_undo


@pytest.mark.parametrize("path", ["decide", "undo"])
def test_WEB_decisions_are_only_posts_with_a_token(page, path):
    twin = page.get().twins[1]
    fields = {"level": "exact", "key": twin.key, "choice": "discard"}
    assert page.site.client.get(f"/duplicates/{path}", fields).status_code == 405
    assert page.site.client.post(f"/duplicates/{path}", fields).status_code == 403
    assert page.said() == ({}, {})


def test_WEB_only_who_runs_the_server_decides(site, doubled):
    from django.contrib.auth.models import User

    page = Page(site(accounts=True, operators=("ana",)), doubled)
    users = {name: User.objects.create_user(name, password="x") for name in ("ana", "ben")}
    page.site.client.force_login(users["ben"])
    shown = page.get()
    assert not shown.can_decide
    assert '<form class="decide"' not in page.site.client.get("/duplicates").content.decode()
    key = shown.twins[1].key
    for path in ("decide", "undo"):
        response = page.post(path, level="exact", key=key, choice="discard")
        assert response.status_code == 403
    assert page.said() == ({}, {})

    page.site.client.force_login(users["ana"])
    assert page.post(level="exact", key=key, choice="discard").status_code == 303
    assert page.discarded() == [NEW[0]]


@pytest.mark.parametrize(
    "wrong",
    [
        {"choice": "delete"},
        {"choice": ""},
        {"key": ""},
        {"key": "x" * 5000},
        {"key": "0" * 16 + "." + "0" * 16},
        {"choice": "keep-all", "key": "\x00"},
        {"level": "near"},
        {"level": "nonsense", "key": "a.b.c"},
    ],
)
def test_WEB_decisions_that_make_no_sense_change_nothing(page, wrong):
    fields = {"level": "exact", "group": "1", "key": page.get().twins[1].key, "choice": "discard"}
    response = page.post(**{**fields, **wrong})
    assert response.status_code == 409
    assert page.shown(response).error
    assert page.said() == ({}, {})


def test_the_last_file_of_a_group_is_not_discarded_and_that_is_told(page):
    page.say("green-01.jpg", "discard", level="near")
    response = page.say("small.jpg", "discard", level="near")
    assert response.status_code == 409
    assert page.shown(response).error == (
        "It is the last file of this group that is kept; keep another one first"
    )
    assert page.shown(response).position == 1


def test_while_another_process_indexes_the_page_says_so_and_nothing_is_lost(page, embedder):
    page.say(NEW[0], "discard")
    before = page.said()
    with open_gallery(page.site.config.gallery, embedder) as other, other.writing():
        for response in (page.say(NEW[1], "discard"), page.post("undo", level="exact", group="1")):
            assert response.status_code == 503
            assert int(response["Retry-After"]) > 0
            assert "Another process is writing" in page.shown(response).error
            assert "Another process is writing" in response.content.decode()
            assert [twin.choice for twin in page.shown(response).twins] == ["", "discard", ""]
    assert page.said() == before
    page.post("undo")
    assert page.said() == ({}, {})


def test_while_groups_are_found_the_page_says_so_and_comes_back(page, monkeypatch):
    import threading

    from dinoseek.web.live import grouping

    go_on, real = threading.Event(), grouping.groups_in
    monkeypatch.setattr(grouping, "groups_in", lambda *a, **o: go_on.wait(60) and real(*a, **o))
    response = page.site.client.get("/duplicates")
    assert page.shown(response).is_computing
    assert "Looking for duplicates" in response.content.decode()
    assert (response.status_code, response["Refresh"]) == (200, "2")
    go_on.set()
    assert page.get().twins
    assert "Refresh" not in page.site.client.get("/duplicates")


def test_a_gallery_that_cannot_be_read_is_told_without_where_it_lies(page, monkeypatch):
    def broken(*_args):
        raise GalleryError("gallery.corrupt", "/srv/secret", "the record is damaged", fix="restore")

    monkeypatch.setattr(page.site.service.review, "look", broken)
    response = page.site.client.get("/duplicates")
    assert response.status_code == 503
    assert page.shown(response).error == "The record is damaged; restore"
    assert "/srv/secret" not in response.content.decode()


def test_of_a_huge_group_the_undecided_files_come_first(page, monkeypatch):
    from dinoseek.web.finder import groups

    monkeypatch.setattr(groups, "MOST_TWINS", 2)
    shown = page.get()
    assert [twin.name for twin in shown.twins] == ["red-00.jpg", NEW[0]]
    assert shown.hidden == 1
    page.say(NEW[0], "discard")
    assert [twin.name for twin in page.get().twins] == ["red-00.jpg", NEW[1]]


def test_a_gallery_without_duplicates_says_so(site):
    page = Page(site(), Path())
    shown = page.get(level="exact")
    assert (shown.twins, shown.total, shown.is_decided) == ([], 0, False)
    assert "Nothing to decide here" in page.site.client.get("/duplicates").content.decode()


def test_choices_made_in_the_browser_are_those_of_the_files(page):
    page.say(NEW[0], "discard")
    with open_gallery(page.site.config.gallery) as gallery:
        (copy,) = [each for each in copies(gallery) if each.path.decode() == NEW[0]]
        assert discards(gallery) == {(copy.root, copy.path): copy.digest}
