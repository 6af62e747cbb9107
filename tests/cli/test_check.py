"""`dinoseek check`."""

import sqlite3
from contextlib import closing


def change(gallery, statement):
    with closing(sqlite3.connect(gallery / "gallery.sqlite")) as connection:
        connection.execute(statement)
        connection.commit()


def test_a_good_gallery_is_good(dinoseek, gallery):
    result = dinoseek("check", gallery)

    assert (result.code, result.err) == (0, "")
    assert "nothing is damaged" in result.out
    assert dinoseek("check", gallery, "--files", "--json").json == {
        "gallery": str(gallery),
        "good": True,
        "problems": [],
        "repaired": [],
        "removed": [],
    }


def test_damage_is_named_with_what_to_do(dinoseek, gallery):
    change(gallery, "UPDATE vectors SET checksum = checksum + 1 WHERE image_id = 3")

    result = dinoseek("check", gallery)

    assert result.code == 5
    assert "the vector of image 3 changed on the disk" in result.out
    assert f"restore a backup, or save what can be read: dinoseek check {gallery}" in result.out
    (problem,) = dinoseek("check", gallery, "--json").json["problems"]
    assert (problem["code"], problem["repairable"]) == ("vector.damaged", False)


def test_what_follows_from_the_rest_is_repaired_when_asked(dinoseek, gallery):
    change(gallery, "UPDATE spaces SET vectors = 3")

    assert "--repair" in dinoseek("check", gallery).out
    repaired = dinoseek("check", gallery, "--repair")
    assert (repaired.code, repaired.out.split()[0]) == (0, "repaired")
    assert dinoseek("check", gallery).code == 0


def test_a_damaged_derived_file_is_removed_without_asking(dinoseek, gallery, photos):
    dinoseek("search", photos / "red-0.png", "--gallery", gallery)
    (file,) = (gallery / "cache").iterdir()
    bent = bytearray(file.read_bytes())
    bent[-1] ^= 1
    file.write_bytes(bent)

    result = dinoseek("check", gallery)

    assert result.code == 0
    assert f"removed              {file}" in result.out
    assert not file.exists()


def test_files_are_compared_with_what_was_indexed(dinoseek, gallery, photos):
    (photos / "red-0.png").unlink()
    with (photos / "red-1.png").open("ab") as file:
        file.write(b"more")

    assert dinoseek("check", gallery).code == 0
    result = dinoseek("check", gallery, "--files")

    assert result.code == 5
    assert f"file.missing         {photos}/red-0.png is not there" in result.out
    assert f"file.changed         {photos}/red-1.png was changed" in result.out
    assert "index their folders again" in result.out


def test_what_can_be_read_is_saved(dinoseek, gallery, photos):
    change(gallery, "UPDATE vectors SET checksum = 0 WHERE image_id = 3")

    result = dinoseek("check", gallery, "--salvage", "new.dino")

    assert result.code == 0
    assert "12 images, 12 files, 11 vectors" in result.out
    assert dinoseek("check", "new.dino").code == 0
    again = dinoseek("index", photos, "--gallery", "new.dino", "--json").json
    assert (again["stored"], again["skipped"]) == (1, 11)


def test_a_gallery_that_is_not_there_is_not_made(dinoseek, tmp_path):
    assert dinoseek("check", "no.dino").code == 4
    assert not (tmp_path / "no.dino").exists()
