"""`dinoseek search`: queries of all kinds, formats of all kinds, and nothing else on stdout."""

import csv
import io
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image


def names(hits):
    return [os.path.basename(hit["path"]) for hit in hits]  # noqa: PTH119


def test_a_picture_finds_itself_and_its_colour_first(dinoseek, gallery, photos):
    hits = dinoseek("search", photos / "red-0.png", "--gallery", gallery, "-k", 4, "--json").json

    assert names(hits)[0] == "red-0.png"
    assert all(name.startswith("red") for name in names(hits))
    assert [hit["rank"] for hit in hits] == [1, 2, 3, 4]
    assert hits[0]["score"] == pytest.approx(1, abs=1e-3)
    assert list(hits[0])[:6] == ["query", "rank", "id", "path", "score", "caption"]
    assert set(hits[0]) - set(list(hits[0])[:6]) == {"percentile", "url", "copies", "metadata"}
    assert hits[0]["query"] == str(photos / "red-0.png")


def test_every_format_says_the_same(dinoseek, gallery, photos):
    ask = ("search", photos / "blue-1.png", "--gallery", gallery, "-k", 3)
    expected = dinoseek(*ask, "--json").json

    lines = [json.loads(line) for line in dinoseek(*ask, "--jsonl").out.splitlines()]
    rows = list(csv.DictReader(io.StringIO(dinoseek(*ask, "--csv").out)))
    paths = dinoseek(*ask, "--paths").out.splitlines()
    zero = dinoseek(*ask, "-0").out.rstrip("\0").split("\0")
    table = dinoseek(*ask).out.splitlines()

    assert lines == expected
    assert [int(row["id"]) for row in rows] == [hit["id"] for hit in expected]
    assert paths == zero == [hit["path"] for hit in expected]
    assert [line.split()[2] for line in table] == paths


def test_two_formats_at_once_are_refused(dinoseek, gallery, photos):
    ask = ("search", photos / "blue-1.png", "--gallery", gallery)

    assert dinoseek(*ask, "--json", "--csv").code == 2
    assert dinoseek(*ask, "--paths", "-0").code == 0


def test_a_folder_asks_with_each_picture_in_it(dinoseek, gallery, photos):
    hits = dinoseek("search", photos / "sub", "--gallery", gallery, "-k", 1, "--json").json

    assert len(hits) == 6
    assert all(hit["path"] == hit["query"] for hit in hits)


def test_an_id_and_a_number_ask_with_an_image_of_the_gallery(dinoseek, gallery, photos):
    first = dinoseek("search", photos / "red-0.png", "--gallery", gallery, "--json").json[0]

    for word in (f"id:{first['id']}", str(first["id"])):
        hits = dinoseek("search", word, "--gallery", gallery, "-k", 1, "--json").json
        assert hits[0]["id"] == first["id"]


def test_a_file_named_like_a_number_wins_over_the_id(dinoseek, gallery, photos, tmp_path):
    (tmp_path / "3").write_bytes((photos / "green-0.png").read_bytes())

    hits = dinoseek("search", "3", "--gallery", gallery, "-k", 1, "--json").json

    assert names(hits) == ["green-0.png"]


def test_a_picture_comes_through_stdin(gallery, photos, tmp_path):
    command = [sys.executable, "-m", "dinoseek", "search", "-", "--gallery", str(gallery), "--json"]

    run = subprocess.run(
        command, input=(photos / "blue-0.png").read_bytes(), capture_output=True, check=True
    )

    hits = json.loads(run.stdout)
    assert names(hits)[0] == "blue-0.png"
    assert hits[0]["query"] == "-"
    assert run.stderr == b""


def test_the_query_itself_can_be_left_out(dinoseek, gallery, photos):
    ask = ("search", photos / "red-0.png", "--gallery", gallery, "-k", 3, "--json")

    hits = dinoseek(*ask, "--exclude-self").json

    assert "red-0.png" not in names(hits)
    assert [hit["rank"] for hit in hits] == [1, 2, 3]


def test_a_cut_off_leaves_weak_hits_out(dinoseek, gallery, photos):
    ask = ("search", photos / "red-0.png", "--gallery", gallery, "-k", 12, "--json")
    every = dinoseek(*ask).json
    cut = (every[3]["score"] + every[4]["score"]) / 2

    assert dinoseek(*ask, "--min-score", cut).json == every[:4]
    assert dinoseek(*ask[:-1], "--min-score", 2).out == "no hits\n"


def test_l2_shows_the_distance_of_unit_vectors(dinoseek, gallery, photos):
    ask = ("search", photos / "red-0.png", "--gallery", gallery, "-k", 5, "--json")

    near, by_cosine = dinoseek(*ask, "--l2").json, dinoseek(*ask).json

    assert [hit["id"] for hit in near] == [hit["id"] for hit in by_cosine]
    for hit in near:
        assert hit["distance"] == pytest.approx(np.sqrt(max(0, 2 - 2 * hit["score"])), abs=2e-3)


def test_one_bad_query_does_not_stop_the_others(dinoseek, gallery, photos):
    ask = ("search", "nothing.jpg", photos / "red-0.png", "--gallery", gallery, "-k", 1, "--paths")

    result = dinoseek(*ask)

    assert result.code == 3
    assert result.out.splitlines() == [str(photos / "red-0.png")]
    assert "nothing.jpg" in result.err


def test_the_only_gallery_of_the_folder_is_searched(dinoseek, gallery, photos):
    assert dinoseek("search", photos / "red-0.png").code == 0


def test_without_a_gallery_the_way_out_is_named(dinoseek, photos):
    result = dinoseek("search", photos / "red-0.png")

    assert result.code == 2
    assert "--gallery photos.dino, or -d FOLDER" in result.err


def test_another_model_is_told_which_made_the_gallery(dinoseek, gallery, photos):
    ask = ("search", photos / "red-0.png", "--gallery", gallery, "--model", "color-histogram")

    result = dinoseek(*ask, "--preprocess", "official")

    assert result.code == 5
    assert "color-histogram, squash" in result.err
    assert "color-histogram, official" in result.err


class TestFolderWithoutIndex:
    """`-q QUERY -d FOLDER`: the whole use in one command."""

    MODEL = ("--model", "color-histogram")

    def test_it_finds_and_keeps_what_it_learnt(self, dinoseek, photos, tmp_path):
        ask = ("search", "-q", photos / "red-0.png", "-d", photos, "-n", 2, *self.MODEL, "--json")

        first = dinoseek(*ask)
        kept = list((tmp_path / "cache/galleries").iterdir())

        assert names(first.json)[0] == "red-0.png"
        assert len(kept) == 1
        assert dinoseek("info", kept[0], "--json").json["images"] == 12

    def test_new_files_are_found_at_once(self, dinoseek, photos):
        ask = ("search", "-d", photos, *self.MODEL, "-n", 1, "--json", "-q")
        dinoseek(*ask, photos / "red-0.png")
        Image.new("RGB", (50, 50), "yellow").save(photos / "yellow.png")

        hits = dinoseek(*ask, photos / "yellow.png").json

        assert names(hits) == ["yellow.png"]

    def test_folders_of_one_name_never_meet(self, dinoseek, photos, tmp_path):
        other = tmp_path / "other/photos"
        other.mkdir(parents=True)
        Image.new("RGB", (50, 50), "yellow").save(other / "only.png")
        ask = ("search", *self.MODEL, "-n", 20, "--json", "-q", photos / "red-0.png", "-d")

        assert len(dinoseek(*ask, photos).json) == 12
        assert names(dinoseek(*ask, other).json) == ["only.png"]

    def test_a_single_image_can_be_the_database(self, dinoseek, photos):
        ask = ("search", "-q", photos / "red-0.png", *self.MODEL, "--json", "-d")

        assert names(dinoseek(*ask, photos / "blue-0.png").json) == ["blue-0.png"]

    def test_without_cache_nothing_is_kept(self, dinoseek, photos, tmp_path):
        ask = ("search", "-q", photos / "red-0.png", "-d", photos, *self.MODEL, "--json")

        result = dinoseek(*ask, "--disable-cache")

        assert len(result.json) == 10
        assert not list((tmp_path / "cache").rglob("*.sqlite"))

    def test_a_broken_picture_is_told_and_skipped(self, dinoseek, photos):
        (photos / "broken.jpg").write_bytes(b"no picture")

        result = dinoseek(
            "search", "-q", photos / "red-0.png", "-d", photos, *self.MODEL, "-n", 1, "--json"
        )

        assert result.code == 0
        assert "broken.jpg" in result.err

    def test_strips_are_written_where_the_old_tool_wrote_them(self, dinoseek, photos, tmp_path):
        ask = ("search", "-q", photos / "sub", "-d", photos, *self.MODEL, "-n", 5)

        dinoseek(*ask, "-o", "output", "--size", 64, "-m", 5)

        strips = sorted((tmp_path / "output/photos/color-histogram").iterdir())
        assert [strip.name for strip in strips][:2] == ["blue-2_output.png", "blue-3_output.png"]
        with Image.open(strips[0]) as strip:
            assert strip.size == (64 * 6 + 5 * 5, 64)


def test_reports_are_written_and_named_on_stderr(dinoseek, gallery, photos, tmp_path):
    ask = ("search", photos / "red-0.png", "id:1", "--gallery", gallery, "-k", 3, "--jsonl")

    result = dinoseek(*ask, "--html", "hits.html", "--montage", "strips", "--labels")

    page = (tmp_path / "hits.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 8
    assert len(list((tmp_path / "strips").iterdir())) == 2
    assert "wrote hits.html" in result.err
    assert len(result.out.splitlines()) == 6
