"""`dinoseek train`."""

import json

import numpy as np
import pytest
import yaml

from dinoseek.products.folder import write_products
from dinoseek.products.order import Order
from dinoseek.vit.config import ViTConfig
from dinoseek.weights.infer import tensor_shapes
from dinoseek.weights.naming import nest
from dinoseek.weights.save import save_params

CONFIG = ViTConfig(embed_dim=32, depth=2, num_heads=2, hidden_dim=64, grid=2)


@pytest.fixture
def asked(tmp_path):
    """A configuration for a few drawn products and a small random model."""
    for _ in write_products(tmp_path / "shop", Order(classes=24, size=28)):
        pass
    rng = np.random.default_rng(0)
    flat = {name: rng.normal(0, 0.2, shape).astype(np.float32)
            for name, shape in tensor_shapes(CONFIG).items()}  # fmt: skip
    save_params(tmp_path / "random.safetensors", nest(flat), CONFIG)
    settings = {"model": "./random.safetensors", "data": "shop", "output_dir": "tuned",
                "preprocess": "squash@28", "val_share": 0.4, "epochs": 2, "batch_size": 8,
                "num_workers": 0, "device": "cpu", "lora_r": 4,
                "learning_rate": 0.01, "ema_decay": 0.2}  # fmt: skip
    path = tmp_path / "tune.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


@pytest.mark.torch
def test_what_was_tuned_is_searched_with_beside_the_base(dinoseek, asked, tmp_path):
    pytest.importorskip("peft")

    result = dinoseek("train", asked, "--json")

    assert result.code in (0, 3), result.err
    found = json.loads(result.out)
    assert found["after"]["map@r"] >= found["before"]["map@r"]
    for model in ("random.safetensors", "tuned"):
        indexed = dinoseek("index", "shop", "--gallery", "both.dino", "--model", model,
                           "--engine", "numpy", "--precision", "float32")  # fmt: skip
        assert indexed.code == 0, indexed.err
    info = json.loads(dinoseek("info", "both.dino", "--json").out)
    assert sorted(space["model"] for space in info["spaces"]) == ["random", "tuned"]
    query = next((tmp_path / "shop").rglob("*.JPG"))
    hits = dinoseek("search", query, "--gallery", "both.dino", "--model", "tuned", "--json")
    assert hits.code == 0, hits.err
    assert json.loads(hits.out)[0]["score"] == pytest.approx(1, abs=1e-3)


@pytest.mark.torch
def test_FT_07_what_the_base_indexed_is_not_searched_with_the_tuned_model(
    dinoseek, asked, tmp_path
):
    pytest.importorskip("peft")
    assert dinoseek("train", asked, "--set", "epochs=1").code in (0, 3)
    indexed = dinoseek("index", "shop", "--gallery", "base.dino", "--model", "random.safetensors",
                       "--preprocess", "squash@28", "--engine", "numpy")  # fmt: skip
    assert indexed.code == 0, indexed.err
    query = next((tmp_path / "shop").rglob("*.JPG"))

    refused = dinoseek("search", query, "--gallery", "base.dino", "--model", "tuned")

    assert refused.code == 5
    assert "tuned" in refused.err
    assert "random" in refused.err


def test_commands_are_listed_by_what_they_do(dinoseek):
    listed = " ".join(dinoseek("train", "--help").out.split())

    assert "merge Puts a LoRA adapter in peft's format into" in listed
    assert "Examples: dinoseek train merge" not in listed


def test_a_file_that_is_not_there_is_told_with_what_to_do(dinoseek, tmp_path):
    pytest.importorskip("peft")

    refused = dinoseek("train", "prepar")

    assert refused.code == 4
    assert "prepar: No such file or directory; name a YAML file" in refused.err


@pytest.mark.torch
def test_a_dry_run_says_what_would_be_done_and_does_nothing(dinoseek, asked, tmp_path):
    pytest.importorskip("peft")

    result = dinoseek("train", "run", asked, "--dry-run", "--set", "lora_target_modules=q,v")

    assert result.code == 0, result.err
    assert "lora_target_modules:\n- q\n- v\n" in result.out
    learnt = 2 * 2 * (4 * 32 + 32 * 4)  # blocks, q and v, A and B
    assert f"learnt parameters  {learnt:,}" in result.out
    assert [each.name for each in (tmp_path / "tuned").iterdir()] == ["first-batch.jpg"]


@pytest.mark.torch
def test_a_run_that_is_there_is_not_overwritten(dinoseek, asked):
    pytest.importorskip("peft")
    dinoseek("train", asked, "--set", "epochs=1")

    refused = dinoseek("train", asked)

    assert refused.code == 2
    assert "go on with --resume, begin anew with --force" in refused.err
    assert dinoseek("train", asked, "--resume", "--force").code == 2


@pytest.mark.torch
def test_a_run_that_learnt_nothing_says_so(dinoseek, asked):
    pytest.importorskip("peft")

    result = dinoseek("train", asked, "--set", "epochs=1", "--set", "learning_rate=1e-12")

    assert result.code == 3
    assert "nothing that was learnt did better, so the model is as it was" in result.err
    assert "held-out map@r" in result.out


@pytest.mark.torch
def test_an_adapter_is_merged_into_its_base(dinoseek, asked):
    pytest.importorskip("peft")
    dinoseek("train", asked, "--set", "epochs=1")

    done = dinoseek(
        "train", "merge", "tuned/adapter", "merged.safetensors", "--model", "./random.safetensors"
    )

    assert (done.code, done.out) == (0, "merged.safetensors\n")
    again = dinoseek(
        "train", "merge", "tuned/adapter", "merged.safetensors", "--model", "./random.safetensors"
    )
    assert again.code == 2
    assert "--force" in again.err


def test_lists_of_products_are_prepared(dinoseek, asked, tmp_path):
    done = dinoseek("train", "prepare", "sop", "--data", "shop", "--out", "lists")

    assert done.code == 0, done.err
    assert done.out == "lists/train.jsonl\nlists/val.jsonl\n"
    lines = (tmp_path / "lists/train.jsonl").read_text().splitlines()
    assert set(json.loads(lines[0])) == {"query_image", "positive", "label", "super_label"}


def test_hard_negatives_are_mined_with_any_embedder(dinoseek, asked, tmp_path):
    done = dinoseek("train", "mine", "shop", "mined.jsonl", "--model", "color-histogram",
                    "--count", "3", "--too-alike", "1")  # fmt: skip

    assert done.code == 0, done.err
    records = [json.loads(line) for line in (tmp_path / "mined.jsonl").read_text().splitlines()]
    labels = {record["query_image"]: record["label"] for record in records}
    assert all(len(record["negatives"]) == 3 for record in records)
    assert all(
        labels[name] != record["label"] for record in records for name in record["negatives"]
    )


def test_a_key_that_there_is_not_is_refused(dinoseek, asked):
    refused = dinoseek("train", asked, "--set", "learning_rat=1")

    assert refused.code == 2
    assert "did you mean learning_rate?" in refused.err


def test_without_peft_it_says_what_to_install(dinoseek, asked, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "peft" else True)

    refused = dinoseek("train", asked)

    assert refused.code == 2
    assert "pip install 'dinoseek[train]'" in refused.err


SMALL = ("--embed-dim", 32, "--depth", 1, "--num-heads", 2, "--size", 28, "--views", 1,
         "--epochs", 2, "--batch-size", 16, "--num-workers", 0, "--device", "cpu")  # fmt: skip
TEACHER = ("--model", "color-histogram", "--preprocess", "squash@28")


@pytest.mark.torch
def test_a_distilled_model_is_searched_with(dinoseek, asked, tmp_path):
    pytest.importorskip("peft")
    (tmp_path / "shop/broken.jpg").write_bytes(b"no picture")

    done = dinoseek("train", "distill", "shop", "--out", "small", *SMALL, *TEACHER)

    assert done.code == 0, done.err
    assert "left out 1 that cannot be read (broken.jpg: " in done.err
    assert "teacher color-histogram, squash@28" in done.err
    assert "epoch 2 " in done.err
    assert done.out.splitlines()[-1] == "use it      --model ./small"  # small is dinov2-small
    indexed = dinoseek("index", "shop", "--gallery", "g.dino", "--model", "./small")
    assert indexed.code == 3, indexed.err  # the broken one
    assert dinoseek("info", "g.dino", "--json").json["spaces"][0]["preprocess"] == "squash@28"


@pytest.mark.torch
def test_distilling_says_what_came_of_it_as_json(dinoseek, asked):
    pytest.importorskip("peft")

    done = dinoseek("train", "distill", "shop", "--out", "small", *SMALL, *TEACHER, "--json", "-q")

    assert done.err == ""
    assert done.json.keys() == {"folder", "parameters", "by_chance", "agreement", "cosine"}
    again = dinoseek("train", "distill", "shop", "--out", "small", *SMALL, *TEACHER)
    assert again.code == 2
    assert "--force" in again.err


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--num-heads", 5), "--num-heads: is 5"),
        (("--size", 100), "--size: is 100, expected a multiple of 14"),
        (("--resume", "--force"), "only one at a time"),
    ],
)
@pytest.mark.torch
def test_distilling_with_what_makes_no_sense_is_refused(dinoseek, asked, flags, told):
    pytest.importorskip("peft")

    refused = dinoseek("train", "distill", "shop", "--out", "small", *TEACHER, *flags)

    assert refused.code == 2
    assert told in refused.err
