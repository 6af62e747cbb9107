"""Images to embeddings: order, batching, fingerprints, and the real model on real photographs."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from dinoseek.embedder import Embedder, Fingerprint, load_embedder
from dinoseek.errors import ImageError, MachineError, UsageError
from dinoseek.images.preprocess import find_preset
from dinoseek.weights.save import save_params

from .vit.tiny import tiny_config, tiny_params


@pytest.fixture(scope="module")
def tiny_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_params(path, tiny_params(tiny_config()), tiny_config())
    return path


def picture(seed, size=(60, 45)):
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


@pytest.mark.parametrize("pooling", ["cls", "mean", "gem", "cls+mean"])
def test_embeddings_have_unit_length_and_the_stated_dimension(tiny_file, pooling, tmp_path):
    embedder = load_embedder(tiny_file, pooling=pooling, cache_dir=tmp_path)

    vectors = embedder.embed([picture(0), picture(1)])

    assert vectors.shape == (2, embedder.dim)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)


def test_pictures_of_many_sizes_come_back_in_order(tiny_file, tmp_path):
    embedder = load_embedder(tiny_file, preprocess="short-side", cache_dir=tmp_path)
    pictures = [picture(i, size=(40 + 37 * (i % 5), 50)) for i in range(40)]

    together = embedder.embed(pictures)

    alone = np.concatenate([embedder.embed([one]) for one in pictures])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_a_path_its_bytes_an_image_and_an_array_are_the_same_picture(tmp_path):
    embedder = load_embedder("color-histogram")
    picture(3).save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()

    vectors = embedder.embed(
        [tmp_path / "a.png", str(tmp_path / "a.png"), data, picture(3), np.asarray(picture(3))]
    )

    assert (vectors == vectors[0]).all()


def test_embedding_nothing_gives_no_rows():
    embedder = load_embedder("color-histogram")

    assert embedder.embed([]).shape == (0, embedder.dim)


def test_the_first_unreadable_picture_is_named(tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"not a picture")

    with pytest.raises(ImageError, match=r"broken\.jpg"):
        load_embedder("color-histogram").embed([picture(0), tmp_path / "broken.jpg"])


def test_stream_batches_equal_sizes_and_loses_none():
    sizes = []

    def features(prepared):
        sizes.append({image.shape for image in prepared})
        return np.float32([[image[0, 0, 0] + 1, 1] for image in prepared])

    fingerprint = load_embedder("color-histogram").fingerprint
    embedder = Embedder(features, find_preset("official"), dataclasses.replace(fingerprint, dim=2))
    images = [np.full((14, 14 * (1 + i % 3), 3), i, np.uint8) for i in range(100)]

    found = dict(embedder.stream(enumerate(images), batch_size=8))

    assert sorted(found) == list(range(100))
    assert all(len(batch) == 1 for batch in sizes)
    ratios = [vector[0] / vector[1] for _, vector in sorted(found.items())]
    np.testing.assert_allclose(ratios, np.arange(100) + 1, rtol=1e-5)


def test_stream_holds_no_more_than_a_few_batches_back():
    taken = []

    def endless():
        for i in range(10_000):
            taken.append(i)
            yield i, np.zeros((14, 14 * (1 + i % 50), 3), np.uint8)

    embedder = load_embedder("color-histogram")

    next(iter(embedder.stream(endless(), batch_size=4)))

    assert len(taken) <= 16


def fingerprint(**changes):
    base = {
        "model": "a",
        "weights": "0" * 64,
        "preprocess": "official",
        "pooling": "cls",
        "pos_flavour": "hub",
        "dim": 8,
    }
    return Fingerprint(**{**base, **changes})


@pytest.mark.parametrize(
    "change",
    [
        {"weights": "1" * 64},
        {"preprocess": "hf"},
        {"pooling": "mean"},
        {"pos_flavour": "hf"},
        {"precision": "bfloat16"},
        {"dim": 9},
    ],
)
def test_whatever_changes_a_vector_changes_the_fingerprint(change):
    assert fingerprint(**change).id != fingerprint().id


def test_another_name_for_the_same_weights_is_the_same_space():
    assert fingerprint(model="b").id == fingerprint().id


def test_a_fingerprint_survives_json():
    assert Fingerprint.from_json(fingerprint().to_json()) == fingerprint()
    assert json.loads(fingerprint().to_json())["pooling"] == "cls"


def test_the_same_weights_in_another_file_have_the_same_fingerprint(tiny_file, tmp_path):
    params = tiny_params(tiny_config())
    save_params(tmp_path / "again.npz", params, tiny_config())

    first = load_embedder(tiny_file, cache_dir=tmp_path).fingerprint
    second = load_embedder(tmp_path / "again.npz", cache_dir=tmp_path).fingerprint

    assert first.id == second.id
    assert (first.model, second.model) == ("tiny", "again")


def test_another_number_of_heads_is_another_model(tiny_file, tmp_path):
    more = tiny_config(num_heads=4)
    save_params(tmp_path / "more.safetensors", tiny_params(tiny_config()), more)

    first = load_embedder(tiny_file, cache_dir=tmp_path).fingerprint
    second = load_embedder(tmp_path / "more.safetensors", cache_dir=tmp_path).fingerprint

    assert first.id != second.id


def test_the_position_flavour_can_be_chosen_and_counts(tiny_file, tmp_path):
    hub = load_embedder(tiny_file, cache_dir=tmp_path)
    hf = load_embedder(tiny_file, pos_flavour="hf", cache_dir=tmp_path)

    assert hub.fingerprint.id != hf.fingerprint.id
    assert np.abs(hub.embed([picture(0)]) - hf.embed([picture(0)])).max() > 1e-6


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"preprocess": "offical"}, "official"),
        ({"pooling": "max"}, "cls"),
        ({"engine": "abacus"}, "numpy"),
        ({"model": "dinov2-smal"}, "dinov2-small"),
    ],
)
def test_an_unknown_name_is_answered_with_a_known_one(arguments, words):
    with pytest.raises(UsageError, match=words):
        load_embedder(**{"model": "dinov2-small", **arguments})


def test_missing_weights_say_what_works_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))

    with pytest.raises(MachineError, match="color-histogram"):
        load_embedder("dinov2-giant", models_dir=tmp_path)


@pytest.mark.weights
def test_cls_of_the_128_photographs_equals_the_official_code(shared):
    golden = np.load(shared / "golden/coco128-dav2-vits14-cls-224.npz")
    expected = golden["cls"]
    embedder = load_embedder(
        shared / "weights/dav2-vits14-fp16.safetensors", preprocess="official-faithful"
    )
    prepared = [embedder.open(shared / "data/coco128/images" / name) for name in golden["names"]]

    found = np.concatenate([embedder.features(prepared[i : i + 16]) for i in range(0, 128, 16)])

    error = np.abs(found - expected).max()
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
    assert error <= 5e-5, error
    assert ((found.astype(np.float64) * expected).sum(axis=1) / lengths).min() >= 0.999999
