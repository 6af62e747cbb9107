"""What a model learns from: lists and folders, and what is wrong with them."""

import json
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from dinoseek.errors import DataError, MachineError
from dinoseek.train.data.checked import check_images, refuse_broken
from dinoseek.train.data.pairs_file import write_pairs
from dinoseek.train.data.prepare import prepare_sop
from dinoseek.train.data.records import Records, load_records

OTHER = {"query_image": "y.jpg", "positive": "z.jpg", "label": "other"}


def picture(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    Image.fromarray(pixels).save(path)


def lines(path, *records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def labelled(records):
    return dict(zip(records.images, records.labels, strict=True))


def refused(path, code, match, **options):
    with pytest.raises(DataError, match=match) as caught:
        load_records(path, **options)
    assert caught.value.code == code
    assert caught.value.fix
    assert str(caught.value).isprintable()


@pytest.fixture
def pairs(tmp_path):
    return lambda *records: lines(tmp_path / "pairs.jsonl", *records)


@pytest.fixture
def table(tmp_path):
    def call(text, name="table.csv"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return call


@pytest.fixture
def folder(tmp_path):
    def call(*names):
        for name in names:
            picture(tmp_path / "photos" / name)
        return tmp_path / "photos"

    return call


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


@pytest.mark.parametrize("key", ["label", "class_id", "id"])
@pytest.mark.parametrize("query", ["query_image", "image"])
def test_keys_have_the_other_names_that_lists_use(pairs, query, key):
    path = pairs({query: "a.jpg", "positive": "b.jpg", key: 3}, OTHER)

    assert labelled(load_records(path))["a.jpg"] == "3"


def test_without_labels_pairs_that_share_an_image_show_one_thing(pairs):
    rng = np.random.default_rng(0)
    links = [(int(a), int(b)) for a, b in rng.integers(60, size=(45, 2))]
    path = pairs(*({"query_image": f"{a}.jpg", "positive": f"{b}.jpg"} for a, b in links))

    groups = [{a, b} for a, b in links]
    for link in links:  # naive: what a link touches becomes one group
        touched = [group for group in groups if group & set(link)]
        groups = [group for group in groups if group not in touched] + [set().union(*touched)]

    found = {}
    for image, label in labelled(load_records(path)).items():
        found.setdefault(label, set()).add(int(image.removesuffix(".jpg")))
    assert sorted(map(sorted, found.values())) == sorted(map(sorted, groups))
    assert len(groups) > 3


def test_pairs_without_a_label_take_that_of_the_images_they_are_joined_with(pairs):
    path = pairs(
        {"query_image": "a.jpg", "positive": "b.jpg"},
        {"query_image": "b.jpg", "positive": "c.jpg"},
        {"query_image": "c.jpg", "positive": "d.jpg", "label": "cup"},
        OTHER,
    )
    found = labelled(load_records(path))
    assert [found[f"{name}.jpg"] for name in "abcd"] == ["cup"] * 4


def test_negatives_without_a_label_are_each_alone(pairs):
    path = pairs(
        {"query_image": "a.jpg", "positive": "b.jpg", "label": "alone 2",
         "negatives": ["m.jpg", "n.jpg", "y.jpg"]},
        OTHER,
    )  # fmt: skip
    found = load_records(path)

    labels = labelled(found)
    assert len({labels[name] for name in ("a.jpg", "m.jpg", "n.jpg", "y.jpg")}) == 4
    assert labels["y.jpg"] == "other"
    assert [found.images[row] for row in found.negatives[0]] == ["m.jpg", "n.jpg", "y.jpg"]
    assert set(found.negatives) == {0}


def test_a_negative_that_shows_the_same_thing_is_none(pairs):
    path = pairs(
        {"query_image": "a.jpg", "positive": "b.jpg", "label": 1, "negatives": ["c.jpg", "y.jpg"]},
        {"query_image": "c.jpg", "positive": "a.jpg", "label": 1, "negatives": ["c.jpg"]},
        {"query_image": "a.jpg", "positive": "c.jpg", "label": 1, "negatives": ["y.jpg"]},
        OTHER,
    )
    found = load_records(path)

    assert {
        row: [found.images[each] for each in rows] for row, rows in found.negatives.items()
    } == {0: ["y.jpg"]}


def test_a_line_that_is_no_json_is_named_by_its_place_in_the_file(table):
    path = table(f"{json.dumps(OTHER)}\n\n{{no\n", "pairs.jsonl")
    refused(path, "train.data.row", "line 3: it is no JSON")


def test_only_ends_of_lines_end_lines(table):
    name = "a\u2028b\u0085c.jpg"
    line = json.dumps({**OTHER, "query_image": name}, ensure_ascii=False)
    path = table(
        "\ufeff" + line + '\n{"query_image": "c", "positive": "d", "label": 2}\n', "p.jsonl"
    )

    assert load_records(path).images[0] == name


def test_pairs_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_bytes(json.dumps(OTHER).encode() + b'\n{"query_image": "\xff"}\n')
    refused(path, "train.data.format", "no text in UTF-8")


def test_an_image_with_two_labels_is_refused_with_both(pairs, table):
    one = {"query_image": "a.jpg", "positive": "b.jpg", "label": "cup"}
    two = {"query_image": "b.jpg", "positive": "c.jpg", "label": "mug"}
    refused(pairs(OTHER, one, two), "train.data.conflict", "line 3: b.jpg is mug, and cup")
    one["super_label"], two["super_label"], two["label"] = "tea", "coffee", "cup"
    refused(pairs(OTHER, one, two), "train.data.conflict", "line 3: b.jpg is coffee, and tea")
    refused(table("path,label\na,cup\na,mug\n"), "train.data.conflict", "cup and mug")


def test_a_pair_that_joins_two_labels_is_refused_with_both(pairs):
    path = pairs(
        {"query_image": "a.jpg", "positive": "b.jpg", "label": "cup"},
        OTHER,
        {"query_image": "b.jpg", "positive": "y.jpg"},
    )
    refused(path, "train.data.conflict", "line 3: it joins images of the labels cup and other")


def test_a_table_in_json_lines_is_told_from_pairs_by_its_first_line(table):
    rows = [{"path": "a.jpg", "label": 1}, {"path": "b.jpg", "label": 1}, {"path": "c", "label": 2}]
    found = load_records(table("\n".join(map(json.dumps, rows)), "table.jsonl"))

    assert labelled(found) == {"a.jpg": "1", "b.jpg": "1", "c": "2"}


def test_paths_of_a_table_may_be_absolute_but_not_lead_out(table, tmp_path):
    rows = f"path,label\n{tmp_path / 'elsewhere' / 'a.jpg'},1\n./b.jpg,1\nc.jpg,2\n"
    found = load_records(table(rows), tmp_path)

    assert found.path(0) == tmp_path / "elsewhere" / "a.jpg"
    assert found.path(1) == tmp_path / "b.jpg"
    refused(table(rows + "../d.jpg,2\n"), "train.data.path", "../d.jpg leads out")


def test_an_image_that_a_table_has_twice_is_refused(table):
    path = table("path,label\na,1\nb,2\nb,2\n./a,1\n")
    refused(path, "train.data.twice", "2 images are listed more than once, such as a")


def test_images_are_below_the_given_folder(pairs, table, products, tmp_path):
    root = tmp_path / "images"
    root.mkdir()

    assert load_records(pairs(OTHER, {**OTHER, "query_image": "a", "positive": "b", "label": 1}),
                        root).path(0) == root / "y.jpg"  # fmt: skip
    assert load_records(table("path,label\na,1\nb,1\nc,2\n"), root).path(0) == root / "a"
    assert load_records(products, root).root == root
    with pytest.raises(MachineError, match="is no folder"):
        load_records(products, tmp_path / "nowhere")


@pytest.mark.parametrize("stray", ["train/stray.jpg", "test/stray.jpg", "more/can/stray.jpg"])
def test_a_stray_image_does_not_turn_train_and_test_into_classes(folder, stray):
    root = folder("train/cup/a.jpg", "train/mug/b.jpg", "test/can/c.jpg", "test/can/d.jpg", stray)
    refused(root, "train.data.split", "folders train and test")


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ("9 9 9", "line 3 is something else"),
        ("9 nine 9 a.JPG", "line 3 is something else"),
        ("9 9 9 ../a.JPG", "line 3: its path leads out"),
        ("9 9 9 /a.JPG", "line 3: its path leads out"),
    ],
)
def test_a_line_of_the_product_list_that_is_no_good_is_named(tmp_path, line, match):
    (tmp_path / "Ebay_train.txt").write_text(f"image_id class_id super_class_id path\n\n{line}\n")
    refused(tmp_path, "train.data.format", match)


def test_written_pairs_are_read_again_and_repeat_with_the_seed(tmp_path):
    images = [f"{i}.jpg" for i in range(30)]
    images[3], images[7] = "\u2028ü 猫.jpg", "\udcff.jpg"  # the last is a byte that is no text
    labels = [str(i % 4) for i in range(29)] + ["alone"]
    path = tmp_path / "new" / "pairs.jsonl"

    assert write_pairs(path, images, labels, labels, seed=1) == 29
    text = path.read_bytes()
    found = load_records(path)
    assert labelled(found) == dict(zip(images[:29], labels[:29], strict=True))
    assert found.super_labels == found.labels
    assert [each.name for each in path.parent.iterdir()] == ["pairs.jsonl"]
    write_pairs(path, images, labels, labels, seed=1)
    assert path.read_bytes() == text
    write_pairs(path, images, labels, labels, seed=2)
    assert path.read_bytes() != text


def test_the_positive_is_any_other_image_of_the_label_equally_often(tmp_path):
    images, labels = [f"{i}" for i in range(5)], ["1"] * 4 + ["2"]
    seen = Counter()
    for seed in range(600):
        write_pairs(tmp_path / "pairs.jsonl", images, labels, seed=seed)
        for line in (tmp_path / "pairs.jsonl").read_text().splitlines():
            record = json.loads(line)
            seen[record["query_image"], record["positive"]] += 1

    assert set(seen) == {(a, b) for a in "0123" for b in "0123" if a != b}
    assert all(150 < count < 250 for count in seen.values())  # 200 each, five deviations of 11.5


def test_an_image_is_one_however_its_path_is_written(pairs):
    path = pairs({"query_image": "./a.jpg", "positive": "b.jpg", "label": 1},
                 {"query_image": "c//b.jpg", "positive": "a.jpg", "label": 1}, OTHER)  # fmt: skip

    assert list(load_records(path).images) == ["a.jpg", "b.jpg", "c/b.jpg", "y.jpg", "z.jpg"]


def test_images_of_a_folder_for_each_label_are_in_it(folder, tmp_path):
    records = load_records(folder("cup/a.png", "cup/b.png", "mug/c.png"), tmp_path)

    assert all(records.path(row).is_file() for row in range(3))


def test_labels_may_have_one_image_but_not_all_of_them(table):
    refused(table("path,label\na,1\nb,2\n"), "train.data.labels", "2 labels, 0 of them")
    assert len(load_records(table("path,label\na,1\nb,2\nc,2\n")).images) == 3


def test_a_list_in_another_folder_than_its_images_is_read_again(tmp_path):
    for name in ("shop/a/1.png", "shop/a/2.png", "shop/b/1.png", "shop/b/2.png"):
        picture(tmp_path / name)
    records = load_records(tmp_path / "shop")
    path = tmp_path / "lists/mined.jsonl"

    write_pairs(path, records.images, records.labels, negatives=[[2], [3], [0], [1]],
                root=records.root)  # fmt: skip

    again = load_records(path)
    found = [again.path(row).relative_to(tmp_path / "shop") for row in range(4)]
    assert sorted(map(str, found)) == sorted(records.images)
    assert all(again.path(row).is_file() for row in range(4))
    assert len(again.negatives) == 4
