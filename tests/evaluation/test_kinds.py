"""Several kinds of vectors from one pass are those that each kind's own embedder makes."""

import numpy as np
import pytest
from PIL import Image

from dinoseek.embedder import load_embedder
from dinoseek.errors import ImageError
from dinoseek.evaluation import kinds
from dinoseek.evaluation.kinds import kinds_of
from dinoseek.evaluation.parts import joint_of, taken
from dinoseek.evaluation.vectors import Made
from dinoseek.weights.save import save_params

from ..vit.tiny import tiny_config, tiny_params

POOLINGS = ("cls", "mean", "gem", "cls+mean")
SCALES = ((1.0,), (0.5, 1.0), (1.0, 1.5))


@pytest.fixture
def tiny_file(tmp_path):
    path = tmp_path / "tiny.safetensors"
    save_params(path, tiny_params(tiny_config()), tiny_config())
    return path


@pytest.fixture
def files(tmp_path):
    for i in range(5):
        pixels = np.random.default_rng(i).integers(0, 256, (40 + 9 * i, 60, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    return [(i, tmp_path / f"{i}.png") for i in range(5)]


def test_each_kind_equals_the_embedder_with_that_pooling_and_scales(tiny_file, files):
    made_with = {"preprocess": "short-side@56"}
    embedder = load_embedder(tiny_file, pooling=joint_of(POOLINGS), **made_with)
    found = kinds_of(embedder, POOLINGS, SCALES, files)
    pairs = [(pooling, scales) for pooling in POOLINGS for scales in SCALES]
    assert len(found) == len(pairs)
    for each, (pooling, scales) in zip(found, pairs, strict=True):
        own = load_embedder(tiny_file, pooling=pooling, scales=scales, **made_with)
        expected = own.embed([path for _, path in files])
        np.testing.assert_allclose(each.vectors.matrix, expected, atol=1e-5)
        assert each.vectors.made == Made.of(own.fingerprint)
        assert each.image_ms > 0


def test_all_poolings_share_the_passes_of_the_model(tiny_file, files, monkeypatch):
    embedder = load_embedder(tiny_file, pooling=joint_of(POOLINGS), preprocess="squash@28")
    monkeypatch.setattr(kinds, "_milliseconds", lambda *_: None)
    images, encode = [], embedder._features

    def counting(prepared):
        images.append(len(prepared))
        return encode(prepared)

    monkeypatch.setattr(embedder, "_features", counting)
    kinds_of(embedder, POOLINGS, ((1.0,), (0.5, 1.0)), files)
    assert sum(images) == 2 * len(files)  # once at each scale


def test_an_embedder_without_poolings_has_one_kind(files):
    embedder = load_embedder("color-histogram")
    (found,) = kinds_of(embedder, ("",), ((1.0,),), files)
    expected = embedder.embed([path for _, path in files])
    np.testing.assert_allclose(found.vectors.matrix, expected, atol=1e-6)
    assert found.vectors.made.name == "squash@224/none/1"


def test_what_cannot_be_read_is_missing_in_every_kind(tiny_file, files):
    files[0][1].write_bytes(b"no image")
    embedder = load_embedder(tiny_file, pooling="cls+mean", preprocess="squash@28")
    for each in kinds_of(embedder, ("cls", "mean"), ((1.0,),), files):
        assert each.vectors.missing.tolist() == [True, False, False, False, False]
        assert isinstance(each.vectors.failures[0], ImageError)
        assert each.image_ms > 0


def test_the_joint_pooling_has_each_part_once():
    assert joint_of(["cls", "cls+mean", "gem+cls"]) == "cls+mean+gem"


def test_parts_are_taken_in_the_order_that_is_asked_for():
    joint = np.array([[0.6, 0, 0, 0.3]], np.float32)
    np.testing.assert_allclose(taken(joint, "cls+mean", "mean"), [[0, 1]])
    expected = np.array([[0, 0.3, 0.6, 0]]) / np.sqrt(0.45)
    np.testing.assert_allclose(taken(joint, "cls+mean", "mean+cls"), expected, rtol=1e-6)
