"""Rankings in, rankings out: nothing added, nothing lost, best first."""

import numpy as np
import pytest

from dinoseek.rerank.methods import rerank
from dinoseek.rerank.options import AlphaQE, Augmentation, KReciprocal, Local, SuperGlobal

from .conftest import clustered, ranked

EACH = [AlphaQE(), Augmentation(), KReciprocal(), SuperGlobal()]


@pytest.mark.parametrize("options", EACH, ids=lambda options: type(options).__name__)
def test_the_same_rows_come_back_best_first(queries, gallery, rankings, options):
    found = rerank(queries, gallery, rankings, options)

    assert (np.sort(found.rankings, axis=1) == np.sort(rankings, axis=1)).all()
    assert (np.diff(found.scores, axis=1) <= 0).all()
    assert found.scores.shape == rankings.shape
    assert (found.rankings != rankings).any()


@pytest.mark.parametrize("options", EACH, ids=lambda options: type(options).__name__)
def test_no_queries_give_no_rankings(gallery, options):
    none = np.empty((0, 12), np.float32)

    found = rerank(none, gallery, np.empty((0, 5), np.int64), options)

    assert found.rankings.shape == (0, 5)


@pytest.mark.parametrize("options", EACH, ids=lambda options: type(options).__name__)
def test_equal_hits_keep_their_order(options):
    gallery = np.repeat(clustered(1), 6, axis=0)
    rankings = np.array([[3, 1, 5, 0, 2, 4]])

    found = rerank(clustered(2)[1:], gallery, rankings, options)

    assert found.rankings.tolist() == rankings.tolist()


@pytest.mark.parametrize(
    "options", [Augmentation(shortlist=7), KReciprocal(shortlist=7), SuperGlobal(shortlist=7)]
)
def test_what_is_behind_the_shortlist_stays(queries, gallery, rankings, options):
    found = rerank(queries, gallery, rankings, options)
    alone = rerank(queries, gallery, rankings[:, :7], options)

    assert found.rankings[:, 7:].tolist() == rankings[:, 7:].tolist()
    assert found.rankings[:, :7].tolist() == alone.rankings.tolist()
    np.testing.assert_array_equal(found.scores[:, :7], alone.scores)
    assert np.isneginf(found.scores[:, 7:]).all()


def test_a_full_ranking_by_alpha_qe_is_a_second_search(queries, gallery):
    every = np.array([ranked(query, gallery, len(gallery)) for query in queries])

    found = rerank(queries, gallery, every, AlphaQE(neighbors=4, alpha=0))

    for query, ranking, new in zip(queries, every, found.rankings, strict=True):
        mean = query + gallery[ranking[:4]].sum(axis=0)
        assert new.tolist() == ranked(mean / np.linalg.norm(mean), gallery, len(gallery))


def test_local_re_ranking_asks_for_patches(queries, gallery, rankings):
    with pytest.raises(ValueError, match="patches"):
        rerank(queries, gallery, rankings, Local())
