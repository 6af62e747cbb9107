"""Where vectors come from: pictures, parts of them, several scales, galleries and files."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from dinoseek.embedder import load_embedder
from dinoseek.errors import DataError, ImageError, UsageError
from dinoseek.evaluation.embedding import cropped, embedded
from dinoseek.evaluation.rankings import load_ranking
from dinoseek.evaluation.saved_features import read_made, save_features
from dinoseek.evaluation.vectors import Made, Vectors, collect, from_gallery, from_given, match
from dinoseek.gallery.factory import open_gallery
from dinoseek.ingest.pipeline import ingest
from dinoseek.ingest.sources import from_folder
from dinoseek.interchange.files import read_vectors

MADE = Made(model="m", preprocess="p", pooling="cls")
NAMES = ["cat/a.png", "cat/b.png", "dog/a.png"]


@pytest.fixture
def photos(tmp_path):
    for seed, name in enumerate(NAMES):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 256, (40, 60, 3), np.uint8)
        pixels[:, :20] = (200, 40 * seed, 10)
        Image.fromarray(pixels).save(path)
    return tmp_path / "photos"


@pytest.fixture(scope="module")
def embedder():
    return load_embedder("color-histogram")


def made(embedder):
    return Made.of(embedder.fingerprint)


def files(photos):
    return [(position, photos / name) for position, name in enumerate(NAMES)]


def test_images_are_embedded_as_the_embedder_does(photos, embedder):
    found = collect(embedded(embedder, files(photos), {}), 3, made(embedder))
    expected = embedder.embed([photos / name for name in NAMES])
    np.testing.assert_allclose(found.matrix, expected, atol=1e-6)
    assert not found.missing.any()


def test_a_box_is_cut_out_before_the_preset(photos, embedder):
    found = collect(
        embedded(embedder, files(photos), {1: (0.0, 0.0, 20.0, 40.0)}), 3, made(embedder)
    )
    with Image.open(photos / NAMES[1]) as image:
        expected = embedder.embed([image.crop((0, 0, 20, 40))])
    np.testing.assert_allclose(found.matrix[1], expected[0], atol=1e-6)
    assert not np.allclose(found.matrix[1], embedder.embed([photos / NAMES[1]])[0], atol=1e-3)


def test_scales_are_the_embedders_and_in_the_name(embedder):
    fingerprint = replace(embedder.fingerprint, scales="0.5,1")
    assert Made.of(fingerprint).name == "squash@224/none/0.5+1"


def test_what_cannot_be_read_is_missing_and_says_why(photos, embedder):
    (photos / NAMES[2]).write_bytes(b"\x89PNG\r\n\x1a\n")
    found = collect(embedded(embedder, files(photos), {}), 3, made(embedder))
    assert found.missing.tolist() == [False, False, True]
    assert isinstance(found.failures[2], ImageError)


@pytest.mark.parametrize(
    ("box", "size"),
    [((1.5, 2.5, 10.2, 11.6), (8, 10)), ((-5, -5, 10, 10), (10, 10)), ((50, 30, 99, 99), (10, 10))],
)
def test_GT_06_a_box_is_rounded_and_what_reaches_outside_is_cut_off(box, size):
    assert cropped(Image.new("RGB", (60, 40)), box).size == size


@pytest.mark.parametrize("box", [(60, 0, 70, 10), (0, 40, 10, 50), (1.1, 1, 1.4, 9)])
def test_GT_06_a_box_beside_the_image_is_refused(box):
    with pytest.raises(DataError) as caught:
        cropped(Image.new("RGB", (60, 40)), box)
    assert caught.value.code == "gt.box"


def test_a_vector_without_direction_is_refused():
    for bad in (np.zeros(3, np.float32), np.array([1, np.nan, 1], np.float32)):
        with pytest.raises(DataError, match="image 1"):
            collect([(0, np.ones(3, np.float32)), (1, bad)], 2, MADE)


def test_a_gallery_gives_its_vectors_by_file(photos, embedder, tmp_path):
    with open_gallery(tmp_path / "g.dino", embedder) as gallery:
        list(ingest(from_folder(photos), gallery))
        (photos / "dog/twin.png").write_bytes((photos / NAMES[0]).read_bytes())
        list(ingest(from_folder(photos), gallery))  # one image, two files
    wanted = [*NAMES, "dog/twin.png", "dog/new.png"]
    with open_gallery(tmp_path / "g.dino", readonly=True) as gallery:
        found = from_gallery(gallery, photos, wanted)
    expected = embedder.embed([photos / name for name in wanted[:4]])
    assert found.missing.tolist() == [False] * 4 + [True]
    np.testing.assert_allclose(found.matrix[:4], expected, atol=2e-3)
    assert found.made == made(embedder)


def test_vectors_that_were_kept_are_the_same_and_say_what_made_them(photos, embedder, tmp_path):
    before = collect(embedded(embedder, files(photos), {}), 3, made(embedder))
    path = tmp_path / "f.npz"
    save_features(path, photos, NAMES, before, boxes=False)
    said = read_made(path)
    assert said == (made(embedder), False)
    after = from_given(read_vectors(path), photos, NAMES[::-1], said[0])
    np.testing.assert_allclose(after.matrix, before.matrix[::-1], atol=1e-6)
    assert after.made == before.made


def test_names_match_by_the_whole_path_or_by_their_ends(tmp_path):
    root = tmp_path / "photos"
    whole = [f"{root}/cat/b.png", "/elsewhere/photos/dog/a.png", f"{root}/cat/a.png"]
    assert match(whole, root, NAMES).tolist() == [2, 0, -1]  # whole paths fit: no guessing
    moved = ["/old/photos/dog/a.png", "/old/photos/cat/a.png", "/old/cat/c.png"]
    assert match(moved, root, NAMES).tolist() == [1, -1, 0]
    stems = ["all_souls_000013", "x/oxford_002985.jpg"]
    oxford = ["jpg/oxford_002985.jpg", "jpg/all_souls_000013.jpg"]
    assert match(stems, root, oxford).tolist() == [1, 0]
    assert match(["a", "b"], root, NAMES).tolist() == [-1, -1, -1]  # a could be either


def test_rankings_must_be_whole(tmp_path):
    rng = np.random.default_rng(0)
    whole = np.stack([rng.permutation(30) for _ in range(4)], axis=1).astype(np.uint16)
    path = tmp_path / "r.npz"
    np.savez_compressed(path, ranks=whole)
    assert np.array_equal(load_ranking(path, 30, 4), whole)
    assert np.array_equal(load_ranking(path, 25, 4), whole)  # five distractors
    twice = whole.copy()
    twice[0, 2] = twice[1, 2]
    for ranks in (whole[:20], whole[:, :3], twice, whole.astype(float), whole.astype(int) - 1):
        np.savez(path, ranks=ranks)
        with pytest.raises(DataError) as caught:
            load_ranking(path, 30, 4)
        assert caught.value.code == "evaluate.ranking"
    np.savez(path, other=whole)
    with pytest.raises(UsageError, match="ranks"):
        load_ranking(path, 30, 4)


def test_missing_vectors_stay_missing_when_all_are():
    found = collect([], 3, MADE)
    assert isinstance(found, Vectors)
    assert found.missing.all()
