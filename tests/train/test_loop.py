"""A run from beginning to end: what it leaves, that it goes on, and that it cannot be fooled."""

# ruff: noqa: E402  (imports that need what may not be here)

import errno
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from PIL import Image

torch = pytest.importorskip("torch")
pytest.importorskip("peft")
pytest.importorskip("accelerate")

from dinoseek.embedder import load_embedder
from dinoseek.errors import (
    DataError,
    DinoseekError,
    MachineError,
    TrainingError,
    UsageError,
    WeightsError,
)
from dinoseek.train import checkpoint, folder
from dinoseek.train.adapter import merged, read_adapter
from dinoseek.train.config_file import load_config
from dinoseek.train.data.augment import Augmentation
from dinoseek.train.data.loader import Loader
from dinoseek.train.data.mining import alike_classes
from dinoseek.train.data.records import load_records, numbers_of
from dinoseek.train.data.sampler import Sampler
from dinoseek.train.events import Finished, Started, Stepped, Stopped, Validated
from dinoseek.train.learning import Learning
from dinoseek.train.log import read_log
from dinoseek.train.loop import load_material, train
from dinoseek.weights import save
from dinoseek.weights.load import load_params
from dinoseek.weights.naming import flatten

pytestmark = pytest.mark.torch

# gloo would ask for the machine's own name, which may be known nowhere
LOOPBACK = {"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {}


@pytest.fixture
def config_of(settings, tmp_path):
    def make(**changes):
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump({**settings, **changes}))
        return load_config(path)

    return make


def events_of(config, **options):
    return [event for event in train(config, **options) if type(event).__name__ != "Checked"]


def of(kind, events):
    return [event for event in events if isinstance(event, kind)]


def weights(path):
    return flatten(load_params(path)[0])


def same(first, second):
    return all(np.array_equal(value, second[name]) for name, value in first.items())


def test_a_run_leaves_a_model_that_is_used_like_any_other(config_of, products):
    config = config_of(hard_negatives=True, gradient_cache=8)

    events = events_of(config)

    run = config.output_dir
    (finished,) = of(Finished, events)
    steps = of(Stepped, events)
    assert [each.step for each in steps] == [*range(1, len(steps) + 1)]
    assert len(of(Validated, events)) == 3
    assert {each.name for each in run.iterdir()} >= {
        "model.safetensors", "adapter", "config.yaml", "log.jsonl", "log.csv", "report.html",
        "before.json", "after.json", "README.md",
    }  # fmt: skip
    assert load_config(run / "config.yaml") == config
    after = json.loads((run / "after.json").read_text())
    embedder = load_embedder(run, engine="numpy")
    assert embedder.fingerprint.preprocess == "squash@28"
    held_out = load_material(config).held_out
    vectors = embedder.embed([held_out.path(row) for row in range(len(held_out.images))])
    first = np.where(np.eye(len(vectors)), -2, vectors @ vectors.T).argmax(axis=1)
    labels = np.array(held_out.labels)
    counted = {name: np.sum(labels == name) for name in labels}
    asked = [row for row in range(len(labels)) if counted[labels[row]] > 1]
    recall = np.mean([labels[first[row]] == labels[row] for row in asked])
    assert recall == pytest.approx(finished.after["recall@1"], abs=0.03)
    assert after["queries"] == list(held_out.images)


def test_its_adapter_on_its_base_is_its_model(config_of, random_model):
    config = config_of(epochs=1)
    events_of(config)

    params, _ = load_params(random_model)
    again = flatten(merged(params, read_adapter(config.output_dir / "adapter"), "run"))

    for name, value in weights(config.output_dir / "model.safetensors").items():
        np.testing.assert_allclose(again[name], value, rtol=0, atol=1e-6)


@pytest.mark.parametrize("changes", [{}, {"hard_negatives": True, "loss": "ntxent+0.5*arcface"}])
def test_FT_02_a_run_that_was_stopped_ends_as_if_it_had_not_been(config_of, tmp_path, changes):
    usual = {"lora_dropout": 0.2, "save_steps": 2, "epochs": 2, **changes}
    whole = config_of(**usual)
    events_of(whole)
    parted = config_of(**usual, output_dir=str(tmp_path / "parted"))
    stream = train(parted)
    for event in stream:
        if isinstance(event, Stepped) and event.step == 3:
            break  # after the checkpoint of step 2
    stream.close()

    events = events_of(parted, resume=True)

    assert of(Started, events)[0].step == 2
    model = "model.safetensors"
    assert same(weights(whole.output_dir / model), weights(parted.output_dir / model))
    timeless = [
        [{k: v for k, v in line.items() if k != "images_per_second"} for line in read_log(each)]
        for each in (whole.output_dir, parted.output_dir)
    ]
    assert timeless[0] == timeless[1]


def test_the_same_run_twice_gives_the_same_model(config_of, tmp_path):
    first, second = config_of(epochs=1), config_of(epochs=1, output_dir=str(tmp_path / "second"))
    events_of(first)
    events_of(second)

    files = [each.output_dir / "model.safetensors" for each in (first, second)]
    assert same(weights(files[0]), weights(files[1]))


@pytest.mark.slow
def test_FT_02_killed_at_any_time_it_goes_on(config_of, tmp_path):
    config = config_of(save_steps=1, epochs=2)
    program = f"""
from pathlib import Path
from dinoseek.train.config_file import load_config
from dinoseek.train.loop import train
for _ in train(load_config(Path({str(tmp_path / "config.yaml")!r})), resume=True): pass
"""
    for seconds in (4.0, 4.5, 5.0):
        process = subprocess.Popen([sys.executable, "-c", program])
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()

    events_of(config, resume=True)

    whole = config_of(save_steps=1, epochs=2, output_dir=str(tmp_path / "whole"))
    events_of(whole)
    files = [each.output_dir / "model.safetensors" for each in (config, whole)]
    assert same(weights(files[0]), weights(files[1]))


@pytest.mark.parametrize("fails", ["save_file", "sync"])
def test_FT_02_a_disk_that_is_full_costs_no_checkpoint(tmp_path, monkeypatch, fails):
    saved = checkpoint.Saved(
        progress=checkpoint.Progress(step=1), made_from={}, numbers={}, tensors={"a": torch.ones(3)}
    )
    checkpoint.save(tmp_path, saved)
    checkpoint.save(tmp_path, replace(saved, progress=checkpoint.Progress(step=2)))

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint if fails == "save_file" else save, fails, full)
    with pytest.raises(MachineError, match="No space left on device"):
        checkpoint.save(tmp_path, replace(saved, progress=checkpoint.Progress(step=3)))

    assert checkpoint.load(tmp_path).progress.step == 2
    assert not [each for each in tmp_path.iterdir() if each.suffix == ".part"]


def test_FT_02_a_validation_that_comes_again_stands_in_the_log_once(config_of):
    config = config_of(epochs=2, save_steps=1)
    events_of(config)
    whole = read_log(config.output_dir)
    state = config.output_dir / folder.STATE
    saved = checkpoint.load(state)
    last = saved.progress.validations.pop()  # as if it had been killed before the last save
    saved.progress.best_step = saved.progress.validations[-1][0]
    checkpoint.save(state, saved)

    events_of(config, resume=True)

    again = read_log(config.output_dir)
    assert [line["step"] for line in again] == [line["step"] for line in whole]
    assert again[-1]["map_at_r"] == last[1]


@pytest.mark.parametrize("tracker", ["tensorboard", "wandb"])
def test_a_tracker_gets_what_the_log_gets(config_of, monkeypatch, tracker):
    told = []
    writer = SimpleNamespace(
        add_scalar=lambda name, value, step: told.append(
            (step, name.removeprefix("train/"), value)
        ),
        flush=lambda: None,
        log=lambda values, step: told.extend((step, *each) for each in values.items()),
    )
    fakes = {
        "torch.utils.tensorboard": SimpleNamespace(SummaryWriter=lambda *_: writer),
        "wandb": SimpleNamespace(init=lambda **_: writer),
    }
    for name, fake in fakes.items():
        monkeypatch.setitem(sys.modules, name, fake)
    config = config_of(epochs=1, report_to=[tracker])

    events_of(config)

    expected = [
        (line["step"], name, value)
        for line in read_log(config.output_dir)
        for name, value in line.items()
        if name not in ("step", "epoch")
    ]
    assert [each for each in told if each[1] != "epoch"] == expected


@pytest.mark.parametrize("tracker", ["tensorboard", "wandb"])
def test_a_tracker_that_is_not_here_is_told(config_of, monkeypatch, tracker):
    for name in ("torch.utils.tensorboard", "wandb"):
        monkeypatch.setitem(sys.modules, name, None)

    with pytest.raises(UsageError, match=rf"dinoseek\[{tracker}\]"):
        events_of(config_of(report_to=[tracker]))


def test_FT_03_a_damaged_checkpoint_costs_what_was_learnt_since_the_one_before(config_of, caplog):
    config = config_of(save_steps=1, epochs=1)
    events_of(config)
    path = config.output_dir / folder.STATE / checkpoint.NAME
    path.write_bytes(path.read_bytes()[:-200])

    events = events_of(config, resume=True)

    assert of(Started, events)[0].step > 0
    assert "the one before is taken" in caplog.text


def test_FT_03_without_a_checkpoint_that_can_be_read_it_does_not_begin_again(config_of):
    config = config_of(epochs=1)
    events_of(config)
    for name in (checkpoint.NAME, checkpoint.BEFORE):
        (config.output_dir / folder.STATE / name).write_bytes(b"nothing")

    with pytest.raises(WeightsError, match="no checkpoint can be read"):
        events_of(config, resume=True)


def test_FT_04_a_loss_that_is_no_number_stops_it_and_keeps_what_was_saved(config_of, monkeypatch):
    config = config_of(save_steps=2)
    backward = Learning._backward
    monkeypatch.setattr(
        Learning,
        "_backward",
        lambda self, batch: backward(self, batch) if self.run.progress.step < 3 else float("nan"),
    )

    with pytest.raises(TrainingError, match="the loss is nan in step 4") as found:
        events_of(config)

    assert (found.value.code, found.value.exit_code) == ("train.nan", 3)
    assert checkpoint.load(config.output_dir / folder.STATE).progress.step == 2


@pytest.mark.parametrize("changes", [{"lora_r": 8}, {"seed": 1}, {"val_share": 0.5}])
def test_FT_01_a_checkpoint_of_another_run_is_refused_by_name(config_of, changes):
    events_of(config_of(epochs=1))

    with pytest.raises(UsageError, match="the run has another") as found:
        events_of(config_of(epochs=1, **changes), resume=True)

    assert found.value.code == "train.resume"
    assert next(iter(changes)) in found.value.reason


def test_FT_01_a_checkpoint_of_other_weights_is_refused(config_of, random_model, tmp_path):
    events_of(config_of(epochs=1))
    other = tmp_path / "other.safetensors"
    from dinoseek.weights.save import save_params

    params, config = load_params(random_model)
    params["norm"]["bias"] = params["norm"]["bias"] + 1
    save_params(other, params, config)

    with pytest.raises(UsageError, match="another weights"):
        events_of(config_of(epochs=1, model=str(other)), resume=True)


def test_FT_08_a_folder_in_which_another_trains_is_refused(config_of):
    config = config_of()
    first = train(config)
    next(first)

    with pytest.raises(MachineError) as found:
        events_of(config)
    first.close()

    assert found.value.code == "gallery.locked"


def test_a_run_is_not_overwritten_unasked(config_of):
    config = config_of(epochs=1)
    events_of(config)

    with pytest.raises(UsageError, match="has a run in it"):
        events_of(config)
    assert of(Finished, events_of(config, force=True))


def test_a_folder_with_other_files_is_refused(config_of):
    config = config_of()
    config.output_dir.mkdir()
    (config.output_dir / "diary.txt").write_text("dear diary")

    with pytest.raises(UsageError, match=r"has other files in it \(diary"):
        events_of(config, force=True)


def test_it_stops_when_nothing_gets_better_and_keeps_the_best(config_of):
    config = config_of(epochs=9, patience=1, learning_rate=1.0, max_grad_norm=0)

    events = events_of(config)

    validated = of(Validated, events)
    assert of(Stopped, events)
    assert len(validated) < 10
    best = max(each.map_at_r for each in validated)
    assert of(Finished, events)[0].after["map@r"] == pytest.approx(best, abs=1e-6)


def test_broken_images_are_refused_before_it_learns(config_of, products, tmp_path):
    shop = tmp_path / "shop"
    for label in ("a", "b", "c", "d", "e", "f"):
        (shop / label).mkdir(parents=True)
        for number, file in enumerate(sorted(products.rglob("*.JPG"))[:3]):
            (shop / label / f"{number}.jpg").write_bytes(file.read_bytes())
    for label in "abcdef":  # held out or not
        (shop / label / "1.jpg").write_bytes(b"no picture")
    events = []

    with pytest.raises(DataError) as found:
        events.extend(train(config_of(data=str(shop), batch_size=8)))

    assert [event.total for event in events] == [18] * 18
    assert found.value.code == "train.data.broken"
    assert str(found.value).startswith("6 of 18 images: cannot be read")
    assert all(f"{label}/1.jpg" in str(found.value) for label in "abcdef")


def test_an_image_that_breaks_while_it_learns_is_named(tmp_path):
    for label in "ab":
        (tmp_path / label).mkdir()
        for number in range(2):
            Image.new("RGB", (8, 8)).save(tmp_path / label / f"{number}.png")
    records = load_records(tmp_path)
    (tmp_path / "b/1.png").write_bytes(b"no picture any more")
    sampler = Sampler(labels=records.labels, classes_per_batch=2, images_per_class=2)
    loader = Loader(records, sampler, Augmentation(size=14), seed=0)

    with pytest.raises(DataError, match=r"b/1\.png: .* --resume"):
        list(loader.epoch(0))


def test_workers_read_the_same_batches(products):
    """In a process of its own, since PyTorch watches over the children of one that had workers."""
    program = f"""
from pathlib import Path
import torch
from dinoseek.train.data.augment import Augmentation
from dinoseek.train.data.loader import Loader
from dinoseek.train.data.records import load_records, numbers_of
from dinoseek.train.data.sampler import Sampler
records = load_records(Path({str(products)!r}))
sampler = Sampler(labels=records.labels, classes_per_batch=20, images_per_class=3)
alone, loader = (Loader(records, sampler, Augmentation(size=14), seed=3, workers=n) for n in (0, 2))
for epoch in range(2):
    for one, other in zip(alone.epoch(epoch), loader.epoch(epoch), strict=True):
        assert one.pictures.shape == (60, 14, 14, 3)
        assert torch.equal(one.pictures, other.pictures)
        assert torch.equal(one.labels, other.labels)
(last,) = loader.epoch(1, skip=len(sampler) - 1)
assert torch.equal(last.pictures, other.pictures)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr[-2000:]


def test_images_to_choose_by_must_not_be_learnt(config_of, products):
    with pytest.raises(DataError, match=r"are in .* too"):
        events_of(config_of(val_data=str(products)))


def test_a_head_is_part_of_what_is_searched_with(config_of):
    config = config_of(epochs=1, projection_dim=8, matryoshka_dims=[4])

    events_of(config)

    embedder = load_embedder(config.output_dir, engine="numpy")
    material = load_material(config).held_out
    assert embedder.dim == 8
    assert embedder.embed([material.path(0)]).shape == (1, 8)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"batch_size": 512}, "classes with two images or more"),
        ({"preprocess": "short-side@56"}, "different sizes"),
        ({"device": "tpu"}, "expected auto, cpu, cuda or mps"),
        ({"loss": "infonce"}, "must be 2 for infonce"),
        ({"loss": "triplet", "temperature": 1.0}, "is no option of triplet"),
        ({"loss": "centre"}, "there is no such loss"),
    ],
)
def test_FT_06_what_does_not_fit_the_data_is_refused(config_of, changes, told):
    with pytest.raises(DinoseekError, match=told):
        events_of(config_of(**changes))


def test_classes_that_are_taken_for_each_other_become_one_kind():
    angles = np.array([0.0, 0.4, 0.25, 0.65, 2.0, 2.4, 2.25, 2.65])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    labels = list("aabbccdd")

    kinds = numbers_of(alike_classes(vectors, labels, most=2, count=2))

    assert kinds.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]


@pytest.mark.skipif(os.name != "posix", reason="gloo")
def test_two_processes_learn_what_one_learns_with_the_whole_batch(config_of, tmp_path):
    """Nothing is varied, so that both see the same pictures: only gathering can differ."""
    same_pictures = {"crop_area": [1, 1], "crop_ratio": 1, "flip": 0, "brightness": 0,
                     "contrast": 0, "erasing": 0, "epochs": 1}  # fmt: skip
    one = config_of(**same_pictures, batch_size=16, output_dir=str(tmp_path / "one"))
    events_of(one)
    two = config_of(**same_pictures, batch_size=8, report_to=[])
    file = tmp_path / "both.py"
    file.write_text(f"""
from pathlib import Path
from dinoseek.train.config_file import load_config
from dinoseek.train.loop import train
for _ in train(load_config(Path({str(tmp_path / "config.yaml")!r}))): pass
""")
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2",
               "--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0", str(file)]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **LOOPBACK}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    assert done.returncode == 0, done.stderr[-3000:]
    losses = [
        [line["loss"] for line in read_log(each.output_dir) if "loss" in line]
        for each in (one, two)
    ]
    assert len(losses[0]) > 1
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-4)
