"""The lists of SOP, In-Shop, CUB and Cars: real layouts in small, and what is wrong with others."""

import shutil
from pathlib import Path

import pytest

from dinoseek.errors import DataError, MachineError
from dinoseek.evaluation import products
from dinoseek.evaluation.mat_file import read_mat
from dinoseek.evaluation.products import COUNTS, Counts, load_products

CARS = Path(__file__).parents[1] / "golden/cars_annos.mat"


def write_sop(root):
    rows = ["image_id class_id super_class_id path"]
    rows += [f"{i} {11319 + i // 3} 1 bicycle_final/{i}_0.JPG" for i in range(9)]
    (root / "Ebay_test.txt").write_text("\n".join(rows) + "\n")


def write_inshop(root):
    (root / "Eval").mkdir()
    rows = ["6", "image_name item_id evaluation_status"]
    for i, status in enumerate(["train", "query", "gallery", "query", "gallery", "gallery"]):
        rows.append(f"img/WOMEN/Tees/id_{i // 2}/0{i}_1_front.jpg   id_{i // 2}   {status}")
    (root / "Eval/list_eval_partition.txt").write_text("\n".join(rows) + "\n")
    image = root / "Img/img/WOMEN/Tees/id_0/01_1_front.jpg"
    image.parent.mkdir(parents=True)
    image.touch()


def write_cub(root):
    inside = root / "CUB_200_2011"
    inside.mkdir()
    classes = [1, 100, 101, 101, 200, 200]
    names = "".join(f"{i + 1} {c:03}.Bird/{i}.jpg\n" for i, c in enumerate(classes))
    (inside / "images.txt").write_text(names)
    (inside / "image_class_labels.txt").write_text(
        "".join(f"{i + 1} {c}\n" for i, c in enumerate(classes))
    )


def write_cars(root):
    shutil.copy(CARS, root / "cars_annos.mat")


WRITERS = {"sop": write_sop, "inshop": write_inshop, "cub": write_cub, "cars": write_cars}
SMALL = {
    "sop": Counts(9, 9, 3),
    "inshop": Counts(2, 3, 2),
    "cub": Counts(4, 4, 2),
    "cars": Counts(5, 5, 3),
}


@pytest.fixture
def root(tmp_path):
    def call(name):
        folder = tmp_path / name
        folder.mkdir()
        WRITERS[name](folder)
        return folder

    return call


def test_published_sizes_are_those_of_the_papers():
    assert COUNTS == {
        "sop": (60502, 60502, 11316),
        "inshop": (14218, 12612, 3985),
        "cub": (5924, 5924, 100),
        "cars": (8131, 8131, 98),
    }


@pytest.mark.parametrize("name", WRITERS)
def test_a_list_of_another_length_is_refused_or_measured_under_another_name(
    root, name, monkeypatch
):
    folder = root(name)
    with pytest.raises(DataError, match="--unofficial") as caught:
        load_products(name, folder)
    assert caught.value.code == "data.count"
    assert load_products(name, folder, official=False).name == f"{name}-unofficial"
    monkeypatch.setitem(products.COUNTS, name, SMALL[name])
    assert load_products(name, folder).name == name


def test_sop_has_every_test_image_against_all_others(root):
    found = load_products("sop", root("sop"), official=False)
    assert found.images[4] == "bicycle_final/4_0.JPG"
    assert list(found.labels) == [f"{11319 + i // 3}" for i in range(9)]
    assert found.own.tolist() == list(range(9))
    assert found.cutoffs == (1, 10, 100, 1000)


def test_inshop_has_a_gallery_apart_and_takes_nothing_out(root):
    found = load_products("inshop", root("inshop"), official=False)
    assert found.images[0] == "Img/img/WOMEN/Tees/id_0/01_1_front.jpg"
    assert [found.labels[i] for i in found.queries] == ["id_0", "id_1"]
    assert [found.labels[i] for i in found.gallery] == ["id_1", "id_2", "id_2"]
    assert found.own.tolist() == [-1, -1]
    assert found.cutoffs == (1, 10, 20, 30)


def test_cub_and_cars_have_the_second_half_of_the_classes(root):
    cub = load_products("cub", root("cub"), official=False)
    assert list(cub.labels) == ["101", "101", "200", "200"]
    assert cub.images[0] == "images/101.Bird/2.jpg"
    assert cub.root.name == "CUB_200_2011"
    cars = load_products("cars", root("cars"), official=False)
    assert list(cars.labels) == ["99", "99", "100", "196", "196"]
    assert cars.images[0] == "car_ims/000003.jpg"


@pytest.mark.parametrize("name", WRITERS)
def test_a_folder_without_the_lists_says_where_to_get_them(tmp_path, name):
    with pytest.raises(MachineError, match="prepare") as caught:
        load_products(name, tmp_path)
    assert caught.value.code == "data.missing"


def test_lists_that_are_something_else_are_refused(tmp_path):
    for line in ("1 2 3", "1 2 3 ../secret.jpg", "1 2 3 /etc/passwd"):
        (tmp_path / "Ebay_test.txt").write_text(f"header\n{line}\n")
        with pytest.raises(DataError) as caught:
            load_products("sop", tmp_path, official=False)
        assert caught.value.code == "data.format"
    (tmp_path / "Ebay_test.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="UTF-8"):
        load_products("sop", tmp_path, official=False)


def test_a_matlab_file_reads_as_scipy_wrote_it():
    found = read_mat(CARS)
    assert [row["class"] for row in found["annotations"]] == [1, 98, 99, 99, 100, 196, 196]
    assert found["annotations"][2]["relative_im_path"] == "car_ims/000003.jpg"
    assert found["annotations"][2]["bbox_x2"] == 365
    assert found["class_names"] == ["AM General Hummer SUV 2000", "Acura RL Sedan 2012"]


def test_a_matlab_file_cut_or_changed_anywhere_is_refused_or_read_and_never_crashes(tmp_path):
    whole, path = CARS.read_bytes(), tmp_path / "cars_annos.mat"
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        found = refusal(path)
        assert found == "data.format" or length >= 128
    for place in range(0, len(whole), 5):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        assert refusal(path) in (None, "data.format")


def refusal(path):
    try:
        read_mat(path)
    except DataError as error:
        return error.code
    return None
