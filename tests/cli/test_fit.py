"""`dinoseek fit`, and galleries made with what it wrote."""

import os

import numpy as np
import pytest

from dinoseek.pca import load_pca
from dinoseek.vlad import load_vocabulary
from dinoseek.weights.save import save_params

from ..vit.tiny import tiny_config, tiny_params


@pytest.fixture
def tiny(tmp_path):
    save_params(tmp_path / "tiny.safetensors", tiny_params(tiny_config()), tiny_config())
    os.utime(tmp_path / "tiny.safetensors", (1, 1))  # so old that its digest is remembered
    return tmp_path / "tiny.safetensors"


def test_a_pca_of_a_gallery_makes_shorter_vectors_that_search_finds_again(
    dinoseek, gallery, photos, tmp_path
):
    done = dinoseek("fit", "pca", gallery, "pca.safetensors", "--dim", 4, "--whiten")
    assert (done.code, done.out) == (0, "pca.safetensors\n")

    short = ("--gallery", "short.dino")
    flags = ("--model", "color-histogram", "--projection", "pca.safetensors")
    assert dinoseek("index", photos, *short, *flags).code == 0
    (space,) = dinoseek("info", "short.dino", "--json").json["spaces"]
    assert (
        f"projection {space['projection'][:8]}: 12 vectors of 4"
        in dinoseek("info", "short.dino").out
    )
    hits = dinoseek("search", photos / "red-0.png", *short, "-k", 3, "--json").json

    assert space["dim"] == 4
    assert space["projection"] == load_pca(tmp_path / "pca.safetensors").fitted.digest
    assert hits[0]["path"].endswith("red-0.png")
    assert hits[0]["score"] == pytest.approx(1, abs=1e-3)


def test_a_projection_can_be_moved_but_not_lost(dinoseek, gallery, photos, tmp_path):
    dinoseek("fit", "pca", gallery, "pca.safetensors", "--dim", 4)
    flags = ("--model", "color-histogram", "--projection", "pca.safetensors")
    dinoseek("index", photos, "--gallery", "short.dino", *flags)
    (tmp_path / "pca.safetensors").unlink()
    ask = ("search", photos / "red-0.png", "--gallery", "short.dino")
    assert dinoseek(*ask).code == 0

    for file in (tmp_path / "cache" / "fitted").iterdir():
        file.unlink()

    lost = dinoseek(*ask)
    assert lost.code == 5
    assert "name it with --projection" in lost.err


def test_a_gallery_with_and_without_says_which_is_meant(dinoseek, gallery, photos):
    dinoseek("fit", "pca", gallery, "pca.safetensors", "--dim", 4)
    flags = ("--model", "color-histogram", "--projection", "pca.safetensors")
    dinoseek("index", photos, "--gallery", gallery, *flags)
    ask = ("search", photos / "red-0.png", "--gallery", gallery, "--json")

    assert dinoseek(*ask).code == 5  # two spaces
    plain = dinoseek(*ask, "--model", "color-histogram").json
    short = dinoseek(*ask, "--projection", "pca.safetensors").json

    assert [hit["score"] for hit in plain] != [hit["score"] for hit in short]


def test_a_projected_space_is_not_projected_again(dinoseek, gallery, photos):
    dinoseek("fit", "pca", gallery, "pca.safetensors", "--dim", 4)
    flags = ("--model", "color-histogram", "--projection", "pca.safetensors")
    dinoseek("index", photos, "--gallery", "short.dino", *flags)

    done = dinoseek("fit", "pca", "short.dino", "again.safetensors", "--dim", 2)

    assert (done.code, "went through a projection already" in done.err) == (2, True)


def test_a_vocabulary_makes_vlad_vectors(dinoseek, photos, tiny, tmp_path):
    model = ("--model", tiny, "--preprocess", "squash@70")
    dinoseek("index", photos, "--gallery", "plain.dino", *model)

    done = dinoseek("fit", "vlad", "plain.dino", "words.safetensors", "--clusters", 5)
    assert (done.code, done.out) == (0, "words.safetensors\n")
    flags = ("--pooling", "vlad", "--vocabulary", "words.safetensors", "--scales", "1,0.6")
    assert dinoseek("index", photos, "--gallery", "vlad.dino", *model, *flags).code == 0
    hits = dinoseek("search", photos / "red-0.png", "--gallery", "vlad.dino", "--json").json

    words = load_vocabulary(tmp_path / "words.safetensors")
    (space,) = dinoseek("info", "vlad.dino", "--json").json["spaces"]
    assert words.centres.shape == (5, 16)
    assert words.block == 1
    assert (space["dim"], space["scales"], space["vocabulary"]) == (
        80,
        "0.6,1",
        words.fitted.digest,
    )
    assert hits[0]["path"].endswith("red-0.png")
    assert hits[0]["score"] == pytest.approx(1, abs=1e-3)


def test_the_same_gallery_gives_the_same_vocabulary(dinoseek, photos, tiny, tmp_path):
    dinoseek("index", photos, "--gallery", "g.dino", "--model", tiny, "--preprocess", "squash@70")
    for name in ("a", "b"):
        dinoseek("fit", "vlad", "g.dino", f"{name}.safetensors", "--clusters", 3, "--block", -1)

    a, b = (load_vocabulary(tmp_path / f"{name}.safetensors") for name in ("a", "b"))
    np.testing.assert_array_equal(a.centres, b.centres)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("pca", "photos.dino", "p.safetensors", "--dim", 1000), 2, "components"),
        (("pca", "photos.dino", "p.npz", "--dim", 2), 2, ".safetensors"),
        (("vlad", "photos.dino", "v.safetensors"), 2, "it has none"),
        (("pca", "none.dino", "p.safetensors"), 4, "none.dino"),
    ],
)
def test_what_cannot_be_fitted_is_told_on_one_line(dinoseek, gallery, arguments, code, words):
    done = dinoseek("fit", *arguments)

    assert done.code == code
    assert words in done.err
    assert done.err.count("\n") == 1


def test_a_block_that_there_is_not_is_refused(dinoseek, photos, tiny):
    dinoseek("index", photos, "--gallery", "g.dino", "--model", tiny, "--preprocess", "squash@70")

    done = dinoseek("fit", "vlad", "g.dino", "v.safetensors", "--block", 2)

    assert (done.code, "blocks 0 to 1" in done.err) == (2, True)
