"""`dinoseek backup`."""

import shutil


def test_a_gallery_is_backed_up_destroyed_restored_and_searched_as_before(
    dinoseek, gallery, photos
):
    search = ("search", photos / "red-0.png", "--gallery", gallery, "--json")
    before = dinoseek(*search).json

    result = dinoseek("backup", gallery, "copy.dino")
    shutil.rmtree(gallery)
    shutil.copytree("copy.dino", gallery)

    assert (result.code, result.out) == (0, "copy.dino\n")
    assert dinoseek("info", gallery, "--check").code == 0
    after = dinoseek(*search).json
    assert after == before


def test_a_backup_can_itself_be_searched(dinoseek, gallery, photos):
    dinoseek("backup", gallery, "copy.dino")

    assert dinoseek("search", photos / "red-0.png", "--gallery", "copy.dino").code == 0


def test_an_existing_target_is_refused(dinoseek, gallery):
    result = dinoseek("backup", gallery, gallery)

    assert result.code == 2
    assert "is there already" in result.err


def test_without_a_gallery_nothing_is_made(dinoseek, tmp_path):
    assert dinoseek("backup", "no.dino", "copy.dino").code == 4
    assert not (tmp_path / "copy.dino").exists()
    assert not (tmp_path / "no.dino").exists()
