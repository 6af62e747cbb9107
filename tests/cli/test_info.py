"""`dinoseek info`."""

import sqlite3


def test_it_shows_images_folders_and_spaces(dinoseek, gallery, photos):
    out = dinoseek("info", gallery).out

    assert "12 images in 12 files" in out
    assert str(photos) in out
    assert "color-histogram, squash: 12 vectors of" in out


def test_json_has_images_failures_and_spaces(dinoseek, gallery):
    facts = dinoseek("info", gallery, "--json").json

    assert facts["images"] == 12
    assert facts["failures"] == []
    assert facts["spaces"][0]["model"] == "color-histogram"


def test_two_models_live_in_one_gallery(dinoseek, gallery, photos):
    model = ("--model", "color-histogram", "--preprocess", "official")

    dinoseek("index", photos, "--gallery", gallery, *model)

    spaces = dinoseek("info", gallery, "--json").json["spaces"]
    assert [(space["preprocess"], space["vectors"]) for space in spaces] == [
        ("squash", 12),
        ("official", 12),
    ]
    several = dinoseek("search", photos / "red-0.png", "--gallery", gallery)
    assert several.code == 5
    assert "choose one with --model" in several.err
    chosen = ("search", photos / "red-0.png", "--gallery", gallery, "--preprocess", "official")
    assert dinoseek(*chosen).code == 0


def test_check_names_what_is_damaged(dinoseek, gallery):
    assert "nothing is damaged" in dinoseek("info", gallery, "--check").out
    connection = sqlite3.connect(gallery / "gallery.sqlite")
    connection.execute("DROP TRIGGER vectors_UPDATE")
    connection.execute("UPDATE vectors SET vector = zeroblob(length(vector)) WHERE image_id = 3")
    connection.commit()
    connection.close()

    result = dinoseek("info", gallery, "--check")

    assert result.code == 5
    assert "check" in result.out


def test_a_missing_gallery_says_how_to_make_one(dinoseek):
    result = dinoseek("info", "no.dino")

    assert result.code == 4
    assert "dinoseek index FOLDER --gallery no.dino" in result.err


def test_without_a_gallery_it_shows_the_installation(dinoseek):
    facts = dinoseek("info", "--json").json

    assert "numpy" in facts["engines"]
    assert "color-histogram" in facts["models"]
