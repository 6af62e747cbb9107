"""Queries of every kind, and what comes back for them."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dinoseek.embedder import Embedder, load_embedder
from dinoseek.errors import DinoseekError, GalleryError, ImageError, UsageError
from dinoseek.gallery.base import WEB, Record
from dinoseek.gallery.factory import open_gallery
from dinoseek.gallery.filters import parse
from dinoseek.gallery.sqlite_gallery import SqliteGallery
from dinoseek.images.region import Region
from dinoseek.ingest.pipeline import ingest
from dinoseek.ingest.sources import from_folder
from dinoseek.queries import Mix, Part
from dinoseek.search import search, search_many

COUNT = 25


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return load_embedder("color-histogram", preprocess="squash@14")


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """25 pictures, each a little different from the one before."""
    folder = tmp_path_factory.mktemp("photos")
    for i in range(COUNT):
        pixels = np.full((20, 20, 3), (10 * i, 250 - 10 * i, 100), np.uint8)
        pixels[: i % 7 + 1, :10] = 255 - pixels[0, 0]
        Image.fromarray(pixels).save(folder / f"{i:02}.png")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory, photos, embedder) -> Path:
    path = tmp_path_factory.mktemp("gallery") / "g.dino"
    with open_gallery(path, embedder) as gallery:
        list(ingest(from_folder(photos), gallery))
    return path


@pytest.fixture
def gallery(folder, embedder):
    with open_gallery(folder, embedder, readonly=True) as opened:
        yield opened


@pytest.fixture
def vectors(photos, embedder) -> np.ndarray:
    return embedder.embed(sorted(photos.iterdir()))


def names(hits):
    return [hit.file.name for hit in hits]


@pytest.mark.parametrize("i", [0, 7, 24])
def test_all_kinds_of_queries_agree(gallery, photos, vectors, i):
    file = photos / f"{i:02}.png"
    cosines = vectors @ vectors[i]
    expected = [f"{j:02}.png" for j in np.argsort(-cosines)[:5]]
    with Image.open(file) as image:
        queries = [
            file,
            str(file),
            file.read_bytes(),
            image,
            vectors[i],
            5 * vectors[i].astype(float),
        ]
        queries.append(search(gallery, file, 1)[0].id)
        for query in queries:
            hits = search(gallery, query, 5)
            assert names(hits) == expected
            assert [hit.rank for hit in hits] == [1, 2, 3, 4, 5]
            np.testing.assert_allclose(
                [hit.score for hit in hits], np.sort(-cosines)[:5] * -1, atol=2e-3
            )


def test_hits_name_their_query(gallery, photos, vectors):
    file = photos / "03.png"
    assert search(gallery, file, 1)[0].query == str(file)
    assert search(gallery, 3, 1)[0].query == "3"
    assert search(gallery, vectors[0], 1)[0].query == "vector"
    assert search(gallery, file.read_bytes(), 1)[0].query == "image"


def test_IDX_01_k_larger_than_the_gallery_gives_everything(gallery, photos):
    assert len(search(gallery, photos / "00.png", 10**9)) == COUNT


@pytest.mark.parametrize("k", [0, -1])
def test_IDX_01_k_below_one_is_refused(gallery, photos, k):
    for ask in (search, search_many):
        with pytest.raises(UsageError) as caught:
            ask(gallery, photos / "00.png", k)
        assert caught.value.code == "search.k"


def test_min_score_leaves_out_what_is_below(gallery, photos):
    everything = search(gallery, photos / "00.png", COUNT)
    cut = everything[9].score
    hits = search(gallery, photos / "00.png", COUNT, min_score=cut)
    assert hits == [hit for hit in everything if hit.score >= cut]
    assert 10 <= len(hits) < COUNT
    assert search(gallery, photos / "00.png", COUNT, min_score=1.1) == []


def test_exclude_self_drops_the_same_bytes_and_keeps_k_hits(gallery, photos, tmp_path):
    copy = tmp_path / "another name.png"
    copy.write_bytes((photos / "04.png").read_bytes())
    id = search(gallery, copy, 1)[0].id
    for query in (copy, copy.read_bytes(), id):
        hits = search(gallery, query, 5, exclude_self=True)
        assert "04.png" not in names(hits)
        assert len(hits) == 5
        assert [hit.rank for hit in hits] == [1, 2, 3, 4, 5]
    again = tmp_path / "encoded again.png"
    with Image.open(copy) as image:
        image.save(again, compress_level=1)
    if hashlib.sha256(again.read_bytes()).digest() != hashlib.sha256(copy.read_bytes()).digest():
        assert names(search(gallery, again, 1, exclude_self=True)) == ["04.png"]


def test_exclude_self_drops_nothing_for_a_new_image(gallery, vectors):
    assert names(search(gallery, vectors[4], 1, exclude_self=True)) == ["04.png"]


def test_l2_ranks_by_euclidean_distance_of_unit_vectors(gallery, photos, vectors):
    hits = search(gallery, photos / "11.png", COUNT, l2=True)
    distances = np.linalg.norm(vectors - vectors[11], axis=1)
    assert names(hits) == [f"{j:02}.png" for j in np.argsort(distances)]
    np.testing.assert_allclose([hit.distance for hit in hits], np.sort(distances), atol=2e-3)
    assert names(hits) == names(search(gallery, photos / "11.png", COUNT))
    assert "distance" in hits[0].as_dict()
    assert search(gallery, photos / "11.png", 1)[0].distance is None


def test_a_broken_or_missing_query_says_why(gallery, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"bad")
    with pytest.raises(ImageError) as caught:
        search(gallery, tmp_path / "bad.png")
    assert caught.value.code == "image.unrecognised"
    with pytest.raises(ImageError) as caught:
        search(gallery, tmp_path / "nowhere.png")
    assert caught.value.code == "path.vanished"


def test_an_unknown_id_says_so(gallery):
    with pytest.raises(UsageError, match="4711"):
        search(gallery, 4711)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0, 1e300])
def test_IDX_21_a_vector_without_direction_is_refused(gallery, bad):
    with pytest.raises(UsageError) as caught:
        search(gallery, np.full(gallery.embedder.dim, bad))
    assert caught.value.code == "vector.invalid"


@pytest.mark.parametrize("shape", [(3,), (1, 672), (20, 20, 3), ()])
def test_IDX_22_a_vector_of_another_shape_is_refused(gallery, shape):
    with pytest.raises(UsageError) as caught:
        search(gallery, np.ones(shape))
    assert caught.value.code == "vector.dim"


def test_an_empty_gallery_has_no_hits(tmp_path, embedder, photos):
    with open_gallery(tmp_path / "g.dino", embedder) as gallery:
        assert search(gallery, photos / "00.png") == []
        assert [hits for _, hits in search_many(gallery, [photos / "00.png", np.ones(3)])] == [
            [],
            [],
        ]


def test_without_an_embedder_only_vectors_and_ids_can_be_asked(folder, photos, vectors):
    with open_gallery(folder, readonly=True) as gallery:
        assert names(search(gallery, vectors[3], 1)) == ["03.png"]
        assert names(search(gallery, 4, 1)) == ["03.png"]
        with pytest.raises(UsageError) as caught:
            search(gallery, photos / "00.png")
        assert caught.value.code == "search.no_embedder"


def test_IDX_20_a_foreign_embedder_is_refused_before_it_embeds(folder, photos):
    def explode(prepared):
        raise AssertionError("a query must not be embedded differently from the gallery")

    known = load_embedder("color-histogram", preprocess="squash@14")
    foreign = Embedder(explode, known.preset, replace(known.fingerprint, pooling="mean"))
    with open_gallery(folder, foreign) as gallery:
        for ask in (search, search_many):
            with pytest.raises(GalleryError) as caught:
                ask(gallery, [photos / "00.png"] if ask is search_many else photos / "00.png")
            assert caught.value.code == "gallery.model_mismatch"


def test_many_queries_get_the_hits_of_each_alone(gallery, photos, vectors):
    queries = [*sorted(photos.iterdir()), 3, vectors[5], (photos / "06.png").read_bytes()]
    for options in ({}, {"l2": True}, {"exclude_self": True, "min_score": 0.3}):
        answers = list(search_many(gallery, queries, 4, batch_size=6, **options))
        assert len(answers) == len(queries)
        for asked, (query, hits) in zip(queries, answers, strict=True):
            assert query is asked
            assert hits == search(gallery, asked, 4, **options)


def test_I2_a_bad_query_is_a_value_and_stops_no_other(gallery, photos, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"bad")
    queries = [photos / "00.png", bad, 999, np.zeros(5), tmp_path / "no.png", photos / "01.png"]
    answers = [answer for _, answer in search_many(gallery, queries, 1, batch_size=4)]
    codes = [answer.code if isinstance(answer, DinoseekError) else "ok" for answer in answers]
    assert codes == ["ok", "image.unrecognised", "id.unknown", "vector.dim", "path.vanished", "ok"]


def test_IDX_19_an_answer_comes_from_one_version(photos, embedder, tmp_path, monkeypatch):
    with open_gallery(tmp_path / "g.dino", embedder) as gallery:
        list(ingest(from_folder(photos), gallery))
        ids_of = SqliteGallery.ids_of

        def then_removed(self, digests):
            found = ids_of(self, digests)
            with open_gallery(gallery.path, embedder) as other:
                other.remove(found.values())
            return found

        monkeypatch.setattr(SqliteGallery, "ids_of", then_removed)
        assert names(search(gallery, photos / "04.png", 1)) == ["04.png"]
        assert len(gallery) == COUNT - 1


def test_queries_are_streamed(gallery, photos):
    asked = 0

    def queries():
        nonlocal asked
        while True:
            asked += 1
            yield photos / f"{asked % COUNT:02}.png"

    answers = search_many(gallery, queries(), 1, batch_size=4)
    for _ in range(10):
        next(answers)
    answers.close()
    assert asked < 40


def test_no_queries_give_no_answers(gallery):
    assert list(search_many(gallery, [])) == []


@pytest.fixture
def crop(photos, tmp_path) -> Path:
    """The left half of photo 04, as a picture of its own."""
    with Image.open(photos / "04.png") as image:
        image.crop((0, 0, 10, 20)).save(tmp_path / "crop.png")
    return tmp_path / "crop.png"


def test_a_region_of_a_picture_is_searched_as_if_it_were_the_picture(gallery, photos, crop):
    expected = scores(search(gallery, crop, COUNT))
    assert expected != scores(search(gallery, photos / "04.png", COUNT))

    id = search(gallery, photos / "04.png", 1)[0].id
    with Image.open(photos / "04.png") as image:
        for query in (photos / "04.png", (photos / "04.png").read_bytes(), image, id):
            for region in (Region(0, 0, 10, 20), Region(0, 0, 50, 100, percent=True)):
                for asked in (query, Part(query, region=region), Mix([query])):
                    assert scores(search(gallery, asked, COUNT, region=region)) == expected


def record_of(root, path):
    return Record(
        path=path,
        root=str(root),
        digest=hashlib.sha256(path).hexdigest(),
        width=20,
        height=20,
        bytes=9,
        mtime_ns=0,
        format="PNG",
    )


def scores(hits):
    return [(hit.id, hit.score) for hit in hits]


def test_a_query_is_read_as_fast_as_the_gallery_was(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "large.jpg")
    fast = load_embedder("color-histogram", preprocess="squash@14", fast_decode=True)
    full = load_embedder("color-histogram", preprocess="squash@14")
    (expected,) = fast.embed([tmp_path / "large.jpg"])
    assert abs(full.embed([tmp_path / "large.jpg"])[0] - expected).max() > 1e-3

    with open_gallery(tmp_path / "g.dino", fast) as gallery:
        gallery.add([record_of(tmp_path, b"large.jpg")], expected[None])
        (hit,) = search(gallery, tmp_path / "large.jpg")
        (inside,) = search(gallery, tmp_path / "large.jpg", region=Region(390, 290, 10, 10))

    assert hit.score == pytest.approx(1, abs=1e-5)
    assert inside.score < 0.99


def test_a_region_is_cut_after_the_picture_was_turned(gallery, photos, crop, tmp_path):
    with Image.open(photos / "04.png") as image:
        turned = image.rotate(90, expand=True)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 270 degrees, counter-clockwise
    turned.save(tmp_path / "turned.png", exif=exif)

    hits = search(gallery, tmp_path / "turned.png", COUNT, region=Region(0, 0, 10, 20))

    assert scores(hits) == scores(search(gallery, crop, COUNT))


def test_the_region_of_an_image_still_leaves_that_image_out(gallery, photos):
    id = search(gallery, photos / "04.png", 1)[0].id
    for query in (photos / "04.png", id):
        hits = search(gallery, query, COUNT, region=Region(0, 0, 10, 20), exclude_self=True)
        assert id not in [hit.id for hit in hits]
        assert len(hits) == COUNT - 1


def test_a_region_outside_the_picture_is_one_error_and_stops_no_other(gallery, photos):
    queries = [Part(photos / "04.png", region=Region(0, 0, 21, 1)), photos / "05.png"]

    error, hits = [answer for _, answer in search_many(gallery, queries, 1)]

    assert error.code == "search.region"
    assert "04.png, which is 20 x 20 pixels" in str(error)
    assert names(hits) == ["05.png"]


def test_the_region_of_an_unknown_id_or_of_a_vector_says_why(gallery, vectors):
    region = Region(0, 0, 1, 1)
    with pytest.raises(UsageError, match="4711"):
        search(gallery, 4711, region=region)
    answers = search_many(gallery, [4711, vectors[0], 1], region=region)
    codes = [answer.code for _, answer in answers if isinstance(answer, DinoseekError)]
    assert codes == ["id.unknown", "search.region"]


@pytest.mark.parametrize("root", [WEB, "archive"])
def test_the_region_of_an_image_without_a_file_says_why(embedder, tmp_path, vectors, root):
    archive = tmp_path / "shard.tar"
    archive.write_bytes(b"")
    where = root if root == WEB else archive
    record = record_of(where, b"https://example.org/a.jpg")
    with open_gallery(tmp_path / "g.dino", embedder) as gallery:
        gallery.add([record], vectors[:1])
        assert len(search(gallery, 1)) == 1
        with pytest.raises(UsageError) as caught:
            search(gallery, 1, region=Region(0, 0, 1, 1))
    assert caught.value.code == "search.no_file"


def test_pictures_ids_and_vectors_make_one_query(gallery, photos, vectors):
    id = search(gallery, photos / "10.png", 1)[0].id
    total = vectors[4] + 2 * vectors[10] - 0.5 * vectors[20]
    cosines = vectors @ (total / np.linalg.norm(total))
    mix = Mix([photos / "04.png", Part(id, weight=2)], [Part(vectors[20], weight=0.5)])

    hits = search(gallery, mix, 5)

    assert names(hits) == [f"{j:02}.png" for j in np.argsort(-cosines)[:5]]
    np.testing.assert_allclose([hit.score for hit in hits], np.sort(-cosines)[:5] * -1, atol=2e-3)
    assert hits[0].query == f"{photos / '04.png'} + 2:{id} - 0.5:vector"


def test_a_picture_less_itself_is_refused(gallery, photos):
    id = search(gallery, photos / "04.png", 1)[0].id
    with pytest.raises(UsageError) as caught:
        search(gallery, Mix([photos / "04.png"], [id]))
    assert caught.value.code == "search.vanished"


def test_a_mix_fails_by_its_first_bad_part(gallery, photos, tmp_path):
    mix = Mix([photos / "04.png", tmp_path / "gone.png"])
    answers = [answer for _, answer in search_many(gallery, [mix, photos / "05.png"], 1)]
    assert answers[0].code == "path.vanished"
    assert names(answers[1]) == ["05.png"]


def test_a_mix_of_vectors_of_an_empty_gallery_has_no_hits(tmp_path, embedder):
    with open_gallery(tmp_path / "g.dino", embedder) as gallery:
        assert search(gallery, Mix([np.ones(3), np.array([1.0, 0, 0])])) == []
        with pytest.raises(UsageError):
            search(gallery, Mix([np.ones(3), np.ones(4)]))


@pytest.mark.parametrize("k", [3, COUNT])
@pytest.mark.parametrize(
    "condition", ["id in (3, 5) or id > 20", "not id between 2 and 24", "id < 0"]
)
def test_only_images_that_a_condition_holds_for_are_searched(gallery, photos, condition, k):
    holds = {
        "id in (3, 5) or id > 20": lambda id: id in (3, 5) or id > 20,
        "not id between 2 and 24": lambda id: not 2 <= id <= 24,
        "id < 0": lambda _: False,
    }[condition]
    for query in (photos / "04.png", Mix([4, 5]), Mix([4, 9], [20], combine="best")):
        every = search(gallery, query, COUNT)
        expected = [hit.id for hit in every if holds(hit.id)][:k]
        for where in (condition, parse(condition)):
            assert [hit.id for hit in search(gallery, query, k, where=where)] == expected
            ((_, many),) = search_many(gallery, [query], k, where=where)
            assert [hit.id for hit in many] == expected


def test_a_condition_that_cannot_be_read_is_refused_before_anything_is_asked(gallery):
    for ask in (search, search_many):
        with pytest.raises(UsageError) as caught:
            ask(gallery, 1 if ask is search else [1], where="id ==")
        assert caught.value.code == "filter.syntax"
