"""`dinoseek search`: queries of all kinds, formats of all kinds, and nothing else on stdout."""

import csv
import hashlib
import io
import json
import os
import subprocess
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from PIL import Image

from dinoseek.embedder import load_embedder
from dinoseek.gallery.base import Record
from dinoseek.gallery.factory import open_gallery


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


class TestSeveralAsOne:
    """Queries joined by + and -."""

    def test_signs_make_one_query_and_none_make_two(self, dinoseek, gallery, photos):
        red, blue = photos / "red-0.png", photos / "blue-0.png"
        ask = ("search", "--gallery", gallery, "-k", 12, "--json")

        apart = dinoseek(*ask, red, blue).json
        sum_ = dinoseek(*ask, red, "+", blue).json
        difference = dinoseek(*ask, red, "-", blue).json

        assert len(apart) == 24
        assert len(sum_) == len(difference) == 12
        assert {hit["query"] for hit in sum_} == {f"{red} + {blue}"}
        assert {name[:3] for name in names(sum_)[:8]} == {"red", "blu"}
        assert {name[:3] for name in names(difference)[-4:]} == {"blu"}

    def test_more_weight_pulls_the_hits_nearer(self, dinoseek, gallery, photos):
        red, blue = photos / "red-0.png", photos / "blue-0.png"
        ask = ("search", "--gallery", gallery, "-k", 4, "--json")

        assert {n[:3] for n in names(dinoseek(*ask, f"5:{red}", "+", blue).json)} == {"red"}
        assert {n[:3] for n in names(dinoseek(*ask, red, "+", f"2.5:{blue}").json)} == {"blu"}

    def test_ids_files_and_stdin_join(self, dinoseek, gallery, photos, monkeypatch):
        red = photos / "red-0.png"
        id = dinoseek("search", photos / "blue-0.png", "--gallery", gallery, "--json").json[0]["id"]
        ask = ("search", "--gallery", gallery, "--json")
        expected = dinoseek(*ask, red, "+", red, "-", f"id:{id}").json

        for words in (("-", "+", red, "-", f"id:{id}"), (red, "+", "-", "-", str(id))):
            monkeypatch.setattr("sys.stdin", Stdin(red.read_bytes()))
            hits = dinoseek(*ask, *words).json
            assert [hit["id"] for hit in hits] == [hit["id"] for hit in expected]

    def test_a_minus_at_either_end_is_stdin(self, dinoseek, gallery, photos, monkeypatch):
        ask = ("search", "--gallery", gallery, "-k", 1, "--json")
        for words in (("-", photos / "red-0.png"), (photos / "red-0.png", "-")):
            monkeypatch.setattr("sys.stdin", Stdin((photos / "blue-0.png").read_bytes()))
            hits = dinoseek(*ask, *words).json
            assert {hit["query"] for hit in hits} == {"-", str(photos / "red-0.png")}

    def test_the_best_of_several_is_like_any_of_them(self, dinoseek, gallery, photos):
        ask = ("search", photos / "red-0.png", "+", photos / "blue-0.png", "--gallery", gallery)

        hits = dinoseek(*ask, "--combine", "best", "-k", 2, "--json").json

        assert set(names(hits)) == {"red-0.png", "blue-0.png"}
        assert all(hit["score"] > 0.999 for hit in hits)

    def test_all_of_them_are_left_out_of_their_own_hits(self, dinoseek, gallery, photos):
        ask = ("search", photos / "red-0.png", "+", photos / "blue-0.png", "--gallery", gallery)

        hits = dinoseek(*ask, "--exclude-self", "-k", 12, "--json").json

        assert len(hits) == 10
        assert not {"red-0.png", "blue-0.png"} & set(names(hits))

    def test_a_path_that_exists_wins_over_weights_and_regions(self, dinoseek, gallery, photos):
        for name in ("2:a.png", "a.png@1,2,3,4", "+"):
            Path(name).write_bytes((photos / "green-0.png").read_bytes())
            hits = dinoseek("search", name, "--gallery", gallery, "-k", 1, "--json").json
            assert names(hits) == ["green-0.png"]

    @pytest.mark.parametrize(
        ("words", "code"),
        [
            (["+", "a.png"], "search.sign"),
            (["a.png", "+"], "search.sign"),
            (["a.png", "+", "+", "b.png"], "search.sign"),
            (["2:a.png"], "search.weight"),
            (["0:a.png", "+", "b.png"], "search.weight"),
            (["a.png", "-", "photos"], "search.folder"),
            (["-", "+", "-"], "search.stdin"),
            (["a.png", "+", "3:b.png", "--combine", "best"], "search.weight"),
            (["a.png@1,2,3"], "path.vanished"),
            (["a.png@1,2,3,4%"], "search.region"),
            (["a.png", "--region", "1,2,3"], "search.region"),
            (["a.png", "--min-score", "much"], "usage.min_score"),
            (["a.png", "--min-score", "nan"], "search.min_score"),
            (["x" * 5000], "path.unreadable"),
        ],
    )
    def test_words_that_make_no_sense_are_told(self, dinoseek, gallery, photos, words, code):
        (photos.parent / "a.png").write_bytes((photos / "red-0.png").read_bytes())
        (photos.parent / "b.png").write_bytes((photos / "red-1.png").read_bytes())

        result = dinoseek("search", *words, "--gallery", gallery, "--json")

        assert result.json["code"] == code
        assert result.code in (2, 3)
        assert len(result.err.splitlines()) == 1


class Stdin:
    """A pipe with a picture in it."""

    def __init__(self, data: bytes) -> None:
        self.buffer = io.BytesIO(data)

    def isatty(self) -> bool:
        return False


class TestRegions:
    """A part of a query."""

    @pytest.fixture
    def half(self, photos, tmp_path):
        """Half red, half blue."""
        red, blue = Image.open(photos / "red-0.png"), Image.open(photos / "blue-0.png")
        red.paste(blue.crop((30, 0, 60, 40)), (30, 0))
        red.save(tmp_path / "half.png")
        return tmp_path / "half.png"

    @pytest.mark.parametrize("region", ["30,0,30,40", "50%,0%,50%,100%"])
    def test_only_the_region_is_looked_at(self, dinoseek, gallery, half, region):
        ask = ("search", "--gallery", gallery, "-k", 4, "--json")

        for words in ((half, "--region", region), (f"{half}@{region}",)):
            assert {name[:3] for name in names(dinoseek(*ask, *words).json)} == {"blu"}

    def test_each_of_several_has_its_own_or_the_one_for_all(self, dinoseek, gallery, half):
        ask = ("search", "--gallery", gallery, "-k", 4, "--json")
        words = (f"3:{half}@30,0,30,40", "+", half, "--region", "0,0,30,40")

        assert {name[:3] for name in names(dinoseek(*ask, *words).json)} == {"blu"}

    def test_a_region_outside_is_one_line_with_the_size(self, dinoseek, gallery, half):
        result = dinoseek("search", half, "--region", "50,0,30,40", "--gallery", gallery)

        assert result.code == 2
        assert "60 x 40" in result.err
        assert len(result.err.splitlines()) == 1

    def test_the_report_shows_what_was_looked_at(self, dinoseek, gallery, half, tmp_path):
        ask = ("search", half, "--region", "30,0,30,20", "--gallery", gallery, "-k", 1)

        dinoseek(*ask, "--html", "hits.html", "--montage", "strips", "--size", 60)

        page = (tmp_path / "hits.html").read_text()
        assert 'alt="Query: half.png" width="30" height="20"' in page
        with Image.open(tmp_path / "strips/half_output.png") as strip:
            assert np.asarray(strip)[30, 30].argmax() == 2


class TestCopies:
    """Near-duplicates of hits."""

    @pytest.fixture
    def ask(self, dinoseek, photos, tmp_path):
        for number in range(3):
            with Image.open(photos / "red-0.png") as image:
                image.putpixel((number, 0), (9, 9, 9))
                image.save(photos / f"red-0-copy-{number}.png")
        path = tmp_path / "photos.dino"
        assert dinoseek("index", photos, "--gallery", path, "--model", "color-histogram").code == 0
        return ("search", photos / "red-0.png", "--gallery", path)

    def test_they_are_folded_and_counted(self, dinoseek, ask):
        hits = dinoseek(*ask, "-k", 2, "--collapse-score", 0.9995, "--json").json

        assert [hit["copies"] for hit in hits] == [3, 0]
        assert names(hits)[0].startswith("red-0")
        assert not names(hits)[1].startswith("red-0")

    def test_the_table_counts_them(self, dinoseek, ask):
        lines = dinoseek(*ask, "-k", 2, "--collapse", "--collapse-score", 0.9995).out.splitlines()

        assert len(lines) == 2
        assert [" +3 " in line for line in lines] == [True, False]

    def test_without_it_they_take_the_places_of_others(self, dinoseek, ask):
        hits = dinoseek(*ask, "-k", 4, "--json").json

        assert {hit["copies"] for hit in hits} == {0}
        assert {name[:5] for name in names(hits)} == {"red-0"}


def test_auto_needs_the_scores_of_random_pairs(dinoseek, gallery, photos):
    result = dinoseek("search", photos / "red-0.png", "--gallery", gallery, "--min-score", "auto")

    assert result.code == 2
    assert "dinoseek index" in result.err


class TestConditions:
    """Searching only some of the images."""

    @pytest.fixture
    def ask(self, photos, tmp_path):
        """The photos with captions, and their colour as metadata."""
        embedder = load_embedder("color-histogram")
        files = sorted(photos.rglob("*.png"))
        records = [
            Record(
                path=os.fsencode(file.relative_to(photos)),
                root=str(photos),
                digest=hashlib.sha256(file.read_bytes()).hexdigest(),
                width=60,
                height=40,
                bytes=file.stat().st_size,
                mtime_ns=0,
                format="PNG",
                caption=f"=a {file.stem}",
                metadata={"colour": file.name[:-6], "number": int(file.stem[-1])},
            )
            for file in files
        ]
        with open_gallery(tmp_path / "g.dino", embedder) as gallery:
            gallery.add(records, embedder.embed(files))
        return ("search", photos / "red-0.png", "--gallery", tmp_path / "g.dino", "-k", 12)

    def test_only_images_it_holds_for_are_hits_and_their_metadata_comes_back(self, dinoseek, ask):
        where = 'colour in ("blue", "green") and number >= 2'

        result = dinoseek(*ask, "--where", where, "--json")

        assert len(result.json) == 4
        assert {hit["metadata"]["colour"] for hit in result.json} == {"blue", "green"}
        assert {hit["metadata"]["number"] for hit in result.json} == {2, 3}
        assert result.err == ""

    def test_csv_and_the_long_table_have_the_metadata(self, dinoseek, ask):
        where = ("--where", 'colour = "red"')

        rows = list(csv.DictReader(io.StringIO(dinoseek(*ask, *where, "--csv").out)))
        lines = dinoseek(*ask, *where, "--long").out.splitlines()

        assert [row["colour"] for row in rows] == ["red"] * 4
        assert {row["number"] for row in rows} == {"0", "1", "2", "3"}
        assert rows[0]["caption"] == "'=a red-0"
        assert "=a red-0" in lines[0]
        assert lines[1:3] == ["     colour: red", "     number: 0"]

    def test_nothing_left_is_told_with_the_name_that_was_meant(self, dinoseek, ask):
        result = dinoseek(*ask, "--where", 'color = "red"')

        assert result.code == 0
        assert result.out == "no hits\n"
        assert "holds for 0 images" in result.err
        assert "`color`; did you mean `colour`?" in result.err

    def test_a_name_that_no_image_has_is_told_even_if_there_are_hits(self, dinoseek, ask):
        result = dinoseek(*ask, "--where", 'not color = "red"', "--json")

        assert len(result.json) == 12
        assert "did you mean `colour`?" in result.err

    def test_a_cut_off_that_leaves_nothing_is_not_blamed_on_the_condition(self, dinoseek, ask):
        result = dinoseek(*ask, "--where", 'colour = "red"', "--min-score", 2)

        assert result.out == "no hits\n"
        assert "holds for 4 images" in result.err

    def test_a_condition_that_cannot_be_read_is_one_line(self, dinoseek, ask):
        result = dinoseek(*ask, "--where", "colour =")

        assert result.code == 2
        assert len(result.err.splitlines()) == 1


@pytest.mark.enable_socket
@pytest.mark.allow_hosts(["127.0.0.1"])
class TestAddresses:
    """Pictures on the web, served here."""

    @pytest.fixture
    def address(self, photos, monkeypatch):
        monkeypatch.setenv("DINOSEEK_ALLOW_PRIVATE_HOSTS", "1")
        handler = partial(QuietHandler, directory=str(photos))
        with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            thread = Thread(target=server.serve_forever, args=(0.01,))
            thread.start()
            yield f"http://127.0.0.1:{server.server_port}"
            server.shutdown()
            thread.join()

    def test_an_address_is_fetched_and_searched_with(self, dinoseek, gallery, address):
        query = f"{address}/red-0.png"
        ask = ("search", query, "--gallery", gallery, "-k", 1, "--json")

        hits = dinoseek(*ask).json

        assert names(hits) == ["red-0.png"]
        assert hits[0]["query"] == query
        assert names(dinoseek(*ask, "--exclude-self").json) != ["red-0.png"]

    def test_it_joins_with_others_and_has_regions(self, dinoseek, gallery, address, photos):
        words = (photos / "red-0.png", "-", f"2:{address}/blue-0.png@0,0,10,10")

        result = dinoseek("search", *words, "--gallery", gallery, "-k", 4, "--json")

        assert {name[:3] for name in names(result.json)[:4]} == {"red"}

    def test_one_that_fails_stops_no_other(self, dinoseek, gallery, address, photos):
        words = (f"{address}/nothing.png", photos / "blue-0.png")

        result = dinoseek("search", *words, "--gallery", gallery, "-k", 1, "--json")

        assert result.code == 3
        assert names(result.json) == ["blue-0.png"]
        assert "404" in result.err

    def test_alone_it_is_the_error(self, dinoseek, gallery, address):
        result = dinoseek("search", f"{address}/nothing.png", "--gallery", gallery, "--json")

        assert result.code == 3
        assert result.json["code"] == "url.http_404"

    def test_more_than_is_allowed_is_refused(self, dinoseek, gallery, address):
        ask = ("search", f"{address}/red-0.png", "--gallery", gallery, "--json")

        assert dinoseek(*ask, "--max-megabytes", 0.001).json["code"] == "url.too_large"

    def test_URL_an_address_that_leads_inside_is_refused(
        self, dinoseek, gallery, address, monkeypatch
    ):
        monkeypatch.delenv("DINOSEEK_ALLOW_PRIVATE_HOSTS")

        result = dinoseek("search", f"{address}/red-0.png", "--gallery", gallery, "--json")

        assert result.code == 3
        assert result.json["code"] in ("url.blocked_address", "url.port")

    def test_its_picture_is_in_the_report(self, dinoseek, gallery, address, tmp_path):
        dinoseek("search", f"{address}/red-0.png", "--gallery", gallery, "--html", "hits.html")

        assert 'alt="Query: red-0.png"' in (tmp_path / "hits.html").read_text()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.mark.parametrize(
    "way", ["alpha-qe", "dba:neighbors=1", "k-reciprocal:k1=3,k2=2", "superglobal"]
)
def test_hits_can_be_re_ranked_and_say_by_what(dinoseek, gallery, photos, way):
    ask = ("search", photos / "red-0.png", "--gallery", gallery, "-k", 12)
    plain = dinoseek(*ask, "--json").json

    hits = dinoseek(*ask, "--rerank", way, "--json").json
    rows = list(csv.DictReader(io.StringIO(dinoseek(*ask, "--rerank", way, "--csv").out)))

    assert sorted(hit["id"] for hit in hits) == sorted(hit["id"] for hit in plain)
    assert [hit["reranked"] for hit in hits] == sorted((h["reranked"] for h in hits), reverse=True)
    assert [float(row["reranked"]) for row in rows] == [hit["reranked"] for hit in hits]
    first = dinoseek(*ask, "--rerank", way).out.splitlines()[0].split()
    assert float(first[2]) == pytest.approx(hits[0]["reranked"], abs=1e-4)


def test_hits_behind_the_shortlist_have_an_empty_cell(dinoseek, gallery, photos):
    ask = ("search", photos / "red-0.png", "--gallery", gallery, "-k", 6, "--csv")

    rows = list(
        csv.DictReader(io.StringIO(dinoseek(*ask, "--rerank", "superglobal:shortlist=4").out))
    )

    assert [row["reranked"] == "" for row in rows] == [False] * 4 + [True] * 2


@pytest.mark.parametrize(
    ("way", "words"), [("magic", "use one of alpha-qe"), ("local", "has no patches")]
)
def test_a_re_ranking_that_cannot_be_is_refused(dinoseek, gallery, photos, way, words):
    done = dinoseek("search", photos / "red-0.png", "--gallery", gallery, "--rerank", way)

    assert (done.code, done.out) == (2, "")
    assert words in done.err
    assert done.err.count("\n") == 1
