"""Pictures of a folder or a gallery, for an export to be tried on."""

import logging

import numpy as np
import pytest
from PIL import Image

import dinoseek
from dinoseek.errors import MachineError, UsageError
from dinoseek.export.pictures import pictures_in, shrunk, spread


@pytest.fixture
def photos(tmp_path):
    """Three reds and three blues, in folders of their own."""
    for number in range(6):
        name = ("red", "blue")[number % 2]
        (tmp_path / name).mkdir(exist_ok=True)
        pixels = np.full((30, 40, 3), 40 * number, np.uint8)
        Image.fromarray(pixels).save(tmp_path / name / f"{number}.png")
    return tmp_path


def first_values(pictures):
    return sorted(np.asarray(picture.image)[0, 0, 0].item() for picture in pictures)


def test_folders_in_a_folder_are_labels(photos):
    found = list(pictures_in(photos))

    assert sorted(picture.label for picture in found) == ["blue"] * 3 + ["red"] * 3
    assert first_values(found) == [0, 40, 80, 120, 160, 200]


def test_a_folder_without_classes_has_no_labels(photos):
    found = list(pictures_in(photos / "red"))

    assert [picture.label for picture in found] == [None] * 3


def test_a_gallery_gives_its_pictures_and_their_labels(photos, tmp_path_factory):
    path = tmp_path_factory.mktemp("gallery") / "g.dino"
    table = photos / "list.csv"
    table.write_text("path,label\nred/0.png,warm\nblue/1.png,cold\n")
    with dinoseek.open_gallery(path, dinoseek.load_embedder("color-histogram")) as gallery:
        list(dinoseek.ingest(dinoseek.from_table(table), gallery))

    found = list(pictures_in(path))

    assert sorted(picture.label for picture in found) == ["cold", "warm"]
    assert first_values(found) == [0, 40]


def test_at_most_so_many_are_taken_from_everywhere():
    assert spread(range(100), 3) == [0, 50, 99]
    assert spread(range(2), 3) == [0, 1]
    assert spread([], 3) == []


def test_an_unreadable_picture_is_left_out_with_a_warning(photos, caplog):
    (photos / "red" / "9.png").write_bytes(b"no picture")

    with caplog.at_level(logging.WARNING):
        assert len(list(pictures_in(photos / "red"))) == 3

    assert "9.png" in caplog.text


def test_a_picture_far_too_long_is_left_out(photos):
    Image.new("RGB", (1200, 10)).save(photos / "red" / "9.png")

    assert len(list(pictures_in(photos / "red"))) == 3


def test_no_picture_at_all_is_told(tmp_path):
    with pytest.raises(UsageError, match="no picture that can be read"):
        list(pictures_in(tmp_path))
    with pytest.raises(MachineError, match="no such folder"):
        list(pictures_in(tmp_path / "nowhere"))


def test_large_pictures_are_kept_small_and_what_was_given_stays():
    image = Image.new("RGB", (3000, 1500))

    assert shrunk(image).image.size == (518, 259)
    assert image.size == (3000, 1500)
