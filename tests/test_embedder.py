"""Images to embeddings: order, batching, fingerprints, and the real model on real photographs."""

import dataclasses
import hashlib
import json

import numpy as np
import pytest
from PIL import Image

from dinoseek.embedder import Embedder, Fingerprint, load_embedder
from dinoseek.encoders.factory import load_encoder
from dinoseek.errors import ImageError, MachineError, UsageError
from dinoseek.images.preprocess import find_preset, to_pixels
from dinoseek.pca import fit_pca
from dinoseek.vit.model import facet
from dinoseek.vlad import Vocabulary, load_vocabulary, vlad
from dinoseek.weights.fitted import save_fitted
from dinoseek.weights.save import save_params

from .encoders.fake import install
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

    with pytest.raises(MachineError, match="dinoseek-tiny"):
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


# options that came later


def test_the_ids_of_spaces_that_use_no_later_option_stay_what_they_were():
    """What galleries on disk say; computed by the code before there were such options."""
    usual = Fingerprint(
        model="dinov2-small",
        weights="0" * 64,
        preprocess="official",
        pooling="cls",
        pos_flavour="hub",
        dim=384,
    )
    content = {
        "dim": 384,
        "pooling": "cls",
        "pos_flavour": "hub",
        "precision": "float32",
        "preprocess": "official",
        "weights": "0" * 64,
    }
    by_hand = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    assert usual.id == by_hand == "f202d53eee5714fd"
    assert json.loads(usual.to_json()) == {"model": "dinov2-small", **content}
    assert Fingerprint.from_json(json.dumps({"model": "m", **content})).id == by_hand


def test_the_built_in_embedder_keeps_its_space():
    assert load_embedder("color-histogram").fingerprint.id == "b2ab9a66ccf7f0e3"


@pytest.mark.parametrize("change", [{"scales": "0.5,1"}, {"vocabulary": "a"}, {"projection": "b"}])
def test_a_later_option_that_is_used_changes_the_fingerprint(change):
    assert fingerprint(**change).id != fingerprint().id
    assert Fingerprint.from_json(fingerprint(**change).to_json()) == fingerprint(**change)


def test_what_is_used_is_described():
    made = fingerprint(scales="0.5,1", projection="1234567890")

    assert made.describe() == "a, official, cls, scales 0.5,1, projection 12345678"


@pytest.mark.parametrize("pooling", ["cls", "mean+gem"])
def test_a_vector_over_scales_is_the_mean_of_unit_vectors(tiny_file, tmp_path, pooling):
    options = {"preprocess": "squash@70", "pooling": pooling, "cache_dir": tmp_path}
    embedder = load_embedder(tiny_file, scales=[1, 2, 0.6], **options)
    single = load_embedder(tiny_file, **{**options, "preprocess": "squash@140"})

    found = embedder.embed([picture(0), picture(1)])

    for row, image in zip(found, (picture(0), picture(1)), strict=True):
        large = single.open(image)
        parts = []
        for side in (42, 70, 140):
            small = Image.fromarray(large).resize((side, side), Image.Resampling.BICUBIC)
            parts.append(single.vectors([np.asarray(small)])[0])
        mean = np.mean(parts, axis=0)
        np.testing.assert_allclose(row, mean / np.linalg.norm(mean), atol=1e-5)
    assert embedder.fingerprint.scales == "0.6,1,2"
    assert embedder.fingerprint.preprocess == "squash@70"


def test_one_usual_scale_is_the_same_space(tiny_file, tmp_path):
    plain = load_embedder(tiny_file, cache_dir=tmp_path)

    assert (
        load_embedder(tiny_file, scales=[1.0], cache_dir=tmp_path).fingerprint == plain.fingerprint
    )


def test_the_built_in_embedder_has_one_scale():
    with pytest.raises(UsageError, match="one scale only"):
        load_embedder("color-histogram", scales=[1, 2])


@pytest.fixture
def vocabulary_file(tiny_file, tmp_path):
    """A vocabulary of three centres for block 0 of the tiny model."""
    weights = load_embedder(tiny_file, cache_dir=tmp_path).fingerprint.weights
    centres = np.random.default_rng(0).standard_normal((3, 16)).astype(np.float32)
    words = Vocabulary(centres=centres, block=0, weights=weights)
    save_fitted(tmp_path / "v.safetensors", words.fitted)
    return tmp_path / "v.safetensors"


def test_vlad_describes_the_values_of_a_block(tiny_file, tmp_path, vocabulary_file):
    options = {"preprocess": "squash@70", "cache_dir": tmp_path}
    embedder = load_embedder(tiny_file, pooling="vlad+cls", vocabulary=vocabulary_file, **options)
    pixels = to_pixels([embedder.open(picture(0))])
    params, config = tiny_params(tiny_config()), tiny_config()
    values = facet(pixels, params, config, block=0).patches

    found = embedder.embed([picture(0)])[0]

    words = vlad(values, load_vocabulary(vocabulary_file, tmp_path))[0]
    cls = load_embedder(tiny_file, **options).embed([picture(0)])[0]
    np.testing.assert_allclose(found, np.concatenate([words, cls]) / 2**0.5, atol=1e-4)
    assert embedder.dim == 3 * 16 + 16
    assert len(embedder.fingerprint.vocabulary) == 64


def test_a_vocabulary_of_another_model_or_in_vain_is_refused(tiny_file, tmp_path, vocabulary_file):
    other = tmp_path / "other.safetensors"
    save_params(other, tiny_params(tiny_config(), seed=1), tiny_config())

    with pytest.raises(UsageError, match="fitted on another model"):
        load_embedder(other, pooling="vlad", vocabulary=vocabulary_file, cache_dir=tmp_path)
    with pytest.raises(UsageError, match="add --pooling vlad"):
        load_embedder(tiny_file, vocabulary=vocabulary_file, cache_dir=tmp_path)
    with pytest.raises(UsageError, match="dinoseek fit vlad"):
        load_embedder(tiny_file, pooling="vlad", cache_dir=tmp_path)


@pytest.mark.parametrize("whiten", [False, True])
def test_vectors_go_through_a_projection_and_are_of_unit_length(tmp_path, whiten):
    plain = load_embedder("color-histogram")
    vectors = plain.embed([picture(seed) for seed in range(12)])
    pca = fit_pca(vectors, 4, whiten=whiten, space=plain.fingerprint.id)
    save_fitted(tmp_path / "p.safetensors", pca.fitted)

    embedder = load_embedder(
        "color-histogram", projection=tmp_path / "p.safetensors", cache_dir=tmp_path
    )
    found = embedder.embed([picture(3)])[0]

    expected = pca.components @ (vectors[3] - vectors.mean(axis=0))
    expected = expected / np.sqrt(pca.variances) if whiten else expected
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected), atol=1e-4)
    assert embedder.dim == 4
    assert embedder.fingerprint.id != plain.fingerprint.id


def test_a_projection_of_another_space_is_refused(tiny_file, tmp_path):
    pca = fit_pca(
        np.random.default_rng(0).standard_normal((30, 16)).astype(np.float32), 4, space="other"
    )
    save_fitted(tmp_path / "p.safetensors", pca.fitted)

    with pytest.raises(UsageError, match="fitted on vectors of other") as found:
        load_embedder(tiny_file, projection=tmp_path / "p.safetensors", cache_dir=tmp_path)
    assert found.value.code == "projection.space"


def test_patches_come_from_models_only(tiny_file, tmp_path):
    embedder = load_embedder(tiny_file, preprocess="squash@70", cache_dir=tmp_path)
    prepared = embedder.open(picture(0))
    tokens = load_encoder(tiny_file)(to_pixels([prepared])).patches[0]

    found = embedder.patches(prepared)

    np.testing.assert_allclose(
        found.vectors, tokens / np.linalg.norm(tokens, axis=1, keepdims=True), atol=1e-5
    )
    with pytest.raises(UsageError, match="no patches") as error:
        load_embedder("color-histogram").patches(prepared)
    assert error.value.code == "embedder.no_patches"


FAST = [("openvino", "bfloat16", 1.0), ("openvino", "float32", 2.0), ("numpy", "float32", 3.0)]


def test_scripts_get_float32_from_the_fastest_engine_whatever_else_is_quicker(
    tiny_file, tmp_path, monkeypatch
):
    plain = load_embedder(tiny_file, cache_dir=tmp_path)
    install(monkeypatch, "openvino", speeds=FAST)

    fast = load_embedder(tiny_file, cache_dir=tmp_path)

    assert (plain.engine, fast.engine) == ("numpy", "openvino")
    assert fast.fingerprint == plain.fingerprint
    np.testing.assert_allclose(fast.embed([picture(0)]), plain.embed([picture(0)]), atol=1e-5)


def test_a_coarser_precision_is_part_of_the_fingerprint_and_of_nothing_else(
    tiny_file, tmp_path, monkeypatch
):
    install(monkeypatch, "openvino", speeds=FAST)
    exact, coarse = (
        load_embedder(tiny_file, precision=each, cache_dir=tmp_path).fingerprint
        for each in ("fp32", "auto")
    )
    assert coarse == dataclasses.replace(exact, precision="bfloat16")
    assert (coarse.id != exact.id, coarse.family == exact.family) == (True, True)
    assert coarse.describe() == exact.describe() + ", bfloat16"
    assert Fingerprint.from_json(coarse.to_json()) == coarse


def test_auto_keeps_to_the_first_space_that_differs_in_nothing_else(
    tiny_file, tmp_path, monkeypatch
):
    install(monkeypatch, "openvino", speeds=FAST)
    made = load_embedder(tiny_file, cache_dir=tmp_path).fingerprint
    other = dataclasses.replace(made, preprocess="hf", precision="int8")

    def kept(*spaces, **options):
        options = {"precision": "auto", "cache_dir": tmp_path, "spaces": spaces, **options}
        return load_embedder(tiny_file, **options).fingerprint.precision

    assert kept(other, made, made.in_precision("bfloat16")) == "float32"
    assert kept(other, made.in_precision("bfloat16"), made) == "bfloat16"
    assert kept(other) == "bfloat16"
    assert kept(made, precision="bf16") == "bfloat16"
    assert kept(made.in_precision("bfloat16"), expect="few") == "float32"  # a query
    assert kept(made.in_precision("bfloat16"), expect="few", engine="openvino") == "bfloat16"


@pytest.mark.parametrize("options", [{"engine": "abacus"}, {"precision": "fp8"}])
def test_the_built_in_model_refuses_unknown_names_too(options):
    with pytest.raises(UsageError, match="no such"):
        load_embedder("color-histogram", **options)
