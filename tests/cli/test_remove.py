"""`dinoseek remove`: what it shows, what it forgets, what it leaves alone."""

import pytest


def test_nothing_is_removed_without_yes(dinoseek, gallery, photos):
    result = dinoseek("remove", gallery, photos / "red-0.png", "id:1")

    assert result.code == 0
    assert len(result.out.splitlines()) == 2
    assert "2 images would be removed: --yes does it" in result.err
    assert dinoseek("info", gallery, "--json").json["images"] == 12


def test_images_are_forgotten_and_their_files_stay(dinoseek, gallery, photos):
    file = photos / "red-0.png"
    result = dinoseek("remove", gallery, file, "--yes")

    assert (result.code, "1 image removed" in result.err) == (0, True)
    assert file.exists()
    hits = dinoseek("search", file, "--gallery", gallery, "--json", "-k", 20).json
    assert len(hits) == 11
    assert str(file) not in [hit["path"] for hit in hits]
    assert dinoseek("index", photos, "--gallery", gallery, "--json").json["stored"] == 1


def test_a_filter_says_which(dinoseek, gallery):
    result = dinoseek("remove", gallery, "--where", "path like '%green%'", "--yes")

    assert "4 images removed" in result.err
    assert dinoseek("info", gallery, "--json").json["images"] == 8


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "nothing to remove"),
        (("id:99",), "id 99"),
        (("no-such.png",), "no-such.png"),
        (("--where", "width >"), "expected"),
    ],
)
def test_what_makes_no_sense_is_said_in_a_line(dinoseek, gallery, arguments, words):
    result = dinoseek("remove", gallery, *arguments, "--yes")

    assert (result.code, words in result.err, result.err.count("\n")) == (2, True, 1)
    assert dinoseek("info", gallery, "--json").json["images"] == 12


def test_a_name_that_no_image_has_is_hinted_at(dinoseek, gallery):
    result = dinoseek("remove", gallery, "--where", "widht > 3")

    assert "did you mean `width`" in result.err
    assert "0 images would be removed" in result.err


def test_a_gallery_that_is_not_there_is_not_made(dinoseek, tmp_path):
    assert dinoseek("remove", "none.dino", "id:1").code == 4
    assert not (tmp_path / "none.dino").exists()
