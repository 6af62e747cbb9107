"""`dinoseek map`: a page and Parquet, and what is refused."""

import json
import re
import sys

import pytest


def test_a_page_is_written_and_named(dinoseek, gallery, tmp_path):
    done = dinoseek("map", gallery, "--html", "map.html")

    assert (done.code, done.out, done.err) == (0, "", "wrote map.html\n")
    text = (tmp_path / "map.html").read_text("utf-8")
    assert "<title>photos</title>" in text
    data = re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1]
    assert sorted(json.loads(data)["names"])[:2] == ["blue-0.png", "blue-1.png"]


def test_a_page_says_of_how_many_images_some_are_shown(dinoseek, gallery, tmp_path):
    dinoseek("map", gallery, "--html", "map.html", "--limit", 5, "--title", "My <map>")

    text = (tmp_path / "map.html").read_text("utf-8")
    assert "<dd>4 of 12</dd>" in text
    assert "<title>My &lt;map&gt;</title>" in text


def test_parquet_has_neighbours_of_the_same_colour_first(dinoseek, gallery, tmp_path):
    pandas = pytest.importorskip("pandas")

    done = dinoseek("map", gallery, "--parquet", "map.parquet", "--neighbors", 3)

    assert done.code == 0
    frame = pandas.read_parquet(tmp_path / "map.parquet")
    assert len(frame) == 12
    for path, cell, image in zip(frame["path"], frame["neighbors"], frame["image"], strict=True):
        colour = re.search(r"(\w+)-\d\.png$", path)[1]
        assert all(colour in frame["path"][id] for id in cell["ids"])
        assert image["bytes"][:2] == b"\xff\xd8"


def test_only_what_a_condition_holds_for_is_on_the_map(dinoseek, gallery, tmp_path):
    done = dinoseek("map", gallery, "--html", "map.html", "--where", 'path like "%red%"')

    assert done.code == 0
    assert "<dd>4</dd>" in (tmp_path / "map.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), 2, "name the gallery"),
        (("photos.dino",), 2, "--html map.html"),
        (("photos.dino", "--html", "m.html", "--where", 'path like "%none%"'), 2, "no image"),
        (("none.dino", "--html", "m.html"), 4, "none.dino"),
        (("photos.dino", "--html", "m.html", "--color", "label"), 2, "no image has this metadata"),
    ],
)
def test_what_cannot_be_drawn_is_told_on_one_line(dinoseek, gallery, arguments, code, words):
    done = dinoseek("map", *arguments)

    assert (done.code, done.out) == (code, "")
    assert words in done.err
    assert done.err.count("\n") == 1


def test_umap_without_the_extra_says_what_to_install(dinoseek, gallery, monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)

    done = dinoseek("map", gallery, "--html", "map.html", "--method", "umap")

    assert (done.code, "pip install dinoseek[map]" in done.err) == (2, True)
