"""`dinoseek dupes`: what it shows, does and remembers, and how it ends."""

import json
import os

import numpy as np
import pytest
from PIL import Image, ImageOps

from dinoseek.cli import dupes_output
from dinoseek.gallery.choices import discard, keep
from dinoseek.gallery.factory import open_gallery
from dinoseek.gallery.holdings import copies


def scene(number):
    """Soft spots of colour with sharp squares on them."""
    rng = np.random.default_rng(number)
    spots = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8))
    pixels = np.array(spots.resize((320, 240), Image.Resampling.BICUBIC))
    for left in range(20, 300, 60):
        top = rng.integers(0, 200)
        pixels[top : top + 40, left : left + 40] = rng.integers(0, 256, 3)
    return Image.fromarray(pixels)


@pytest.fixture
def album(tmp_path):
    """a.png, an equal file, a smaller one; a mirrored picture; another one."""
    folder = tmp_path / "album"
    (folder / "sub").mkdir(parents=True)
    for name, picture in {
        "a.png": scene(1),
        "sub/small.jpg": scene(1).resize((160, 120)),
        "sub/mirrored.png": ImageOps.mirror(scene(1)).resize((280, 210)),
        "other.png": scene(2),
    }.items():
        picture.save(folder / name)
    (folder / "sub/copy.png").write_bytes((folder / "a.png").read_bytes())
    for file in folder.rglob("*.*"):
        os.utime(file, ns=(10**18, 10**18))
    return folder


@pytest.fixture
def gallery(dinoseek, album, tmp_path):
    path = tmp_path / "album.dino"
    assert dinoseek("index", album, "--gallery", path, "--model", "color-histogram").code == 0
    return path


def told(result):
    """The groups of --json: level, and the names of the images."""
    assert result.code in (0, 3, 10), result.err
    return [
        (group["level"], [os.path.basename(image["path"]) for image in group["images"]])  # noqa: PTH119
        for group in result.json["groups"]
    ]


TRIO = ("near", ["a.png", "copy.png", "small.jpg"])


def test_json_says_everything_and_nothing_else_is_on_stdout(dinoseek, gallery, album):
    result = dinoseek("dupes", gallery, "--json")

    assert told(result) == [TRIO]
    assert result.json["level"] == "near"
    assert result.json["spare_files"] == 2
    size = (album / "a.png").stat().st_size + (album / "sub/small.jpg").stat().st_size
    assert result.json["spare_bytes"] == size
    assert result.json["left_out"] == {}
    assert result.json["actions"] == []
    kept, copy, small = result.json["groups"][0]["images"]
    assert kept["keep"] is True
    assert kept["evidence"] is None
    assert kept["why"] == "its path comes first"
    assert set(kept) == {
        *("id", "path", "width", "height", "bytes", "format", "keep", "why", "evidence", "decided")
    }
    assert copy["id"] == kept["id"]
    assert copy["evidence"]["level"] == "exact"
    assert small["keep"] is False
    assert (small["width"], small["height"], small["format"]) == (160, 120, "JPEG")
    assert small["why"] == "320 x 240 rather than 160 x 120"
    assert small["evidence"]["level"] == "near"
    assert small["evidence"]["distance"] <= 20
    assert 0.75 < small["evidence"]["score"] <= 1


def test_levels_contain_each_other(dinoseek, gallery):
    ask = ("dupes", gallery, "--json", "--level")

    assert told(dinoseek(*ask, "exact")) == [("exact", ["a.png", "copy.png"])]
    assert told(dinoseek(*ask, "near")) == [TRIO]
    names = ["a.png", "copy.png", "small.jpg", "mirrored.png"]
    assert told(dinoseek(*ask, "similar", "--min-score", 0.97)) == [("similar", names)]


def test_people_get_a_table_and_the_account_on_stderr(dinoseek, gallery, album):
    result = dinoseek("dupes", gallery)

    lines = result.out.splitlines()
    assert lines[0].startswith("near: 3 images, ")
    assert lines[1].split()[:2] == ["keep", str(album / "a.png")]
    assert lines[2].endswith("same bytes")
    assert "of 256 bits differ, cosine 0.99" in lines[3]
    assert "1 group (1 near): 2 files can go" in result.err
    assert "nothing was changed" in result.err


def test_a_terminal_gets_the_same_words(dinoseek, gallery, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(dupes_output, "_write_plain", dupes_output._write_rich)

    result = dinoseek("dupes", gallery)

    assert "near: 3 images" in result.out
    assert "its path comes first" in result.out
    assert "same bytes" in result.out


def test_a_gallery_without_duplicates_says_so(dinoseek, gallery, album):
    (album / "sub/copy.png").unlink()
    (album / "sub/small.jpg").unlink()

    result = dinoseek("dupes", gallery, "--exit-code")

    assert result.out == "no duplicates\n"
    assert "left out: 2 files are not there any more" in result.err
    assert result.code == 0


def test_the_exit_code_says_if_there_are_any_where_that_is_asked(dinoseek, gallery):
    assert dinoseek("dupes", gallery).code == 0
    assert dinoseek("dupes", gallery, "--exit-code").code == 10
    assert dinoseek("dupes", gallery, "--exit-code", "--json").json["groups"]


def test_a_dry_run_shows_where_files_would_go(dinoseek, gallery, album, tmp_path):
    result = dinoseek("dupes", gallery, "--move-to", tmp_path / "spare", "-n")

    assert f"would be moved to {tmp_path}/spare/sub/copy.png" in result.out
    assert "nothing was changed: without -n it is done" in result.err
    assert (album / "sub/copy.png").exists()


def test_move_to_moves_and_the_gallery_knows(dinoseek, gallery, album, tmp_path):
    result = dinoseek("dupes", gallery, "--move-to", tmp_path / "spare", "--json")

    assert result.code == 0
    assert [each["status"] for each in result.json["actions"]] == ["done", "done"]
    assert result.json["actions"][0]["target"] == str(tmp_path / "spare/sub/copy.png")
    assert (tmp_path / "spare/sub/small.jpg").exists()
    assert "moved 2" in result.err
    assert told(dinoseek("dupes", gallery, "--json")) == []
    again = dinoseek("index", album, "--gallery", gallery, "--json")
    assert (again.json["skipped"], again.json["stored"], again.json["removed"]) == (3, 0, 0)


def test_nothing_is_deleted_without_yes(dinoseek, gallery, album):
    shown = dinoseek("dupes", gallery, "--delete")
    assert "would be deleted" in shown.out
    assert "with --yes too they are deleted" in shown.err
    assert (album / "sub/copy.png").exists()

    assert dinoseek("dupes", gallery, "--delete", "--yes", "-n").code == 0
    assert (album / "sub/copy.png").exists()

    assert "deleted 2" in dinoseek("dupes", gallery, "--delete", "--yes").err
    assert not (album / "sub/copy.png").exists()
    assert (album / "a.png").exists()


def test_hardlink_is_for_equal_files(dinoseek, gallery, album):
    result = dinoseek("dupes", gallery, "--hardlink", "--json")

    assert result.json["level"] == "exact"
    assert (album / "a.png").samefile(album / "sub/copy.png")
    assert (album / "sub/small.jpg").exists()
    assert dinoseek("dupes", gallery, "--hardlink", "--exit-code").code == 0
    refused = dinoseek("dupes", gallery, "--hardlink", "--level", "near")
    assert refused.code == 2
    assert "--level exact" in refused.err


def test_a_file_that_cannot_go_is_listed_and_ends_with_3(dinoseek, gallery, album, monkeypatch):
    from dinoseek.duplicates import disk
    from dinoseek.errors import MachineError

    real = disk.delete

    def refuse(file, status):
        if file.name == "copy.png":
            raise MachineError("path.refused", file, "permission denied")
        real(file, status)

    monkeypatch.setattr(disk, "delete", refuse)

    result = dinoseek("dupes", gallery, "--delete", "--yes", "--exit-code")

    assert result.code == 3
    assert f"skipped {album}/sub/copy.png: permission denied" in result.err
    assert "skipped: permission denied" in result.out
    assert "deleted 1" in result.err


def test_decisions_are_remembered_shown_and_forgotten(dinoseek, gallery, album):
    small = album / "sub/small.jpg"

    said = dinoseek("dupes", gallery, "--not-duplicate", album / "a.png", small)
    assert (said.code, said.out) == (0, "")
    assert told(dinoseek("dupes", gallery, "--json")) == [("exact", ["a.png", "copy.png"])]
    assert dinoseek("dupes", gallery, "--keep-both", "id:1", album / "sub/copy.png").code == 0
    assert dinoseek("dupes", gallery, "--exit-code").code == 0

    every = dinoseek("dupes", gallery, "--all", "--json")
    assert told(every) == [TRIO]
    images = every.json["groups"][0]["images"]
    assert [image["decided"] for image in images] == [None, "keep-both", "not-duplicate"]
    assert "you said: not-duplicate" in dinoseek("dupes", gallery, "--all").out

    assert (
        "forgot 2 decisions about pairs, 0 about files"
        in dinoseek("dupes", gallery, "--forget-decisions").err
    )
    assert told(dinoseek("dupes", gallery, "--json")) == [TRIO]


# what was discarded on the web page


@pytest.fixture
def say(gallery):
    """Says of files, by their names in the album, what the web page would."""

    def choose(**said):
        """`said` maps a file to the one that is kept instead, or to itself, if it is kept."""
        with open_gallery(gallery) as opened:
            there = {copy.path.decode(): copy for copy in copies(opened)}
            for name, instead in said.items():
                file = there[NAMES[name]]
                if name == instead:
                    keep(opened, file)
                else:
                    discard(opened, file, there[NAMES[instead]].digest)

    return choose


NAMES = {
    "a": "a.png",
    "copy": "sub/copy.png",
    "small": "sub/small.jpg",
    "mirrored": "sub/mirrored.png",
    "other": "other.png",
}


def test_nothing_is_discarded_at_first(dinoseek, gallery):
    result = dinoseek("dupes", gallery, "--discarded", "--exit-code")
    assert (result.code, result.out) == (0, "nothing is discarded\n")
    assert result.err == "0 groups\n"


def test_exactly_the_discarded_files_are_listed_beside_what_is_kept(dinoseek, gallery, say, album):
    say(copy="a", mirrored="a")
    result = dinoseek("dupes", gallery, "--discarded", "--json", "--exit-code")

    assert result.code == 10
    assert told(result) == [("similar", ["a.png", "copy.png", "mirrored.png"])]
    assert result.json["spare_files"] == 2
    kept, copy, mirrored = result.json["groups"][0]["images"]
    assert (kept["keep"], kept["decided"]) == (True, None)
    assert (copy["decided"], copy["evidence"]["level"]) == ("discard", "exact")
    assert (mirrored["decided"], mirrored["evidence"]["level"]) == ("discard", "similar")
    assert mirrored["evidence"]["distance"] > 20

    lines = dinoseek("dupes", gallery, "--discarded").out.splitlines()
    assert lines[1].split()[:2] == ["keep", str(album / "a.png")]
    assert lines[2].endswith("same bytes; you said: discard")


def test_evidence_is_the_same_as_where_duplicates_are_searched_for(dinoseek, gallery, say):
    (group,) = dinoseek("dupes", gallery, "--json").json["groups"]
    expected = [image["evidence"] for image in group["images"]]
    say(copy="a", small="a")
    (group,) = dinoseek("dupes", gallery, "--discarded", "--json").json["groups"]
    assert group["level"] == "near"
    assert [image["evidence"] for image in group["images"]] == expected


def test_only_what_is_discarded_is_moved(dinoseek, gallery, say, album, tmp_path):
    say(small="a")
    planned = dinoseek("dupes", gallery, "--discarded", "--move-to", tmp_path / "spare", "-n")
    assert f"would be moved to {tmp_path}/spare/sub/small.jpg" in planned.out
    assert (album / "sub/small.jpg").exists()

    done = dinoseek("dupes", gallery, "--discarded", "--move-to", tmp_path / "spare")

    assert done.code == 0
    assert "moved 1" in done.err
    assert (tmp_path / "spare/sub/small.jpg").exists()
    assert (album / "sub/copy.png").exists(), "though it is a duplicate"
    assert dinoseek("dupes", gallery, "--discarded").out == "nothing is discarded\n"
    assert told(dinoseek("dupes", gallery, "--json")) == [("exact", ["a.png", "copy.png"])]


def test_what_was_discarded_is_deleted_with_yes_at_any_level(dinoseek, gallery, say, album):
    say(mirrored="a")
    assert "would be deleted" in dinoseek("dupes", gallery, "--discarded", "--delete").out
    assert (album / "sub/mirrored.png").exists()
    assert "deleted 1" in dinoseek("dupes", gallery, "--discarded", "--delete", "--yes").err
    assert not (album / "sub/mirrored.png").exists()


def test_hardlink_takes_the_equal_ones_of_what_was_discarded(dinoseek, gallery, say, album):
    say(copy="a", small="a")
    result = dinoseek("dupes", gallery, "--discarded", "--hardlink", "--json")

    assert told(result) == [("exact", ["a.png", "copy.png"])]
    assert (album / "a.png").samefile(album / "sub/copy.png")
    left = dinoseek("dupes", gallery, "--discarded", "--json")
    assert told(left) == [("near", ["a.png", "small.jpg"])]


@pytest.mark.parametrize("way", [("--move-to", "spare"), ("--delete", "--yes")])
def test_a_discarded_file_stays_if_no_other_is_kept(dinoseek, gallery, say, album, way):
    say(copy="a", a="copy", small="other", mirrored="small")
    (album / "other.png").unlink()
    before = sorted(album.rglob("*"))

    listed = dinoseek("dupes", gallery, "--discarded", "--json")
    assert listed.json["groups"] == []
    why = {os.path.basename(each["path"]): each["why"] for each in listed.json["stuck"]}  # noqa: PTH119
    assert why == {
        "a.png": "the image to keep is discarded too, so it stays",
        "copy.png": "the image to keep is discarded too, so it stays",
        "small.jpg": "the image to keep is not there as it was indexed, so it stays",
        "mirrored.png": "the image to keep is discarded too, so it stays",
    }

    result = dinoseek("dupes", gallery, "--discarded", *way)

    assert result.code == 3
    assert f"skipped {album}/a.png: the image to keep is discarded too, so it stays" in result.err
    assert "discarded: 4 images, nothing can go" in result.out
    assert sorted(album.rglob("*")) == before


def test_a_discarded_file_is_checked_right_before_and_so_is_what_is_kept(
    dinoseek, gallery, say, album, monkeypatch
):
    say(copy="a", small="other")
    from dinoseek.duplicates import disk

    real = disk.verified
    seen = []

    def watch(file, digest):
        seen.append(file.name)
        return real(file, digest)

    monkeypatch.setattr(disk, "verified", watch)
    status = (album / "other.png").stat()
    data = (album / "other.png").read_bytes()
    (album / "other.png").write_bytes(data[:-1] + b"x")  # same size, same time
    os.utime(album / "other.png", ns=(status.st_mtime_ns, status.st_mtime_ns))

    result = dinoseek("dupes", gallery, "--discarded", "--delete", "--yes", "--json")

    assert result.code == 3
    became = {os.path.basename(each["path"]): each["code"] for each in result.json["actions"]}  # noqa: PTH119
    assert became == {"copy.png": None, "small.jpg": "path.changed"}
    assert {"copy.png", "a.png", "small.jpg", "other.png"} == set(seen)
    assert (album / "sub/small.jpg").exists()


def test_a_discarded_file_that_changed_is_no_longer_discarded(dinoseek, gallery, say, album):
    say(small="a")
    scene(7).save(album / "sub/small.jpg")
    result = dinoseek("dupes", gallery, "--discarded")
    assert result.out == "nothing is discarded\n"
    assert "left out: 1 file is changed since they were indexed" in result.err
    assert dinoseek("index", album, "--gallery", gallery).code == 0
    assert "left out" not in dinoseek("dupes", gallery, "--discarded").err


def test_discarded_files_survive_indexing_again(dinoseek, gallery, say, album):
    say(small="a")
    assert dinoseek("index", album, "--gallery", gallery, "--verify-files").code == 0
    assert told(dinoseek("dupes", gallery, "--discarded", "--json")) == [
        ("near", ["a.png", "small.jpg"])
    ]


def test_what_was_said_of_files_counts_where_duplicates_are_searched_for(
    dinoseek, gallery, say, album
):
    say(copy="copy")
    assert told(dinoseek("dupes", gallery, "--json")) == [("near", ["a.png", "small.jpg"])]
    every = dinoseek("dupes", gallery, "--all", "--json")
    assert told(every) == [TRIO]
    assert [image["decided"] for image in every.json["groups"][0]["images"]] == [None, "keep", None]

    say(a="copy")
    result = dinoseek("dupes", gallery, "--json")
    assert told(result) == [("near", ["copy.png", "a.png", "small.jpg"])]
    _, spare, small = result.json["groups"][0]["images"]
    assert (spare["decided"], spare["why"]) == ("discard", "you discarded the other")
    assert small["decided"] is None

    forgot = dinoseek("dupes", gallery, "--forget-decisions")
    assert "forgot 0 decisions about pairs, 2 about files" in forgot.err
    assert told(dinoseek("dupes", gallery, "--json")) == [TRIO]
    assert dinoseek("dupes", gallery, "--discarded").out == "nothing is discarded\n"


def test_folders_say_what_is_kept(dinoseek, gallery, album):
    kept = dinoseek("dupes", gallery, "--level", "exact", "--prefer", album / "sub", "--json")
    assert told(kept) == [("exact", ["copy.png", "a.png"])]
    both = dinoseek("dupes", gallery, "--reference", album, "--json")
    assert both.json["spare_files"] == 0
    assert "nothing can go" in dinoseek("dupes", gallery, "--reference", album).out


def test_a_page_is_written(dinoseek, gallery, tmp_path):
    result = dinoseek("dupes", gallery, "--html", tmp_path / "dupes.html")

    assert f"wrote {tmp_path / 'dupes.html'}" in result.err
    assert "small.jpg" in (tmp_path / "dupes.html").read_text("utf-8")


def test_of_several_models_one_is_chosen_without_its_weights(dinoseek, gallery, album):
    more = ("--model", "color-histogram", "--preprocess", "squash@14")
    assert dinoseek("index", album, "--gallery", gallery, *more).code == 0
    with open_gallery(gallery) as opened:
        ids = [space["id"] for space in opened.info()["spaces"]]

    assert dinoseek("dupes", gallery).code == 2
    assert dinoseek("dupes", gallery, "--level", "exact").code == 0
    for id in ids:
        assert told(dinoseek("dupes", gallery, "--model", id, "--json")) == [TRIO]
    assert "several models" in dinoseek("dupes", gallery, "--model", "color-histogram").err
    assert "made no vectors here" in dinoseek("dupes", gallery, "--model", "nothing").err


@pytest.mark.parametrize(
    "wrong",
    [
        (),
        ("nowhere.dino",),
        ("GALLERY", "--level", "fuzzy"),
        ("GALLERY", "--min-score", "0.9"),
        ("GALLERY", "--level", "similar", "--min-score", "2"),
        ("GALLERY", "--hardlink", "--delete"),
        ("GALLERY", "--all", "--delete", "--yes"),
        ("GALLERY", "--level", "similar", "--min-score", "-1", "--delete", "--yes"),
        ("GALLERY", "--prefer", "typo"),
        ("GALLERY", "--discarded", "--all"),
        ("GALLERY", "--discarded", "--level", "similar", "--min-score", "0.9"),
        ("GALLERY", "--keep-both", "id:1", "id:99"),
        ("GALLERY", "--not-duplicate", "id:1", "nothing.jpg"),
        ("GALLERY", "--move-to", "album/spare"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(wrong, dinoseek, gallery, album):
    words = [gallery if word == "GALLERY" else word for word in wrong]
    before = sorted(album.rglob("*"))

    result = dinoseek("dupes", *words)

    assert result.code in (2, 4)
    assert len(result.err.splitlines()) == 1
    assert result.out == ""
    assert sorted(album.rglob("*")) == before
    assert json.loads(dinoseek("dupes", *words, "--json").out)["error"]
