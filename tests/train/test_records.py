"""What a model learns from: lists and folders, and what is wrong with them."""

import json

import numpy as np
import pytest
from PIL import Image

from dinoseek.errors import DataError, MachineError
from dinoseek.train.data.checked import check_images, refuse_broken
from dinoseek.train.data.prepare import prepare_sop
from dinoseek.train.data.records import Records, load_records


def picture(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    Image.fromarray(pixels).save(path)


def lines(path, *records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def labelled(records):
    return dict(zip(records.images, records.labels, strict=True))


def test_of_a_folder_of_products_only_the_training_list_is_read(products):
    (products / "Ebay_test.txt").rename(products / "hidden")
    try:
        records = load_records(products)
    finally:
        (products / "hidden").rename(products / "Ebay_test.txt")

    rows = [
        line.split(" ", 3) for line in (products / "Ebay_train.txt").read_text().splitlines()[1:]
    ]
    assert records.images == [row[3] for row in rows]
    assert records.labels == [row[1] for row in rows]
    assert records.super_labels == [row[2] for row in rows]
    assert all(records.path(row).is_file() for row in range(len(rows)))


def test_of_a_folder_with_splits_only_train_is_learnt(tmp_path):
    for name in ("train/cat/1.png", "train/cat/2.png", "train/dog/1.png", "test/cat/3.png"):
        picture(tmp_path / name)

    assert labelled(load_records(tmp_path)) == {
        "train/cat/1.png": "cat",
        "train/cat/2.png": "cat",
        "train/dog/1.png": "dog",
    }


def test_a_table_may_say_the_split_and_the_kind(tmp_path):
    table = tmp_path / "list.csv"
    table.write_text(
        "path,label,split,super_label\na.png,x,train,k\nb.png,x,train,k\n"
        "c.png,y,train,l\nd.png,y,test,l\n"
    )

    records = load_records(table)

    assert labelled(records) == {"a.png": "x", "b.png": "x", "c.png": "y"}
    assert records.super_labels == ["k", "k", "l"]


def test_a_list_of_pairs_gives_each_image_once_with_its_negatives(tmp_path):
    path = lines(
        tmp_path / "pairs.jsonl",
        {"query_image": "a.png", "positive": "b.png", "label": 7, "negatives": ["c.png", "x.png"]},
        {"query_image": "b.png", "positive": "a.png", "label": 7},
        {"image": "c.png", "positive": "d.png", "class_id": 8},
    )

    records = load_records(path, tmp_path)

    assert list(records.images) == ["a.png", "b.png", "c.png", "x.png", "d.png"]
    assert list(records.labels)[:3] == ["7", "7", "8"]
    assert records.labels[4] == "8"
    assert records.labels[3] not in ("7", "8")
    assert records.negatives == {0: [2, 3]}


def test_without_labels_images_that_are_joined_show_one_thing(tmp_path):
    path = lines(
        tmp_path / "pairs.jsonl",
        {"query_image": "a.png", "positive": "b.png"},
        {"query_image": "c.png", "positive": "d.png"},
        {"query_image": "e.png", "positive": "b.png"},
    )

    found = labelled(load_records(path))

    assert found["a.png"] == found["b.png"] == found["e.png"]
    assert found["c.png"] == found["d.png"] != found["a.png"]


@pytest.mark.parametrize(
    ("second", "told"),
    [
        (
            {"query_image": "b.png", "positive": "c.png", "label": 2},
            "b.png is 2, and 1 in a line before",
        ),
        ({"query_image": "../b.png", "positive": "c.png"}, "leads out of the folder"),
        ({"query_image": "b.png"}, "line 2: it has no positive"),
        ({"positive": "b.png", "label": 3}, "line 2: it has no query_image"),
        ({"query_image": "d.png", "positive": "c.png", "negatives": "x"}, "negatives is no list"),
        ([1], "line 2: it is no object"),
    ],
)
def test_a_line_that_is_no_good_is_named(tmp_path, second, told):
    path = lines(
        tmp_path / "pairs.jsonl", {"query_image": "a.png", "positive": "b.png", "label": 1}, second
    )

    with pytest.raises(DataError) as found:
        load_records(path)

    assert told in str(found.value)


def test_FT_05_data_with_nothing_to_compare_is_refused(tmp_path):
    picture(tmp_path / "cat/1.png")
    with pytest.raises(DataError, match="two labels"):
        load_records(tmp_path)
    picture(tmp_path / "cat/2.png")
    with pytest.raises(DataError, match="it has 1 labels"):
        load_records(tmp_path)


def test_FT_05_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(DataError):
        load_records(tmp_path)


def test_a_part_keeps_the_negatives_that_are_in_it():
    records = Records(
        root=None, images=list("abcd"), labels=list("1122"), negatives={0: [2, 3], 3: [1]}
    )

    part = records.subset(np.array([2, 0]))

    assert (list(part.images), list(part.labels)) == (["c", "a"], ["2", "1"])
    assert part.negatives == {1: [0]}


def test_broken_images_are_listed_with_their_reasons(tmp_path):
    for name in ("cat/1.png", "cat/2.png", "dog/1.png"):
        picture(tmp_path / name)
    data = (tmp_path / "cat/2.png").read_bytes()
    (tmp_path / "cat/2.png").write_bytes(data[: len(data) // 2])
    records = load_records(tmp_path)

    found = list(check_images(records))
    broken = [(records.images[row], error) for row, error in found if error is not None]

    assert [row for row, _ in found] == [0, 1, 2]
    assert [name for name, _ in broken] == ["cat/2.png"]
    told = str(refuse_broken(broken, 3))
    assert told.startswith("1 of 3 images: cannot be read (cat/2.png: ")


def test_prepared_lists_have_the_training_classes_alone_and_are_read_again(products, tmp_path):
    train, val = prepare_sop(products, tmp_path, share=0.25, seed=3)

    whole = load_records(products)
    learnt, held_out = (load_records(part.path, products) for part in (train, val))
    assert not set(learnt.labels) & set(held_out.labels)
    assert labelled(learnt) | labelled(held_out) == labelled(whole)
    assert set(learnt.super_labels) <= set(whole.super_labels)
    for line in train.path.read_text().splitlines():
        record = json.loads(line)
        assert record["query_image"] != record["positive"]
        assert labelled(whole)[record["query_image"]] == labelled(whole)[record["positive"]]
        assert labelled(whole)[record["query_image"]] == record["label"]


def test_prepare_names_listed_images_that_are_not_there(products, tmp_path):
    lists = tmp_path / "Ebay_train.txt"
    lists.write_text((products / "Ebay_train.txt").read_text())

    with pytest.raises(DataError, match="images that it lists are not there"):
        prepare_sop(tmp_path)
    with pytest.raises(MachineError, match="no Ebay_train"):
        prepare_sop(tmp_path / "none")
