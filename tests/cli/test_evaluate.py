"""`dinoseek evaluate`: one command, one number, its interval, and the pictures that explain it."""

import json
import pickle
import re

import numpy as np
import pytest
from PIL import Image

from dinoseek.evaluation import ground_truth, products
from dinoseek.evaluation.products import Counts

HISTOGRAM = ("--model", "color-histogram")


@pytest.fixture
def labelled(tmp_path):
    """Three colours, four pictures each; one red looks blue."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "colours"
    for channel, name in enumerate(("red", "green", "blue")):
        for number in range(4):
            pixels = rng.integers(0, 60, (40, 60, 3), dtype=np.uint8)
            pixels[..., 2 if (name, number) == ("red", 3) else channel] += 150
            path = folder / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    return folder


@pytest.fixture
def oxford(tmp_path, monkeypatch):
    """Revisited Oxford in small: eight images and two queries, whose boxes are their left part."""
    monkeypatch.setitem(ground_truth.SIZES, "roxford5k", (8, 2))
    folder = tmp_path / "roxford5k"
    (folder / "jpg").mkdir(parents=True)
    rng = np.random.default_rng(1)
    names = [f"oxford_{i:06}" for i in range(8)]
    for i, name in enumerate([*names, "query_0", "query_1"]):
        pixels = rng.integers(0, 80, (48, 64, 3), dtype=np.uint8)
        pixels[..., i % 2] += 120
        if name.startswith("query"):
            pixels[:, 16:, i % 2] -= 120  # outside the box they look like the others' positives
            pixels[:, 16:, 1 - i % 2] += 120
        Image.fromarray(pixels).save(folder / f"jpg/{name}.jpg")
    queries = [
        {"bbx": [0, 0, 16, 48], "easy": [0], "hard": [2, 4], "junk": [6]},
        {"bbx": [0, 0, 16, 48], "easy": [], "hard": [1, 3], "junk": [5]},
    ]
    content = {"imlist": names, "qimlist": ["query_0", "query_1"], "gnd": queries}
    (folder / "gnd_roxford5k.pkl").write_bytes(pickle.dumps(content, 2))
    return folder


def metrics(result):
    return {each["metric"]: each["value"] for each in result.json["metrics"]}


def test_a_folder_of_labels_gives_a_number_its_interval_and_a_page(dinoseek, labelled, tmp_path):
    page, kept = tmp_path / "report.html", tmp_path / "report.json"
    done = dinoseek("evaluate", "labels", labelled, *HISTOGRAM, "--html", page, "--out", kept)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0] == "colours/squash@224/none/1"
    assert re.fullmatch(r"recall@1 \* +83\.33 +58\.33 to 100\.00 +12", lines[2])
    assert "color-histogram: 12 queries against 12 images" in lines
    text = page.read_text("utf-8")
    assert "83.3 %" in text
    assert text.count("<svg") == 3
    assert 'class="hit wrong"' in text
    assert 'class="hit right"' in text
    assert re.search(r'<h3 id="query-1">(.*?)</h3><p>(.*?)</p>', text).groups() == ("3.png", "red")
    saved = json.loads(kept.read_text())
    assert saved["metrics"][0]["name"] == "colours/squash@224/none/1/recall@1"
    assert saved["values"]["recall@1"].count(0) == 2  # it, and a blue one that finds it first
    assert saved["values"]["recall@1"][saved["queries"].index("red/3.png")] == 0


def test_json_and_markdown_have_the_same_numbers(dinoseek, labelled):
    table = dinoseek("evaluate", "labels", labelled, *HISTOGRAM, "--markdown").out
    content = dinoseek("evaluate", "labels", labelled, *HISTOGRAM, "--json").json
    assert "values" not in content
    for metric in content["metrics"]:
        value = f"{100 * metric['value']:.2f}"
        assert re.search(rf"^\| {metric['metric']}( \*)? \| {value} \|", table, re.MULTILINE)
    both = dinoseek("evaluate", "labels", labelled, "--json", "--markdown")
    assert both.code == 2


def test_a_picture_that_cannot_be_read_is_left_out_and_counted(dinoseek, labelled):
    (labelled / "red/4.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    done = dinoseek("evaluate", "labels", labelled, *HISTOGRAM)
    assert done.code == 3
    assert "1 of 13 images could not be read and are left out" in done.out
    assert "skipped red/4.png" in done.err


def test_a_gallery_and_kept_features_give_the_same_as_pictures(dinoseek, labelled, tmp_path):
    whole = dinoseek("evaluate", "labels", labelled, *HISTOGRAM, "--json",
                     "--save-features", tmp_path / "f.npz")  # fmt: skip
    assert dinoseek("index", labelled, "--gallery", "g.dino", *HISTOGRAM).code == 0
    of_gallery = dinoseek("evaluate", "labels", labelled, "--gallery", "g.dino", "--json")
    of_file = dinoseek("evaluate", "labels", labelled, "--features", tmp_path / "f.npz", "--json")
    assert metrics(whole) == metrics(of_gallery) == metrics(of_file)
    assert whole.json["name"] == of_gallery.json["name"] == of_file.json["name"]


def test_GT_08_images_that_a_gallery_lacks_are_refused_or_counted(dinoseek, labelled):
    assert dinoseek("index", labelled, "--gallery", "g.dino", *HISTOGRAM).code == 0
    Image.new("RGB", (40, 60), "red").save(labelled / "red/new.png")
    asked = ("evaluate", "labels", labelled, "--gallery", "g.dino")
    refused = dinoseek(*asked)
    assert refused.code == 5
    assert "red/new.png" in refused.err
    assert "--allow-missing" in refused.err
    allowed = dinoseek(*asked, "--allow-missing")
    assert allowed.code == 3
    assert "1 of 13 images" in allowed.out


def test_comparing_says_better_only_where_it_is_shown(dinoseek, labelled, tmp_path):
    for name, preprocess in (("a", "squash"), ("b", "crop224")):
        dinoseek("evaluate", "labels", labelled, *HISTOGRAM, "--preprocess", preprocess,
                 "--out", tmp_path / f"{name}.json")  # fmt: skip
    done = dinoseek("evaluate", "compare", tmp_path / "a.json", tmp_path / "b.json")
    assert done.code == 0
    assert "do not show that B differs from A" in done.out.splitlines()[-1]
    content = json.loads((tmp_path / "b.json").read_text())
    for name in content["values"]:
        content["values"][name] = [0] * 12
    (tmp_path / "c.json").write_text(json.dumps(content))
    worse = dinoseek("evaluate", "compare", tmp_path / "a.json", tmp_path / "c.json", "--json")
    assert worse.json["metrics"][0]["verdict"] == "worse"
    other = dinoseek("evaluate", "compare", tmp_path / "a.json", labelled / "red/0.png")
    assert other.code == 5


def test_classification_by_neighbours_leaves_each_image_out(dinoseek, labelled):
    done = dinoseek("evaluate", "knn", labelled, *HISTOGRAM, "--json")
    assert done.code == 0, done.err
    assert done.json["name"] == "colours/knn/leave-one-out/T0.07/squash@224/none/1"
    assert metrics(done)["top-1@10"] == pytest.approx(11 / 12)


def test_classification_of_a_test_split_by_the_training_split(dinoseek, labelled, tmp_path):
    rows = ["path,label,split"]
    for path in sorted(labelled.rglob("*.png")):
        split = "test" if path.stem > "1" else "train"
        rows.append(f"{path.relative_to(tmp_path)},{path.parent.name},{split}")
    (tmp_path / "split.csv").write_text("\n".join(rows))
    done = dinoseek("evaluate", "knn", tmp_path / "split.csv", *HISTOGRAM, "--json")
    assert done.json["name"].startswith("split-test/knn/train-test/T0.07/")
    assert metrics(done)["top-1@10"] == pytest.approx(5 / 6)


def test_the_two_protocols_of_oxford_differ_in_the_crop_and_in_their_name(dinoseek, oxford):
    asked = ("evaluate", "roxford5k", "--data", oxford, *HISTOGRAM, "--json")
    crop, whole = dinoseek(*asked), dinoseek(*asked, "--protocol", "dino-nocrop")
    assert crop.code == whole.code == 0, crop.err
    assert crop.json["name"] == "roxford5k/official-crop/squash@224/none/1"
    assert whole.json["name"] == "roxford5k/dino-nocrop/squash@224/none/1"
    assert crop.json["worst"][0]["box"] == [0, 0, 16, 48]
    assert whole.json["worst"][0]["box"] is None
    assert metrics(crop)["mAP medium"] == 1.0
    assert metrics(whole)["mAP medium"] < 1.0
    assert [each["queries"] for each in crop.json["metrics"]][:1] == [1]  # easy: one is empty


def test_GT_13_the_hash_of_the_ground_truth_is_shown(dinoseek, oxford):
    done = dinoseek("evaluate", "roxford5k", "--data", oxford, *HISTOGRAM)
    assert re.search(r"ground truth sha256 [0-9a-f]{64}", done.out)
    assert "the ground truth is not the published file" in done.out


def test_GT_07_a_query_that_cannot_be_read_is_never_left_out(dinoseek, oxford):
    (oxford / "jpg/query_1.jpg").write_bytes(b"\xff\xd8\xff")
    for more in ((), ("--allow-missing",)):
        done = dinoseek("evaluate", "roxford5k", "--data", oxford, *HISTOGRAM, *more)
        assert done.code == 5
        assert "1 of 2 query images have no vector: query_1" in done.err
        assert not done.out
    (oxford / "jpg/query_1.jpg").unlink()
    assert dinoseek("evaluate", "roxford5k", "--data", oxford, *HISTOGRAM).code == 5


def test_GT_08_a_gallery_image_that_is_missing_ranks_last_where_that_is_allowed(dinoseek, oxford):
    (oxford / "jpg/oxford_000002.jpg").unlink()
    asked = ("evaluate", "roxford5k", "--data", oxford, *HISTOGRAM)
    refused = dinoseek(*asked)
    assert refused.code == 5
    assert "1 of 8 images have no vector: oxford_000002" in refused.err
    allowed = dinoseek(*asked, "--allow-missing")
    assert allowed.code == 3
    assert "1 of 8 gallery images are missing and rank last" in allowed.out
    content = dinoseek(*asked, "--allow-missing", "--json")
    assert metrics(content)["mAP medium"] < 1.0


def test_GT_10_a_gallery_that_was_indexed_in_another_order_scores_the_same(dinoseek, oxford):
    files = sorted(oxford.glob("jpg/*.jpg"))
    for name, first in (("a.dino", files[:1]), ("b.dino", files[-1:])):
        for source in (*first, oxford / "jpg"):
            assert dinoseek("index", source, "--gallery", name, *HISTOGRAM).code == 0
    asked = ("evaluate", "roxford5k", "--data", oxford, "--protocol", "dino-nocrop", "--json")
    first, second = (dinoseek(*asked, "--gallery", name) for name in ("a.dino", "b.dino"))
    assert first.code == 0, first.err
    assert first.json["metrics"] == second.json["metrics"]
    crop = dinoseek("evaluate", "roxford5k", "--data", oxford, "--gallery", "a.dino", "--json")
    assert metrics(crop)["mAP medium"] == 1.0  # the parts in boxes are embedded for it


def test_features_say_whether_queries_were_cut(dinoseek, oxford, tmp_path):
    asked = ("evaluate", "roxford5k", "--data", oxford, "--json")
    made = dinoseek(*asked, *HISTOGRAM, "--save-features", tmp_path / "f.npz")
    again = dinoseek(*asked, "--features", tmp_path / "f.npz")
    assert made.json["metrics"] == again.json["metrics"]
    assert made.json["name"] == again.json["name"]
    other = dinoseek(*asked, "--features", tmp_path / "f.npz", "--protocol", "dino-nocrop")
    assert other.code == 2
    assert "of parts" in other.err


def test_distractors_are_counted_and_named(dinoseek, oxford, tmp_path):
    asked = ("evaluate", "roxford5k", "--data", oxford, *HISTOGRAM, "--json")
    vectors = np.random.default_rng(0).random((50, dim())).astype(np.float32)
    np.save(tmp_path / "noise.npy", vectors)
    more = dinoseek(*asked, "--distractors", tmp_path / "noise.npy")
    assert more.code == 0, more.err
    assert more.json["name"].startswith("roxford5k+50/")
    assert more.json["facts"]["gallery"] == 58
    assert dinoseek("index", oxford / "jpg", "--gallery", "d.dino", *HISTOGRAM).code == 0
    twins = dinoseek(*asked, "--distractors", "d.dino", "--protocol", "dino-nocrop")
    assert twins.json["name"].startswith("roxford5k+10/")
    whole = dinoseek(*asked, "--protocol", "dino-nocrop")
    assert metrics(twins)["mAP medium"] < metrics(whole)["mAP medium"]  # the queries are in it


def dim():
    from dinoseek.embedder import load_embedder

    return load_embedder("color-histogram").dim


def test_a_ranking_made_elsewhere_is_scored_without_pictures(dinoseek, oxford, tmp_path):
    order = np.array([[0, 2, 4, 1, 3, 5, 6, 7], [1, 3, 0, 2, 4, 5, 6, 7]]).T
    np.savez(tmp_path / "r.npz", ranks=np.ascontiguousarray(order))
    for path in oxford.glob("jpg/*"):
        path.unlink()
    done = dinoseek("evaluate", "roxford5k", "--data", oxford, "--rankings", tmp_path / "r.npz",
                    "--json", "--html", tmp_path / "r.html")  # fmt: skip
    assert done.code == 0, done.err
    assert done.json["name"] == "roxford5k/ranking/given/given/given"
    assert metrics(done)["mAP medium"] == metrics(done)["mAP hard"] == 1.0
    assert "no picture" in (tmp_path / "r.html").read_text()


def test_a_ground_truth_of_another_data_set_is_refused(dinoseek, oxford):
    (oxford / "gnd_rparis6k.pkl").write_bytes((oxford / "gnd_roxford5k.pkl").read_bytes())
    done = dinoseek("evaluate", "rparis6k", "--data", oxford, *HISTOGRAM)
    assert done.code == 5
    assert "8 images and 2 queries" in done.err


def test_a_benchmark_of_products_runs_from_its_lists(dinoseek, labelled, monkeypatch):
    files = sorted(labelled.rglob("*.png"))
    rows = [
        f"{i} {path.parent.name} 1 {path.relative_to(labelled)}" for i, path in enumerate(files)
    ]
    (labelled / "Ebay_test.txt").write_text("\n".join(["header", *rows]))
    asked = ("evaluate", "sop", "--data", labelled, *HISTOGRAM, "--json")
    assert dinoseek(*asked).code == 5
    small = dinoseek(*asked, "--unofficial")
    assert small.json["name"] == "sop-unofficial/squash@224/none/1"
    monkeypatch.setitem(products.COUNTS, "sop", Counts(12, 12, 3))
    done = dinoseek(*asked)
    assert done.json["name"] == "sop/squash@224/none/1"
    assert metrics(done)["recall@1"] == pytest.approx(10 / 12)
    assert set(metrics(done)) >= {"recall@10", "recall@100", "recall@1000", "map@r", "map"}


def test_prepare_says_where_to_get_what_and_what_is_missing(dinoseek, oxford, labelled):
    told = dinoseek("evaluate", "prepare", "sop")
    assert told.code == 0
    for word in ("get it:", "terms:", "cite:", "layout:"):
        assert word in told.out
    done = dinoseek("evaluate", "prepare", "roxford5k", "--data", oxford)
    assert done.code == 3
    assert "not the published file" in done.out
    assert "ok       all 8 gallery images are there" in done.out
    (oxford / "jpg/oxford_000002.jpg").unlink()
    lost = dinoseek("evaluate", "prepare", "roxford5k", "--data", oxford, "--json")
    assert any("1 of 8 gallery images" in check["what"] for check in lost.json["checks"])
    assert dinoseek("evaluate", "prepare", "sop", "--data", labelled).code == 3
    assert dinoseek("evaluate", "prepare", "imagenet").code == 2


def test_prepare_checks_the_md5_of_a_download(dinoseek, tmp_path):
    (tmp_path / "Stanford_Online_Products.zip").write_bytes(b"not it")
    done = dinoseek("evaluate", "prepare", "sop", "--data", tmp_path)
    assert done.code == 3
    assert "wrong    Stanford_Online_Products.zip: md5" in done.out


@pytest.mark.parametrize(
    "more",
    [("--scales", "x"), ("--scales", "1,0.5"), ("--scales", "90"),
     ("--gallery", "a", "--features", "b"), ("--save-features", "f.txt"),
     ("--features", "f.npz", "--scales", "1,2")],
    ids=" ".join,
)  # fmt: skip
def test_flags_that_make_no_sense_together_are_refused_in_one_line(dinoseek, labelled, more):
    done = dinoseek("evaluate", "labels", labelled, *HISTOGRAM, *more)
    assert done.code == 2
    assert len(done.err.strip().splitlines()) == 1


def test_settings_choose_the_model_but_never_the_vectors(dinoseek, labelled, tmp_path):
    settings = 'model = "color-histogram"\npreprocess = "crop224"\ngallery = "elsewhere.dino"\n'
    (tmp_path / "dinoseek.toml").write_text(settings)
    done = dinoseek("evaluate", "labels", labelled, "--json")
    assert done.code == 0, done.err
    assert done.json["name"] == "colours/crop224@224/none/1"
