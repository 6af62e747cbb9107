"""Searches that are re-ranked, against the same arithmetic done by hand on the whole gallery."""

import logging

import numpy as np
import pytest
from PIL import Image

from dinoseek.embedder import load_embedder
from dinoseek.errors import UsageError
from dinoseek.gallery.factory import open_gallery
from dinoseek.gallery.filters import parse
from dinoseek.ingest.archives import from_archive
from dinoseek.ingest.pipeline import ingest
from dinoseek.ingest.sources import from_folder
from dinoseek.matching import Patches
from dinoseek.queries import Mix
from dinoseek.rerank.k_reciprocal import k_reciprocal_scores
from dinoseek.rerank.local import local_score
from dinoseek.rerank.options import AlphaQE, Augmentation, KReciprocal, Local, SuperGlobal
from dinoseek.rerank.super_global import super_global_scores
from dinoseek.search import search, search_many
from dinoseek.weights.save import save_params

from .vit.tiny import tiny_config, tiny_params

COUNT = 40


@pytest.fixture(scope="module")
def embedder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    save_params(folder / "tiny.safetensors", tiny_params(tiny_config()), tiny_config())
    return load_embedder(
        folder / "tiny.safetensors", preprocess="squash@70", pooling="mean", cache_dir=folder
    )


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    scenes = rng.integers(0, 256, (5, 8, 8, 3))
    for i in range(COUNT):
        pixels = np.clip(scenes[i % 5] + rng.normal(0, 40, (8, 8, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).resize((70, 70)).save(folder / f"{i:02}.png")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory, photos, embedder):
    path = tmp_path_factory.mktemp("gallery") / "g.dino"
    with open_gallery(path, embedder) as gallery:
        list(ingest(from_folder(photos), gallery))
    return path


@pytest.fixture
def gallery(folder, embedder):
    with open_gallery(folder, embedder, readonly=True) as opened:
        yield opened


@pytest.fixture
def by_name(gallery, photos):
    """The stored vectors (m, d) in the order of the files' names."""
    ids = {hit.file.name: hit.id for hit in search(gallery, photos / "00.png", k=COUNT)}
    return gallery.vectors(ids[name] for name in sorted(ids))


def numbers(hits):
    return [int(hit.file.stem) for hit in hits]


def by_score(scores, rows):
    return [rows[i] for i in np.argsort(-np.asarray(scores), kind="stable")]


def unit(vector):
    return vector / np.linalg.norm(vector)


@pytest.mark.parametrize("where", [None, "width >= 70"])
def test_alpha_qe_searches_again_with_the_joined_query(gallery, photos, embedder, by_name, where):
    query = embedder.embed([photos / "03.png"])[0]
    first = np.argsort(-by_name @ query, kind="stable")[:4]
    new = query + sum(max(by_name[i] @ query, 0) ** 2 * by_name[i] for i in first)

    hits = search(
        gallery, photos / "03.png", k=COUNT, where=where, rerank="alpha-qe:neighbors=4,alpha=2"
    )

    scores = by_name @ unit(new)
    assert numbers(hits) == np.argsort(-scores, kind="stable").tolist()
    np.testing.assert_allclose([hit.reranked for hit in hits], -np.sort(-scores), atol=1e-5)
    cosines = by_name[numbers(hits)] @ query
    np.testing.assert_allclose([hit.score for hit in hits], cosines, atol=1e-5)


def test_dba_joins_each_hit_by_its_neighbours_in_the_whole_gallery(
    gallery, photos, embedder, by_name
):
    query = embedder.embed([photos / "03.png"])[0]
    first = np.argsort(-by_name @ query, kind="stable")[:6].tolist()
    scores = []
    for i in first:
        others = [j for j in np.argsort(-by_name @ by_name[i], kind="stable") if j != i][:3]
        new = by_name[i] + sum(max(by_name[j] @ by_name[i], 0) ** 3 * by_name[j] for j in others)
        scores.append(unit(new) @ query)

    hits = search(gallery, photos / "03.png", k=6, rerank=Augmentation(neighbors=3, shortlist=6))

    assert numbers(hits) == by_score(scores, first)
    np.testing.assert_allclose(
        [hit.reranked for hit in hits], -np.sort(-np.array(scores)), atol=1e-5
    )


@pytest.mark.parametrize(
    ("options", "scores_of"),
    [
        (KReciprocal(k1=6, k2=3, shortlist=15), k_reciprocal_scores),
        (SuperGlobal(neighbors=3, shortlist=15), super_global_scores),
    ],
)
def test_a_shortlist_is_reordered_and_the_rest_stays(
    gallery, photos, embedder, by_name, options, scores_of
):
    query = embedder.embed([photos / "07.png"])[0]
    order = np.argsort(-by_name @ query, kind="stable").tolist()
    expected = by_score(scores_of(query, by_name[order[:15]], options), order[:15]) + order[15:]

    hits = search(gallery, photos / "07.png", k=COUNT, rerank=options)

    assert numbers(hits) == expected
    assert numbers(hits) != order
    assert [hit.reranked is None for hit in hits] == [False] * 15 + [True] * 25
    assert [hit.rank for hit in hits] == list(range(1, COUNT + 1))
    np.testing.assert_allclose([hit.score for hit in hits], by_name[expected] @ query, atol=1e-5)


def test_few_hits_of_a_longer_shortlist_are_its_first(gallery, photos):
    options = KReciprocal(k1=6, k2=3, shortlist=30)

    few = search(gallery, photos / "07.png", k=3, rerank=options)

    assert few == search(gallery, photos / "07.png", k=30, rerank=options)[:3]


def test_a_hit_below_the_cut_off_does_not_end_what_is_not_in_order(gallery, photos):
    rerank = KReciprocal(k1=6, k2=3, shortlist=15)
    every = search(gallery, photos / "07.png", k=COUNT, rerank=rerank)
    place = next(i for i in range(COUNT) if any(h.score > every[i].score for h in every[i + 1 :]))
    least = every[place].score + 1e-6
    expected = [hit.id for hit in every if hit.score >= least][: place + 1]

    found = search(gallery, photos / "07.png", k=place + 1, rerank=rerank, min_score=least)

    assert [hit.id for hit in found] == expected
    assert len(expected) == place + 1


@pytest.mark.parametrize("rerank", ["alpha-qe", "dba", "k-reciprocal", "superglobal"])
def test_conditions_and_cut_offs_hold_as_without(gallery, photos, rerank):
    every = search(gallery, photos / "07.png", k=COUNT, rerank=rerank)
    allowed = {hit.id for hit in every if hit.score >= 0.9}

    above = search(gallery, photos / "07.png", k=COUNT, rerank=rerank, min_score=0.9)
    others = search(gallery, photos / "07.png", k=COUNT, rerank=rerank, exclude_self=True)
    few = search(
        gallery, photos / "07.png", k=COUNT, rerank=rerank, where=parse('path like "%0_.png"')
    )

    assert {hit.id for hit in above} == allowed
    assert 0 < len(allowed) < COUNT
    assert 7 not in numbers(others)
    assert len(others) == COUNT - 1
    assert set(numbers(few)) == set(range(10))


def test_local_compares_the_patches_of_pictures(gallery, photos, embedder, by_name):
    query = embedder.embed([photos / "07.png"])[0]
    order = np.argsort(-by_name @ query, kind="stable").tolist()[:8]

    def patches(i):
        return embedder.patches(embedder.open(photos / f"{i:02}.png"))

    scores = [
        0.5 * by_name[i] @ query + 0.5 * local_score(patches(7), patches(i), Local()) for i in order
    ]

    for asked in (photos / "07.png", (photos / "07.png").read_bytes(), gallery_id(gallery, 7)):
        hits = search(gallery, asked, k=8, rerank=Local(shortlist=8))

        assert numbers(hits) == by_score(scores, order)
        expected = -np.sort(-np.array(scores))
        np.testing.assert_allclose([hit.reranked for hit in hits], expected, atol=1e-3)


def gallery_id(gallery, number):
    every = search(gallery, gallery.vectors([1])[0], k=COUNT)
    return next(hit.id for hit in every if int(hit.file.stem) == number)


def test_a_patch_is_a_row_of_the_grid(embedder, photos):
    tall = np.zeros((70, 42, 3), np.uint8)

    found = embedder.patches(tall)

    assert isinstance(found, Patches)
    assert (found.vectors.shape, found.rows, found.cols) == ((15, 16), 5, 3)
    np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), 1, atol=1e-5)


def test_a_hit_whose_file_is_gone_keeps_its_share_of_the_cosine(tmp_path, photos, embedder, caplog):
    names = ("00.png", "05.png", "10.png")
    (tmp_path / "few").mkdir()
    for name in names:
        (tmp_path / "few" / name).write_bytes((photos / name).read_bytes())
    with open_gallery(tmp_path / "few.dino", embedder) as gallery:
        list(ingest(from_folder(tmp_path / "few"), gallery))
        (tmp_path / "few" / "05.png").unlink()

        with caplog.at_level(logging.WARNING):
            hits = search(gallery, photos / "00.png", rerank="local:weight=0.25")

    gone = next(hit for hit in hits if hit.file.name == "05.png")
    assert gone.reranked == pytest.approx(0.75 * gone.score, abs=1e-5)
    assert "05.png" in caplog.text


def test_hits_in_an_archive_are_compared_by_their_small_pictures(tmp_path, photos, embedder):
    import tarfile

    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name in ("00.png", "05.png"):
            archive.add(photos / name, name)
    with open_gallery(tmp_path / "a.dino", embedder) as gallery:
        list(ingest(from_archive(tmp_path / "a.tar"), gallery))

        hits = search(gallery, photos / "00.png", rerank="local:weight=1")

    assert hits[0].reranked > 0.8  # a JPEG of the same picture
    assert hits[1].reranked > 0


def test_a_query_that_cannot_be_re_ranked_does_not_stop_the_others(gallery, photos):
    best = Mix([photos / "01.png", photos / "02.png"], combine="best")

    asked = search_many(gallery, [best, photos / "01.png"], rerank="superglobal")
    answers = [answer for _, answer in asked]

    assert isinstance(answers[0], UsageError)
    assert answers[0].code == "search.rerank"
    assert len(answers[1]) == 10


@pytest.mark.parametrize("query", ["mix", "vector"])
def test_local_needs_one_picture(gallery, photos, query):
    mix = Mix([photos / "01.png"], [photos / "02.png"])

    with pytest.raises(UsageError, match="patches of one picture"):
        search(gallery, mix if query == "mix" else gallery.vectors([1])[0], rerank="local")


def test_local_needs_an_embedder_with_patches(tmp_path, photos):
    with open_gallery(tmp_path / "g.dino", load_embedder("color-histogram")) as gallery:
        with pytest.raises(UsageError, match="has no patches") as found:
            search(gallery, photos / "01.png", rerank="local")
        assert found.value.code == "embedder.no_patches"
        assert search(gallery, photos / "01.png", rerank="superglobal") == []


def test_distance_and_a_re_ranking_are_not_both(gallery, photos):
    with pytest.raises(UsageError, match="not by both"):
        search(gallery, photos / "01.png", rerank="dba", l2=True)


def test_nothing_is_re_ranked_unless_it_is_asked_for(gallery, photos):
    hits = search(gallery, photos / "01.png", k=COUNT)

    assert all(hit.reranked is None for hit in hits)
    assert "reranked" not in hits[0].as_dict()
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_a_gallery_of_one_image_can_be_re_ranked(tmp_path, photos, embedder):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "a.png").write_bytes((photos / "00.png").read_bytes())
    with open_gallery(tmp_path / "one.dino", embedder) as gallery:
        list(ingest(from_folder(tmp_path / "one"), gallery))
        for rerank in (AlphaQE(), Augmentation(), KReciprocal(), SuperGlobal(), Local()):
            assert len(search(gallery, photos / "00.png", rerank=rerank)) == 1
