"""Images are read before training begins, and broken ones are listed."""

import threading

import pytest
from PIL import Image

from dinoseek.errors import DataError, ImageError
from dinoseek.train.data.checked import check_images, refuse_broken
from dinoseek.train.data.records import Records


@pytest.fixture
def records(tmp_path):
    """Six pictures, of which the second is cut short, the fourth is text, the last is missing."""
    images = [f"{row}.png" for row in range(6)]
    for name in images[:5]:
        Image.effect_noise((40, 30), 50).save(tmp_path / name)
    data = (tmp_path / "1.png").read_bytes()
    (tmp_path / "1.png").write_bytes(data[: len(data) // 2])
    (tmp_path / "3.png").write_text("no picture")
    return Records(root=tmp_path, images=images, labels=list("112233"))


def test_each_image_is_reported_in_order_with_what_is_wrong(records):
    found = list(check_images(records))

    assert [row for row, _ in found] == list(range(6))
    codes = {row: error.code for row, error in found if error is not None}
    assert codes[1] == "image.truncated"
    assert codes[3] == "image.unrecognised"
    assert set(codes) == {1, 3, 5}


def test_no_thread_is_left_when_checking_stops_early(records):
    found = check_images(records)
    next(found)
    found.close()

    assert not [each for each in threading.enumerate() if "ahead" in each.name]


def test_broken_images_are_listed_with_their_reasons():
    broken = [(f"{row}.jpg", ImageError("image.empty", row, f"fault {row}")) for row in range(3)]
    error = refuse_broken(broken, 1500)

    assert isinstance(error, DataError)
    assert error.code == "train.data.broken"
    assert str(error) == (
        "3 of 1,500 images: cannot be read (0.jpg: fault 0; 1.jpg: fault 1; 2.jpg: fault 2); "
        "repair them, or take them out of the list"
    )


def test_of_many_broken_images_ten_are_listed_and_the_others_counted():
    broken = [(f"{row}.jpg", ImageError("image.empty", row, "fault")) for row in range(12)]

    assert refuse_broken(broken, 12).reason.endswith("9.jpg: fault; and 2 more)")
    assert "more" not in refuse_broken(broken[:10], 12).reason


def test_the_name_of_a_broken_image_stays_on_one_line():
    broken = [("a\nb.jpg", ImageError("image.empty", "a", "fault"))]
    assert str(refuse_broken(broken, 1)).isprintable()
