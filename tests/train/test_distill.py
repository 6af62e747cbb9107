"""Distilling: its losses and figures by naive loops, and a run from beginning to end."""

# ruff: noqa: E402  (imports that need what may not be here)

import json
import math
import os

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
pytest.importorskip("peft")
pytest.importorskip("accelerate")

from dinoseek.embedder import load_embedder
from dinoseek.errors import DataError, MachineError, TrainingError, UsageError, WeightsError
from dinoseek.pooling import unit
from dinoseek.train.distill import learning, teacher
from dinoseek.train.distill.agreement import agreement, by_chance, nearest_of
from dinoseek.train.distill.config import DistillConfig
from dinoseek.train.distill.events import Compared, Distilled, LeftOut, Taught
from dinoseek.train.distill.loop import distill
from dinoseek.train.distill.losses import embedding_loss, structure_loss
from dinoseek.train.distill.pictures import parted, pictures_in
from dinoseek.train.distill.student import make_student
from dinoseek.train.distill.target import fit_target
from dinoseek.train.events import Started, Stepped
from dinoseek.train.log import read_log
from dinoseek.weights.load import load_params, summarise
from dinoseek.weights.naming import flatten

pytestmark = pytest.mark.torch

RNG = np.random.default_rng(0)


def embeddings(count, dim):
    return unit(RNG.normal(size=(count, dim)).astype(np.float32))


@pytest.fixture(scope="module")
def histogram():
    return load_embedder("color-histogram", preprocess="squash@28")


@pytest.fixture
def config_of(tmp_path):
    def make(**changes):
        quick = {"embed_dim": 32, "depth": 2, "num_heads": 2, "size": 28, "views": 2, "epochs": 2,
                 "batch_size": 32, "num_workers": 0, "device": "cpu", "ema_decay": 0.9,
                 "output_dir": tmp_path / "run"}  # fmt: skip
        return DistillConfig(**quick | changes)

    return make


def of(kind, events):
    return [each for each in events if isinstance(each, kind)]


def weights(folder):
    return flatten(load_params(folder / "model.safetensors")[0])


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[k], other[k]) for k in one)


def test_the_loss_of_embeddings_is_the_mean_of_one_minus_the_cosine():
    student, target = embeddings(6, 5), embeddings(6, 5)

    found = embedding_loss(torch.from_numpy(student), torch.from_numpy(target))

    expected = np.mean([1 - sum(a * b for a, b in zip(*pair, strict=True))
                        for pair in zip(student, target, strict=True)])  # fmt: skip
    assert found.item() == pytest.approx(expected, abs=1e-6)


def test_the_loss_of_structure_is_the_divergence_that_loops_give():
    student, target = embeddings(7, 5), embeddings(7, 5)

    found = structure_loss(torch.from_numpy(student), torch.from_numpy(target), 0.1)

    total = 0.0
    for i in range(7):
        others = [j for j in range(7) if j != i]
        wanted, got = ([math.exp(float(each[i] @ each[j]) / 0.1) for j in others]
                       for each in (target, student))  # fmt: skip
        shares = [(w / sum(wanted), g / sum(got)) for w, g in zip(wanted, got, strict=True)]
        total += sum(p * math.log(p / q) for p, q in shares)
    assert found.item() == pytest.approx(total / 7, rel=1e-4)


def test_nothing_is_lost_where_the_student_says_what_it_should():
    target = torch.from_numpy(embeddings(6, 5))

    assert embedding_loss(target, target).item() == pytest.approx(0, abs=1e-6)
    assert structure_loss(target, target, 0.05).item() == pytest.approx(0, abs=1e-6)


def test_gradients_of_the_losses_are_those_of_differences():
    student = torch.from_numpy(embeddings(5, 4)).double().requires_grad_()
    target = torch.from_numpy(embeddings(5, 4)).double()

    assert torch.autograd.gradcheck(lambda x: structure_loss(x, target, 0.3), student)
    assert torch.autograd.gradcheck(lambda x: embedding_loss(x, target), student)


def test_agreement_is_what_loops_over_all_pairs_find():
    student, taught = embeddings(130, 6), embeddings(130, 9)

    found = agreement(student, taught)

    shares = []
    for i in range(130):
        nearest = [
            set(sorted((j for j in range(130) if j != i), key=lambda j: -each[i] @ each[j])[:10])
            for each in (student, taught)
        ]
        shares.append(len(nearest[0] & nearest[1]) / 10)
    assert found == pytest.approx(np.mean(shares))
    assert agreement(taught, taught) == 1
    assert (nearest_of(130), nearest_of(30), nearest_of(10)) == (10, 3, 1)
    assert by_chance(101) == pytest.approx(0.1)


def test_the_target_keeps_cosines_of_what_is_not_common_to_all():
    features = unit(embeddings(200, 8) @ RNG.normal(size=(8, 20)).astype(np.float32) + 2)

    target = fit_target(features, 8).of(features)

    rest = unit(features - features.mean(axis=0))
    np.testing.assert_allclose(np.linalg.norm(target, axis=1), 1, atol=1e-5)
    assert abs(target @ target.T - rest @ rest.T).mean() < 0.02


def test_a_student_wider_than_its_teacher_has_zeros_in_its_target():
    features = embeddings(50, 3)

    target = fit_target(features, 8)

    rest = unit(features - features.mean(axis=0))
    found = target.of(features)
    assert found.shape == (50, 8)
    assert (found[:, 3:] == 0).all()
    np.testing.assert_allclose(found @ found.T, rest @ rest.T, atol=1e-5)


def test_a_teacher_that_sees_the_same_everywhere_teaches_nothing():
    with pytest.raises(UsageError, match="0 components"):
        fit_target(np.ones((50, 4), np.float32), 4)


def test_pictures_of_several_folders_come_once_each_and_a_part_is_held_out(products):
    found = pictures_in([products, products / "."])
    parts = parted(found, 0.1, seed=0)

    assert len(found.images) == len(list(products.rglob("*.JPG")))
    assert all(found.path(row).is_file() for row in range(len(found.images)))
    assert set(parts.train.images) | set(parts.held_out.images) == set(found.images)
    assert len(parts.held_out.images) == round(0.1 * len(found.images))
    assert parted(found, 0.1, seed=0) == parts


def test_few_pictures_are_refused(tmp_path, histogram, config_of):
    for number in range(19):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{number}.png")

    with pytest.raises(DataError, match="19 pictures can be read, and at least 20 are needed"):
        list(distill([tmp_path], histogram, config_of()))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"embed_dim": 33}, "--num-heads is 2|--num-heads: is 2"),
        ({"size": 30}, "--size: is 30, expected a multiple of 14"),
        ({"views": 0}, "--views"),
        ({"crop_area": (0.5, 0.2)}, "--crop-area"),
        ({"temperature": 0}, "--temperature"),
        ({"held_out": 1.0}, "--held-out"),
        ({"learning_rate": math.nan}, "--learning-rate"),
        ({"device": "tpu"}, "--device"),
        ({"warmup_ratio": 1.0}, "warm_up"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(config_of, change, named):
    with pytest.raises(UsageError, match=named):
        config_of(**change)


def test_a_teacher_that_sees_pictures_of_many_sizes_is_refused(products, config_of):
    ratio = load_embedder("color-histogram", preprocess="short-side@28")

    with pytest.raises(UsageError, match="short-side@28, whose pictures have different sizes"):
        list(distill([products], ratio, config_of()))


def test_the_student_has_the_shape_that_was_asked_for_and_its_own_beginning(config_of):
    student = make_student(config_of(), steps=3)
    again, other = make_student(config_of(), 3), make_student(config_of(seed=1), 3)

    assert student.model.vit.config == config_of().student
    values = [
        each.model.vit.state_dict()["blocks.1.mlp.fc1.weight"] for each in (student, again, other)
    ]
    assert torch.equal(values[0], values[1])
    assert not torch.equal(values[0], values[2])
    assert values[0].std().item() == pytest.approx(0.02, rel=0.1)
    assert (student.model.vit.state_dict()["blocks.0.ls1.gamma"] == 1).all()


def test_a_student_learns_what_its_teacher_finds(products, histogram, config_of):
    config = config_of(epochs=15, learning_rate=3e-3, batch_size=16, held_out=0.3)

    events = list(distill([products], histogram, config))

    (done,) = of(Distilled, events)
    assert done.figures["agreement"] > 3.5 * done.by_chance
    best = max(of(Compared, events), key=lambda each: each.agreement)
    assert done.figures == {"agreement": best.agreement, "cosine": best.cosine}
    losses = [each.loss for each in of(Stepped, events)]
    assert np.mean(losses[-20:]) < 0.9 * np.mean(losses[:20])
    (started,) = of(Started, events)
    assert started.steps == len(losses)


def test_what_comes_out_is_a_model_like_any_other(products, histogram, config_of):
    config = config_of()
    list(distill([products], histogram, config))

    embedder = load_embedder(config.output_dir, engine="numpy")

    assert embedder.preset.name == "squash@28"
    assert embedder.dim == 32
    found = summarise(config.output_dir / "model.safetensors")
    assert found.config == config.student
    assert found.dtypes == ("F16",)
    vectors = embedder.embed(sorted(products.rglob("*.JPG"))[:3])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    card = (config.output_dir / "README.md").read_text("utf-8")
    assert "color-histogram, squash@28" in card
    header = (config.output_dir / "log.csv").read_text("utf-8").splitlines()[0]
    assert header.endswith("agreement,cosine")


def test_a_run_that_was_stopped_ends_as_if_it_had_not_been(
    products, histogram, config_of, tmp_path, monkeypatch
):
    monkeypatch.setattr(learning, "_SAVED_EVERY", 2)
    whole, stopped = config_of(), config_of(output_dir=tmp_path / "stopped")
    list(distill([products], histogram, whole))

    stream = distill([products], histogram, stopped)
    for event in stream:
        if isinstance(event, Stepped) and event.step == 5:
            break
    stream.close()
    events = list(distill([products], histogram, stopped, resume=True))

    assert of(Started, events)[0].step == 4
    assert same(weights(whole.output_dir), weights(stopped.output_dir))
    logs = [
        [{k: v for k, v in line.items() if k != "images_per_second"} for line in read_log(each)]
        for each in (whole.output_dir, stopped.output_dir)
    ]
    assert logs[0] == logs[1]


def test_a_run_that_was_stopped_at_the_end_of_an_epoch_is_compared_when_it_goes_on(
    products, histogram, config_of, tmp_path, monkeypatch
):
    monkeypatch.setattr(learning, "_SAVED_EVERY", 1)
    whole, stopped = config_of(), config_of(output_dir=tmp_path / "stopped")
    list(distill([products], histogram, whole))

    stream = distill([products], histogram, stopped)
    next(event for event in stream if isinstance(event, Compared))
    stream.close()
    events = list(distill([products], histogram, stopped, resume=True))

    assert [each.epoch for each in of(Compared, events)] == [1, 2]
    assert same(weights(whole.output_dir), weights(stopped.output_dir))


def test_a_picture_that_became_another_is_shown_to_the_teacher_again(
    histogram, config_of, tmp_path
):
    rng = np.random.default_rng(0)
    for number in range(24):
        pixels = rng.integers(0, 256, (28, 28, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    config = config_of(epochs=1, batch_size=8)
    list(distill([tmp_path], histogram, config))
    for number in range(24):
        Image.new("RGB", (28, 28), (number, 0, 10 * number)).save(tmp_path / f"{number}.png")

    events = list(distill([tmp_path], histogram, config, force=True))

    assert of(Taught, events)[0].done == 0


def test_what_the_teacher_said_is_not_asked_for_again(products, histogram, config_of, monkeypatch):
    monkeypatch.setattr(teacher, "_PER_BATCH", 50)
    monkeypatch.setattr(teacher, "_FLUSHED_EVERY", 2)
    config = config_of()
    stream = distill([products], histogram, config)
    for event in stream:
        if isinstance(event, Taught) and event.done >= 150:
            break
    stream.close()

    again = of(Taught, distill([products], histogram, config))
    other = of(Taught, distill([products], histogram, config_of(seed=1), force=True))
    learnt_only = of(Taught, distill([products], histogram, config_of(seed=1, depth=1), force=True))

    assert again[0].done == 100  # what was on the disk
    assert other[0].done == 0  # views of another seed
    assert [each.done for each in learnt_only] == [other[-1].total]


def test_what_the_teacher_sees_is_the_view_that_the_student_learns_from(
    products, histogram, config_of
):
    config = config_of(epochs=1)
    list(distill([products], histogram, config))

    features = np.load(config.output_dir / "checkpoints/teacher.npy")

    train = parted(pictures_in([products]), config.held_out, config.seed).train
    for row, view in [(0, 0), (0, 1), (17, 1)]:
        rng = np.random.default_rng([config.seed, view, row])
        varied = config.augmentation(28).apply(Image.open(train.path(row)).convert("RGB"), rng)
        expected = histogram.vectors([varied])[0]
        np.testing.assert_allclose(features[row, view], expected, atol=1e-3)


def test_pictures_that_cannot_be_read_are_told_and_left_out(
    products, histogram, config_of, tmp_path
):
    (tmp_path / "more").mkdir()
    (tmp_path / "more/broken.jpg").write_bytes(b"no picture")

    events = list(distill([products, tmp_path / "more"], histogram, config_of(epochs=1)))

    (left_out,) = of(LeftOut, events)
    assert [name.endswith("more/broken.jpg") for name, _ in left_out.broken] == [True]
    assert of(Distilled, events)


def test_a_folder_with_a_run_is_kept_and_another_run_is_not_resumed(products, histogram, config_of):
    list(distill([products], histogram, config_of(epochs=1)))

    with pytest.raises(UsageError, match="has a run in it"):
        list(distill([products], histogram, config_of(epochs=1)))
    with pytest.raises(UsageError, match="another learning_rate"):
        list(distill([products], histogram, config_of(epochs=1, learning_rate=0.1), resume=True))


def test_a_loss_that_is_no_number_stops_it_and_the_best_is_kept(
    products, histogram, config_of, monkeypatch
):
    config = config_of(epochs=3)
    monkeypatch.setattr(learning, "embedding_loss", lambda a, b: (a - b).sum() * 0)
    stream = distill([products], histogram, config)
    for event in stream:
        if isinstance(event, Compared):
            monkeypatch.setattr(learning, "embedding_loss", lambda a, b: (a - b).sum() * math.nan)
            break

    with pytest.raises(TrainingError, match=r"is nan.*--force and a lower --learning-rate"):
        list(stream)
    assert (config.output_dir / "checkpoints/best.safetensors").exists()


def test_a_full_disk_is_told(products, histogram, config_of, monkeypatch):
    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np.lib.format, "open_memmap", full)

    with pytest.raises(MachineError, match="No space left on device"):
        list(distill([products], histogram, config_of()))


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="its space cannot be reserved")
def test_the_space_for_what_the_teacher_says_is_taken_before_it_is_asked(
    products, histogram, config_of, monkeypatch
):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)

    with pytest.raises(MachineError, match="No space left on device"):
        next(event for event in distill([products], histogram, config_of())
             if isinstance(event, Taught))  # fmt: skip


def test_a_record_that_is_no_json_costs_the_teachers_work_and_nothing_else(
    products, histogram, config_of
):
    config = config_of(epochs=1)
    list(distill([products], histogram, config))
    (config.output_dir / "checkpoints/teacher.json").write_text("{")

    events = list(distill([products], histogram, config, force=True))

    assert of(Taught, events)[0].done == 0
    record = json.loads((config.output_dir / "checkpoints/teacher.json").read_text())
    assert record["done"] == of(Taught, events)[-1].total


def test_a_damaged_best_is_told(products, histogram, config_of):
    config = config_of(epochs=1)
    stream = distill([products], histogram, config)
    for event in stream:
        if isinstance(event, Compared):
            (config.output_dir / "checkpoints/best.safetensors").write_bytes(b"damaged")

            break

    with pytest.raises(WeightsError, match="cannot be read"):
        list(stream)
