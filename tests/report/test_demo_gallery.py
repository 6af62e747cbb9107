"""The drawn gallery: the same every time, and of distinct pictures."""

import hashlib

import pytest
from PIL import Image

from dinoseek.errors import MachineError
from dinoseek.report.demo_gallery import FAMILIES, draw, draw_gallery


def digests(folder) -> dict[str, str]:
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.iterdir())
    }


def test_the_same_pictures_are_drawn_every_time(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"

    draw_gallery(first, per_family=1)
    draw_gallery(second, per_family=1)
    draw_gallery(second, per_family=1)  # over what is there

    assert digests(first) == digests(second)
    assert len(set(digests(first).values())) == len(FAMILIES)


def test_the_files_are_jpeg_pictures_named_by_family(tmp_path):
    files = draw_gallery(tmp_path, per_family=1)

    assert [file.name for file in files] == [f"{family}-01.jpg" for family in FAMILIES]
    for file in files:
        with Image.open(file) as image:
            image.load()
            assert (image.format, image.mode) == ("JPEG", "RGB")
            assert image.size in {(480, 360), (360, 480), (480, 320), (400, 400)}


@pytest.mark.parametrize("family", FAMILIES)
def test_pictures_of_one_family_differ(family):
    first, second = (draw(FAMILIES[family], seed) for seed in (0, 4))  # of one size

    assert first.size == second.size
    assert first.tobytes() != second.tobytes()


def test_a_folder_that_cannot_be_made_is_an_error_in_one_line(tmp_path):
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(MachineError) as caught:
        draw_gallery(tmp_path / "file" / "pictures")

    assert caught.value.code == "demo.unwritable"
