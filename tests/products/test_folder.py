"""A folder of products: the layout that `evaluate sop` reads, the same each time, never mixed."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dinoseek.errors import MachineError, UsageError
from dinoseek.evaluation.products import load_products
from dinoseek.products.folder import HEADER, photograph, shots, write_products
from dinoseek.products.order import Order

ORDER = Order(classes=24, size=16)

pytestmark = pytest.mark.usefixtures("strict_numpy")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("drawn") / "products"
    files = list(write_products(folder, ORDER))
    assert len(files) == len(shots(ORDER))
    return folder


def rows(folder: Path, name: str) -> list[list[str]]:
    header, *lines = (folder / name).read_text().splitlines()
    assert header == HEADER
    return [line.split() for line in lines]


def digests(folder: Path) -> dict[str, str]:
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    return {
        file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
    }


def test_the_test_half_is_read_as_the_benchmark_is(drawn):
    dataset = load_products("sop", drawn, official=False)

    assert len(set(dataset.labels)) == 12
    for image in dataset.images:
        with Image.open(dataset.root / image) as shown:
            assert (shown.format, shown.mode, shown.size) == ("JPEG", "RGB", (16, 16))


def test_train_and_test_have_no_class_in_common_and_all_of_them_together(drawn):
    train, test, info = (rows(drawn, f"Ebay_{name}.txt") for name in ("train", "test", "info"))

    assert train + test == info
    assert [row[0] for row in info] == [str(n) for n in range(1, len(info) + 1)]
    assert not {row[1] for row in train} & {row[1] for row in test}
    assert len({row[1] for row in info}) == 24
    for part in (train, test):
        assert len({row[2] for row in part}) == 10
    files = {file.relative_to(drawn).as_posix() for file in drawn.rglob("*.JPG")}
    assert files == {row[3] for row in info}


def test_a_class_has_four_to_seven_pictures_of_one_kind(drawn):
    classes: dict[str, list[list[str]]] = {}
    for row in rows(drawn, "Ebay_info.txt"):
        classes.setdefault(row[1], []).append(row)

    assert {len(each) for each in classes.values()} == {4, 5, 6, 7}
    for each in classes.values():
        assert len({row[2] for row in each}) == 1
        assert len({row[3].partition("_final/")[0] for row in each}) == 1


def test_the_same_order_gives_the_same_files_and_another_seed_other_ones(drawn, tmp_path):
    list(write_products(tmp_path / "again", ORDER))
    list(write_products(tmp_path / "other", Order(classes=24, size=16, seed=1)))

    assert digests(tmp_path / "again") == digests(drawn)
    here, there = (set(digests(folder).values()) for folder in (drawn, tmp_path / "other"))
    assert not here & there


def test_what_is_complete_is_left_alone_and_what_is_not_is_drawn(drawn, tmp_path):
    folder = shutil.copytree(drawn, tmp_path / "products")
    assert list(write_products(folder, ORDER)) == []

    (folder / "Ebay_info.txt").unlink()
    next(folder.rglob("*.JPG")).write_bytes(b"torn")

    assert len(list(write_products(folder, ORDER))) == len(shots(ORDER))
    assert digests(folder) == digests(drawn)


def test_lists_come_after_the_last_picture(tmp_path):
    for file in write_products(tmp_path / "products", Order(classes=2, size=16)):
        assert file.is_file()
        assert not (tmp_path / "products/Ebay_info.txt").exists()
    assert (tmp_path / "products/Ebay_info.txt").exists()


def test_other_products_and_other_files_are_never_drawn_over(drawn, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    for folder, order in ((tmp_path, ORDER), (drawn, Order(classes=24, size=16, seed=3))):
        before = digests(folder)
        with pytest.raises(UsageError) as caught:
            list(write_products(folder, order))
        assert caught.value.code == "file.exists"
        assert digests(folder) == before


def test_a_folder_that_cannot_be_made_is_an_error_in_one_line(tmp_path):
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(MachineError) as caught:
        list(write_products(tmp_path / "file/products", ORDER))

    assert caught.value.code == "products.unwritable"


@pytest.mark.parametrize(
    "wrong", [{"classes": 1}, {"size": 8}, {"size": 5000}, {"seed": -1}, {"background": "sea"}]
)
def test_an_order_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(UsageError):
        Order(**wrong)


@pytest.mark.parametrize("background", ["plain", "dark", "clutter"])
def test_pictures_are_of_the_size_and_differ(background):
    order = Order(size=24, background=background)

    pictures = [photograph(order, 3, image) for image in range(4)]

    assert {(each.shape, each.dtype.name) for each in pictures} == {((24, 24, 3), "uint8")}
    assert len({each.tobytes() for each in pictures}) == 4
    corner = float(np.mean([each[:3, :3] for each in pictures]))
    assert corner < 90 if background == "dark" else corner > 90
