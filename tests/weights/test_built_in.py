"""The model that comes with dinoseek: what it is, and that it sees more than colours."""

import hashlib

import numpy as np
import pytest
from PIL import Image

from dinoseek.embedder import load_embedder
from dinoseek.products.folder import photograph
from dinoseek.products.order import Order
from dinoseek.report.demo_gallery import draw_gallery
from dinoseek.vit.model import forward
from dinoseek.weights.hub import built_in_weights, model_name, resolve
from dinoseek.weights.load import load_params, summarise


def nearest(vectors):
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -1)
    return cosines.argmax(axis=1)


def share_right(model, pictures, labels):
    labels = np.array(labels)
    vectors = load_embedder(model, engine="numpy").embed(pictures)
    return (labels[nearest(vectors)] == labels).mean()


def test_it_is_small_and_needs_no_folder_of_models(tmp_path):
    path = resolve("dinoseek-tiny", tmp_path / "nowhere")

    assert path == built_in_weights() == resolve("Dinoseek-Tiny")
    assert model_name("dinoseek-tiny") == "dinoseek-tiny"
    assert path.stat().st_size <= 6_000_000
    found = summarise(path)
    assert found.dtypes == ("F16",)
    assert found.config.patch_size == 14


def test_its_card_is_of_just_this_file():
    path = built_in_weights()

    card = path.with_suffix(".md").read_text("utf-8")

    assert hashlib.sha256(path.read_bytes()).hexdigest() in card
    for part in ("Data", "Recipe", "Figures", "Licence", "What it is not"):
        assert f"## {part}" in card


def test_galleries_know_what_made_them(tmp_path):
    made = load_embedder("dinoseek-tiny", engine="numpy").fingerprint

    assert (made.model, made.preprocess) == ("dinoseek-tiny", "official@168")
    assert made.weights.endswith("-5")  # heads are not 64 wide


def test_it_runs_at_any_size_as_any_dinov2_does():
    params, config = load_params(built_in_weights())
    pixels = np.random.default_rng(0).normal(size=(2, 3, 112, 224)).astype(np.float32)

    tokens = forward(pixels, params, config)

    assert tokens.cls.shape == (2, config.embed_dim)
    assert tokens.patches.shape == (2, 8 * 16, config.embed_dim)


def test_it_tells_products_apart_whose_colours_are_alike():
    order = Order(classes=24, size=96, seed=7)  # of no seed that it has learnt from
    pictures = [photograph(order, number=n, image=i) for n in range(24) for i in range(4)]
    labels = [n for n in range(24) for _ in range(4)]

    found = share_right("dinoseek-tiny", pictures, labels)

    assert found > 0.6
    assert found > share_right("color-histogram", pictures, labels) + 0.15


@pytest.mark.slow
def test_it_finds_the_families_of_the_demo(tmp_path):
    files = draw_gallery(tmp_path)
    families = [file.stem.rpartition("-")[0] for file in files]

    found = share_right("dinoseek-tiny", files, families)

    assert found > 0.9


@pytest.mark.torch
def test_pytorch_sees_the_same():
    torch = pytest.importorskip("torch")
    from dinoseek.encoders.torch_vit import TorchViT

    params, config = load_params(built_in_weights())
    pixels = np.random.default_rng(0).normal(size=(2, 3, 168, 168)).astype(np.float32)

    with torch.inference_mode():
        expected = TorchViT.of(params, config)(torch.from_numpy(pixels))

    np.testing.assert_allclose(forward(pixels, params, config).cls, expected.cls.numpy(), atol=5e-5)


def test_a_picture_and_its_mirror_image_are_almost_one():
    rng = np.random.default_rng(1)
    pixels = np.asarray(Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8)).resize((96, 96)))

    one, mirrored = load_embedder("dinoseek-tiny", engine="numpy").embed([pixels, pixels[:, ::-1]])

    assert one @ mirrored > 0.9
