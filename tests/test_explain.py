"""Heat, matches and regions of two pictures, against loops and pictures made for it."""

import numpy as np
import pytest
from PIL import Image

from dinoseek.embedder import load_embedder
from dinoseek.errors import ImageError, UsageError
from dinoseek.explain import explain, heat_maps, strongest
from dinoseek.images.region import Region
from dinoseek.matching import Matches, MatchOptions, Patches
from dinoseek.weights.save import save_params

from .vit.tiny import tiny_config, tiny_params


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_params(path, tiny_params(tiny_config()), tiny_config())
    return path


@pytest.fixture(scope="module")
def embedder(weights):
    return load_embedder(weights, preprocess="squash@112", cache_dir=weights.parent)


def picture(seed, size=(112, 112)):
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.NEAREST)


def patches(seed, rows, cols, dim=8):
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((rows * cols, dim)).astype(np.float32)
    return Patches(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), rows, cols)


def test_heat_is_the_best_cosine_with_the_other_picture():
    first, second = patches(0, 3, 4), patches(1, 5, 2)

    there, back = heat_maps(first, second)

    assert (there.shape, back.shape) == ((3, 4), (5, 2))
    for row in range(3):
        for col in range(4):
            best = max(float(first.vectors[4 * row + col] @ each) for each in second.vectors)
            assert there[row, col] == pytest.approx(best, abs=1e-6)
    for row in range(5):
        for col in range(2):
            best = max(float(each @ second.vectors[2 * row + col]) for each in first.vectors)
            assert back[row, col] == pytest.approx(best, abs=1e-6)


def test_only_patches_of_a_region_count_and_have_heat():
    first, second = patches(0, 3, 4), patches(1, 5, 2)
    inside = np.zeros(12, np.bool_)
    inside[[5, 6]] = True

    there, back = heat_maps(first, second, inside)

    assert np.isnan(there).sum() == 10
    assert not np.isnan(there[1, 1:3]).any()
    for place in range(10):
        best = max(float(first.vectors[i] @ second.vectors[place]) for i in (5, 6))
        assert back[place // 2, place % 2] == pytest.approx(best, abs=1e-6)


def test_a_picture_explains_itself(embedder):
    found = explain(embedder, picture(0), picture(0))

    assert found.score == pytest.approx(1, abs=1e-5)
    assert found.local == pytest.approx(1, abs=1e-4)
    assert found.matches.inliers.all()
    np.testing.assert_array_equal(found.matches.first, np.arange(64))
    np.testing.assert_array_equal(found.matches.second, np.arange(64))
    np.testing.assert_allclose(found.query.heat, 1, atol=1e-5)
    assert found.region is None


def test_the_score_is_that_of_a_search(embedder):
    vectors = embedder.embed([picture(0), picture(1)])

    assert explain(embedder, picture(0), picture(1)).score == pytest.approx(
        float(vectors[0] @ vectors[1]), abs=1e-6
    )


def test_a_region_counts_the_patches_that_it_covers(embedder):
    region = Region(25, 50, 25, 25, percent=True)  # 28 x 28 pixels are 2 x 2 patches

    found = explain(embedder, picture(0), picture(0), region=region)

    inside = [8 * row + col for row in (4, 5) for col in (2, 3)]
    assert found.matches.first.tolist() == inside
    assert np.flatnonzero(~np.isnan(found.query.heat)).tolist() == inside
    assert found.query.region == (0.25, 0.5, 0.5, 0.75)
    assert found.region.patches == found.region.matched == 4
    assert found.region.mean == pytest.approx(1, abs=1e-4)
    cut = embedder.embed([picture(0).crop((28, 56, 56, 84)), picture(0)])
    assert found.region.score == pytest.approx(float(cut[0] @ cut[1]), abs=1e-5)


def test_a_region_goes_the_way_of_the_picture(weights):
    """The middle of a wide picture is what a crop leaves: 280 x 140 to 112 x 112 of 256 x 128."""
    embedder = load_embedder(weights, preprocess="official@112", cache_dir=weights.parent)
    wide = picture(0, (280, 140))

    found = explain(embedder, wide, wide, region=Region(50, 0, 50, 100, percent=True))

    columns = np.flatnonzero(~np.isnan(found.query.heat).all(axis=0))
    assert columns.tolist() == [4, 5, 6, 7]


def test_a_region_that_is_cut_off_is_refused(weights):
    embedder = load_embedder(weights, preprocess="official@112", cache_dir=weights.parent)
    wide = picture(0, (560, 140))

    with pytest.raises(UsageError, match="the model sees none of it") as found:
        explain(embedder, wide, wide, region=Region(0, 0, 20, 100, percent=True))
    assert found.value.code == "explain.region"


def test_a_region_outside_is_refused(embedder):
    with pytest.raises(UsageError, match="reaches outside"):
        explain(embedder, picture(0), picture(0), region=Region(100, 0, 50, 50))


def test_what_is_shown_is_what_the_model_sees_only_larger(embedder):
    found = explain(embedder, picture(0), picture(1))

    assert found.query.picture.size == (448, 448)
    back = np.asarray(found.hit.picture.resize((112, 112), Image.Resampling.BOX), np.float32)
    assert np.abs(back - np.asarray(embedder.prepare(picture(1)), np.float32)).mean() < 12


def test_without_geometry_every_match_agrees(embedder):
    found = explain(embedder, picture(0), picture(1), options=MatchOptions(geometry="none"))

    assert found.matches.inliers.all()
    assert len(found.matches.first) > 3


def matches(cosines, first, inliers):
    places = np.array(first)
    return Matches(places, places, np.float32(cosines), np.array(inliers, np.bool_))


def test_the_strongest_that_agree_are_shown_but_none_side_by_side():
    found = matches([0.9, 0.8, 0.7, 0.6, 0.99], [0, 1, 2, 30, 20], [1, 1, 1, 1, 0])

    assert strongest(found, 10, 10).tolist() == [0, 2, 3]  # 1 touches 0
    assert strongest(found, 10, 2).tolist() == [0, 2]
    assert strongest(found, 10, 0).tolist() == []


def test_where_none_agree_the_strongest_of_all_are_shown():
    found = matches([0.6, 0.9, -0.5], [0, 30, 60], [0, 0, 0])

    assert strongest(found, 10, 10).tolist() == [1, 0]


def test_an_embedder_without_patches_says_so():
    with pytest.raises(UsageError, match="has no patches"):
        explain(load_embedder("color-histogram"), picture(0), picture(1))


def test_a_picture_that_cannot_be_read_is_named(embedder, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"no picture")

    with pytest.raises(ImageError, match=r"bad\.jpg"):
        explain(embedder, picture(0), tmp_path / "bad.jpg")


@pytest.mark.weights
def test_a_turned_crop_of_a_photograph_matches_where_it_lies(shared):
    model = load_embedder(shared / "weights/dav2-vits14-fp16.safetensors", preprocess="squash")
    photo = Image.open(shared / "data/coco128/images/000000000025.jpg").convert("RGB")
    width, height = photo.size
    cut = photo.crop((width // 4, height // 4, width, height))

    found = explain(model, photo, cut)
    other = explain(model, photo, shared / "data/coco128/images/000000000042.jpg")

    good = found.matches.inliers
    ends = (found.matches.second[good] % 16 + 0.5, found.matches.second[good] // 16 + 0.5)
    expected = [(place * 0.75 + 4) for place in ends]  # of 16 patches, a quarter is cut off
    starts = (found.matches.first[good] % 16 + 0.5, found.matches.first[good] // 16 + 0.5)
    off = np.hypot(starts[0] - expected[0], starts[1] - expected[1])
    assert good.sum() > 40
    assert np.median(off) < 1
    assert found.local > 3 * other.local
