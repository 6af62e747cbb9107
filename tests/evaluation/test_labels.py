"""Own labels: folders of folders and tables, and what is wrong with them."""

import numpy as np
import pytest
from PIL import Image

from dinoseek.errors import DataError, MachineError
from dinoseek.evaluation.labels import load_labels, load_splits


@pytest.fixture
def make(tmp_path):
    """Writes empty pictures at these paths and returns their folder."""

    def call(*names):
        for name in names:
            path = tmp_path / "photos" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (4, 4)).save(path)
        return tmp_path / "photos"

    return call


@pytest.fixture
def table(tmp_path):
    def call(text, name="labels.csv"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return call


def refused(path, code, match, **options):
    with pytest.raises(DataError, match=match) as caught:
        load_labels(path, **options)
    assert caught.value.code == code
    assert str(caught.value).isprintable()


def test_the_folder_is_the_label_however_deep_the_image_lies(make):
    found = load_labels(make("cat/a.jpg", "cat/sub/b.jpg", "dog/a.png", "loose.jpg"))
    assert list(found.images) == ["cat/a.jpg", "cat/sub/b.jpg", "dog/a.png"]
    assert list(found.labels) == ["cat", "cat", "dog"]
    assert found.queries.tolist() == found.gallery.tolist() == found.own.tolist() == [0, 1, 2]


def test_of_the_splits_train_and_test_the_test_images_are_measured(make):
    root = make("train/cat/a.jpg", "train/dog/b.jpg", "Test/cat/c.jpg", "Test/cat/d.jpg",
                "Test/dog/e.jpg")  # fmt: skip
    found = load_labels(root)
    assert list(found.images) == ["Test/cat/c.jpg", "Test/cat/d.jpg", "Test/dog/e.jpg"]
    assert found.notes == ["only the split 'test' is measured; 2 images are in others"]
    train, test = load_splits(root)
    assert list(train.labels) == ["cat", "dog"]
    assert list(test.labels) == ["cat", "cat", "dog"]
    refused(root, "labels.split", "no split 'val'", split="val")


def test_a_table_says_label_split_roles_and_boxes(table):
    path = table(
        "path,label,split,is_query,is_gallery,x1,y1,x2,y2\n"
        "a.jpg,1,test,1,0,,,,\n"
        "b.jpg,1,test,0,1,1,2,30,40\n"
        "c.jpg,x,test,true,true,,,,\n"
        "d.jpg,x,train,1,1,,,,\n"
    )
    found = load_labels(path)
    assert list(found.images) == ["a.jpg", "b.jpg", "c.jpg"]
    assert list(found.labels) == ["1", "1", "x"]
    assert found.queries.tolist() == [0, 2]
    assert found.gallery.tolist() == [1, 2]
    assert found.own.tolist() == [-1, 1]
    assert found.boxes == {1: (1.0, 2.0, 30.0, 40.0)}


@pytest.mark.parametrize(
    ("row", "match"),
    [
        ("a.jpg,,1,", "row 2 has no label"),
        (",cat,1,", "row 2: "),
        ("https://example.org/a.jpg,cat,1,", "row 2 has an address"),
        ("a.jpg,cat,maybe,", "row 2 has 'maybe' as is_query"),
        ("a.jpg,cat,1,5", "row 2 has the box"),
    ],
)
def test_a_row_that_is_no_good_is_named_and_nothing_is_measured_without_it(table, row, match):
    path = table(f"path,label,is_query,x1\nok.jpg,cat,1,\n{row}\n")
    refused(path, "labels.row", match)


def test_labels_that_nothing_can_be_measured_by_are_refused(make, table, tmp_path):
    refused(make("cat/a.jpg", "cat/b.jpg"), "labels.classes", "one label")
    refused(table("path,label\na,1\nb,2\n"), "labels.singletons", "no query has another")
    refused(table("path,label\n"), "labels.empty", "no labelled images")
    refused(table("{}", "labels.txt"), "labels.format", "neither a folder")
    refused(table("path,label,split\na,1,x\nb,1,y\n"), "labels.split", "'x', 'y'")
    with pytest.raises(MachineError):
        load_labels(tmp_path / "nowhere")


def test_a_data_set_without_some_images_keeps_queries_gallery_and_boxes_together(table):
    path = table(
        "path,label,is_query,is_gallery,x1,y1,x2,y2\n"
        "a,1,1,0,,,,\nb,1,0,1,,,,\nc,2,1,1,1,1,9,9\nd,2,1,1,,,,\n"
    )
    found = load_labels(path).without([1])
    assert list(found.images) == ["a", "c", "d"]
    assert found.queries.tolist() == [0, 1, 2]
    assert found.gallery.tolist() == [1, 2]
    assert found.boxes == {1: (1.0, 1.0, 9.0, 9.0)}
    assert [each.tolist() for each in found.truth().positives] == [[], [0, 1], [0, 1]]
    assert np.array_equal(found.own, [-1, 0, 1])
