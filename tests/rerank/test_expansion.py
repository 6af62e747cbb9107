"""Query expansion and database augmentation against loops over single numbers."""

import numpy as np
import pytest

from dinoseek.rerank.expansion import alpha_query_expansion, augmented, nearest_others
from dinoseek.rerank.options import AlphaQE, Augmentation

from .conftest import clustered, ranked


def naive_joined(vector, others, alpha):
    total = [float(value) for value in vector]
    for other in others:
        cosine = sum(float(a) * float(b) for a, b in zip(vector, other, strict=True))
        weight = cosine**alpha if cosine > 0 else 0.0
        total = [a + weight * float(b) for a, b in zip(total, other, strict=True)]
    length = sum(value * value for value in total) ** 0.5
    return [value / length for value in total]


@pytest.mark.parametrize("alpha", [0, 1, 3])
@pytest.mark.parametrize("neighbors", [1, 10, 100])
def test_a_query_is_joined_by_its_first_hits(queries, gallery, rankings, alpha, neighbors):
    options = AlphaQE(neighbors=neighbors, alpha=alpha)

    found = alpha_query_expansion(queries, gallery, rankings, options)

    for query, ranking, new in zip(queries, rankings, found, strict=True):
        expected = naive_joined(query, gallery[ranking[:neighbors]], alpha)
        np.testing.assert_allclose(new, expected, atol=2e-6)
    assert found.dtype == np.float32


def test_a_hit_that_points_away_has_no_weight():
    query, hits = np.float32([[1, 0]]), np.float32([[-0.6, 0.8], [0.6, 0.8]])
    rankings = np.array([[1, 0]])

    for alpha in (0, 2, 3):
        found = alpha_query_expansion(query, hits, rankings, AlphaQE(neighbors=2, alpha=alpha))

        np.testing.assert_allclose(found[0], naive_joined(query[0], hits[1:], alpha), atol=1e-6)


def test_each_image_is_joined_by_its_nearest_others(gallery):
    found = augmented(gallery, Augmentation(neighbors=3, alpha=2))

    for place, vector in enumerate(gallery):
        others = [row for row in ranked(vector, gallery, 60) if row != place][:3]
        np.testing.assert_allclose(
            found[place], naive_joined(vector, gallery[others], 2), atol=2e-6
        )


def test_an_image_is_no_neighbour_of_itself_also_among_copies():
    copies = np.repeat(clustered(3), 2, axis=0)

    found = nearest_others(copies, 1)

    assert found[:, 0].tolist() == [1, 0, 3, 2, 5, 4]


def test_a_gallery_of_one_image_stays_as_it_is():
    alone = clustered(1)

    np.testing.assert_allclose(augmented(alone, Augmentation()), alone, atol=1e-6)


def test_large_galleries_are_taken_in_parts(gallery, monkeypatch):
    whole = nearest_others(gallery, 5)
    monkeypatch.setattr("dinoseek.rerank.expansion._SCORES_AT_ONCE", 60 * 7)

    np.testing.assert_array_equal(nearest_others(gallery, 5), whole)
