"""`dinoseek evaluate sweep`: what is worth its time, as a table, Markdown and JSON."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from dinoseek.weights.save import save_params

from ..vit.tiny import tiny_config, tiny_params

HISTOGRAM = ("--model", "color-histogram")


@pytest.fixture
def colours(tmp_path):
    """Three colours, eight pictures each, and something that is there once."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "colours"
    for channel, name in enumerate(("red", "green", "blue")):
        for number in range(8):
            pixels = rng.integers(0, 90, (20, 30, 3), dtype=np.uint8)
            pixels[..., channel] += 4
            path = folder / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    (folder / "once").mkdir()
    Image.fromarray(pixels).save(folder / "once/1.png")
    return folder


@pytest.fixture
def tiny_file(tmp_path):
    path = tmp_path / "tiny.safetensors"
    save_params(path, tiny_params(tiny_config()), tiny_config())
    return path


def test_a_table_says_what_each_combination_reaches_and_costs(dinoseek, colours):
    done = dinoseek("evaluate", "sweep", colours, *HISTOGRAM)
    assert done.code == 0, done.err
    title, head, *rows, verdict, about = done.out.splitlines()
    assert title == "colours/sweep/seed0/map@r"
    interval, costs = ["95", "%", "interval"], ["p", "ms/image", "ms/query"]
    assert head.split() == ["combination", "%", *interval, "gain", *interval, *costs]
    names = [row.split()[0] for row in rows]
    ways = ("none", "alpha-qe", "dba", "k-reciprocal", "superglobal")
    assert names == [f"none/1/{way}" for way in ways]
    assert re.fullmatch(r"none/1/none +[\d.]+ +[\d.]+ to [\d.]+ +[\d.]+ +[\d.]+", rows[0])
    gain = r"[+-][\d.]+ +[+-][\d.]+ to [+-][\d.]+ +[01]\.\d{4} +[\d.]+ +[\d.]+$"
    assert re.search(gain, rows[1])
    assert verdict.startswith(("recommended: ", "nothing is recommended: "))
    assert about.startswith("chosen on half of the queries, 12 queries; ")


def test_poolings_and_scales_of_a_vit_are_tried_unless_they_are_chosen(
    dinoseek, colours, tiny_file
):
    usual = ("--model", tiny_file, "--preprocess", "squash@28", "--json")
    done = dinoseek("evaluate", "sweep", colours, *usual, "--rerank", "alpha-qe:neighbors=3")
    assert done.code == 0, done.err
    names = [each["name"] for each in done.json["tried"]]
    assert names == [
        f"{pooling}/{scales}/{way}"
        for pooling in ("cls", "mean", "gem", "cls+mean")
        for scales in ("1", "0.7071+1")
        for way in ("none", "alpha-qe:neighbors=3,alpha=3.0")
    ]
    assert all(each["image_ms"] > 0 for each in done.json["tried"])
    chosen = ("--pooling", "gem", "--scales", "1,0.5", "--rerank", "local:shortlist=3")
    fewer = dinoseek("evaluate", "sweep", colours, *usual, *chosen)
    assert fewer.code == 0, fewer.err
    assert [each["name"] for each in fewer.json["tried"]] == [
        "gem/0.5+1/none",
        "gem/0.5+1/local:weight=0.5,geometry=similarity,tolerance=1.5,shortlist=3",
    ]


def test_stored_vectors_are_only_re_ranked(dinoseek, colours, tmp_path):
    features, kept = tmp_path / "colours.npz", tmp_path / "sweep.json"
    assert (
        dinoseek("evaluate", "labels", colours, *HISTOGRAM, "--save-features", features).code == 0
    )
    embedded = dinoseek("evaluate", "sweep", colours, *HISTOGRAM, "--json")
    stored = dinoseek("evaluate", "sweep", colours, "--features", features, "--json", "--out", kept)
    assert stored.code == 0, stored.err
    assert [each["value"] for each in stored.json["tried"]] == [
        each["value"] for each in embedded.json["tried"]
    ]
    assert {each["image_ms"] for each in stored.json["tried"]} == {None}
    saved = json.loads(kept.read_text())
    assert saved["verdict"] == stored.json["verdict"]
    refused = dinoseek("evaluate", "sweep", colours, "--features", features, "--rerank", "local")
    assert refused.code == 2
    assert "no patches" in refused.err


def test_stored_vectors_may_be_fewer_only_where_that_is_allowed(dinoseek, colours, tmp_path):
    features = tmp_path / "colours.npz"
    keeping = ("--save-features", features)
    assert dinoseek("evaluate", "labels", colours, *HISTOGRAM, *keeping).code == 0
    (colours / "green/new.png").write_bytes((colours / "green/0.png").read_bytes())
    usual = ("evaluate", "sweep", colours, "--features", features, "--rerank", "alpha-qe")
    refused = dinoseek(*usual)
    assert refused.code not in (0, 3)
    assert "--allow-missing" in refused.err
    assert dinoseek(*usual, "--allow-missing").code == 3


def test_a_gain_is_recommended_with_its_interval_and_cost(dinoseek, tmp_path):
    rng = np.random.default_rng(0)
    table, features = tmp_path / "photos.csv", tmp_path / "features.npz"
    numbers = np.repeat(np.arange(24), 10)
    paths = [f"{i}.jpg" for i in range(240)]
    lines = [f"{path},{number}" for path, number in zip(paths, numbers, strict=True)]
    table.write_text("\n".join(["path,label", *lines]))
    vectors = rng.standard_normal((24, 32))[numbers] + 1.5 * rng.standard_normal((240, 32))
    np.savez(features, features=vectors.astype(np.float32), paths=np.array(paths))
    usual = ("--features", features, "--rerank", "alpha-qe:neighbors=4")
    done = dinoseek("evaluate", "sweep", table, *usual, "--markdown")
    assert done.code == 0, done.err
    assert re.search(
        r"^- recommended: given/given/alpha-qe:neighbors=4,alpha=3.0, \+[\d.]+ points"
        r" \(\+[\d.]+ to \+[\d.]+\) on the other half, 120 queries \(p [\d.e-]+\); [\d.]+ ms a"
        r" query, given/given/none [\d.]+ ms a query$",
        done.out,
        re.MULTILINE,
    )
    rows = re.findall(r"^\| given.*$", done.out, re.MULTILINE)
    assert [row.count("|") for row in rows] == [9, 9]
    found = dinoseek("evaluate", "sweep", table, *usual, "--json").json
    assert found["recommended"] == found["chosen"] == found["tried"][1]["name"]
    assert found["shown"]["gain"]["low"] > 0
    assert found["halves"] == "classes"


def test_another_metric_and_another_half_can_be_asked_for(dinoseek, colours):
    usual = ("evaluate", "sweep", colours, *HISTOGRAM, "--rerank", "alpha-qe", "--json")
    first = dinoseek(*usual, "--metric", "precision@5").json
    second = dinoseek(*usual, "--metric", "precision@5", "--seed", "1").json
    assert first["metric"] == "precision@5"
    assert second["protocol"] == "colours/sweep/seed1"
    value = first["tried"][0]["value"]["value"] * 5 * 12
    assert value == pytest.approx(round(value))
    assert first["tried"][0]["value"] != second["tried"][0]["value"]


def test_an_image_that_cannot_be_read_is_left_out_and_told(dinoseek, colours):
    (colours / "red/0.png").write_bytes(b"no image")
    (colours / "green/extra.png").write_bytes((colours / "green/0.png").read_bytes())
    done = dinoseek("evaluate", "sweep", colours, *HISTOGRAM)
    assert done.code == 3
    assert "skipped red/0.png" in done.err
    assert "1 of 26 images could not be read and are left out" in done.out
    assert dinoseek("evaluate", "sweep", colours, "--json", "--markdown").code == 2
