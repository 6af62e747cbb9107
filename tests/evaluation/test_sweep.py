"""A sweep that finds what is better, and takes neither luck nor the half it may not see for it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dinoseek.errors import DataError
from dinoseek.evaluation.compare import holm, p_value_of
from dinoseek.evaluation.dataset import Dataset
from dinoseek.evaluation.kinds import Kind
from dinoseek.evaluation.reordered import timed_ranks
from dinoseek.evaluation.scoring import score_vectors
from dinoseek.evaluation.sweep import SweepOptions, halves, sweep
from dinoseek.evaluation.vectors import Made, Vectors
from dinoseek.matching import Patches
from dinoseek.pooling import unit
from dinoseek.rerank.methods import rerank
from dinoseek.rerank.options import AlphaQE, Augmentation, KReciprocal, Local, SuperGlobal

CLASSES, EACH = 30, 5


@pytest.fixture
def dataset():
    return labelled(np.repeat(np.arange(CLASSES), EACH))


def labelled(numbers):
    every = np.arange(len(numbers))
    return Dataset(
        name="synthetic", root=Path(), images=[f"{i}.jpg" for i in every],
        labels=[f"{n:03}" for n in numbers], queries=every, gallery=every, cutoffs=(1, 5, 10),
    )  # fmt: skip


def kind(dataset, noise, pooling, *, seed=0, image_ms=None):
    """Vectors around a centre for each class; `noise` may differ from image to image."""
    rng = np.random.default_rng(seed)
    numbers = dataset.numbers
    centres = rng.standard_normal((numbers.max() + 1, 16))[numbers]
    spread = np.broadcast_to(noise, len(numbers))[:, None]
    rows = unit(centres + spread * rng.standard_normal((len(numbers), 16))).astype(np.float32)
    vectors = Vectors(
        matrix=rows,
        missing=np.zeros(len(rows), bool),
        made=Made(model="m", preprocess="p", pooling=pooling, scales=(1.0,)),
    )
    return Kind(vectors=vectors, image_ms=image_ms)


def test_what_is_truly_better_is_recommended_with_its_gain_on_the_other_half_and_its_cost(dataset):
    kinds = [
        kind(dataset, 2.0, "cls", image_ms=7.0),
        kind(dataset, 0.8, "gem", image_ms=9.0),
        kind(dataset, 2.0, "mean", seed=1),
    ]
    found = sweep(dataset, kinds, [None], SweepOptions())
    assert found.recommended == found.tried[1] == found.chosen
    assert found.recommended.name == "gem/1/none"
    assert found.recommended.image_ms == 9.0
    assert found.recommended.query_ms > 0
    assert found.tried[0].p_value is None
    assert found.tried[1].p_value < 0.05 < found.tried[2].p_value
    _, held = halves(dataset)[0]
    expected = [naive(held, each.vectors.matrix) for each in kinds[:2]]
    assert found.shown.first.value == pytest.approx(expected[0].mean())
    assert found.shown.gain.value == pytest.approx((expected[1] - expected[0]).mean())
    assert found.shown.gain.low > 0.1
    assert found.shown.queries == CLASSES * EACH / 2


def naive(dataset, matrix):
    """MAP@R (q,) by sorting whole rankings."""
    values = []
    for query in dataset.queries:
        order = [row for row in np.argsort(-matrix @ matrix[query]) if row != query]
        right = [dataset.labels[row] == dataset.labels[query] for row in order]
        precisions = [np.mean(right[: i + 1]) for i in range(sum(right)) if right[i]]
        values.append(sum(precisions) / sum(right))
    return np.array(values)


def test_the_best_of_much_noise_is_not_recommended(dataset):
    kinds = [kind(dataset, 2.0, "cls")]
    kinds += [kind(dataset, 2.0, f"noise{seed}", seed=seed) for seed in range(1, 40)]
    found = sweep(dataset, kinds, [None], SweepOptions())
    validation, _ = halves(dataset)[0]
    values = [naive(validation, each.vectors.matrix) for each in kinds]
    groups = validation.numbers[validation.queries]
    single = [p_value_of(values[0], each, groups) for each in values[1:]]
    assert min(single) < 0.05  # without the correction one would have been taken
    assert [each.p_value for each in found.tried[1:]] == holm(single)
    assert found.chosen is found.recommended is found.shown is None


def test_the_other_half_is_not_looked_at_for_choosing(dataset):
    (validation, held), _ = halves(dataset)
    flatters, everywhere = np.full(len(dataset.images), 0.5), np.full(len(dataset.images), 0.9)
    flatters[held.queries] = 50.0  # the best by what it is chosen by, noise in the other half
    kinds = [kind(dataset, 1.6, "cls"), kind(dataset, flatters, "flatters"),
             kind(dataset, everywhere, "everywhere")]  # fmt: skip
    both = [naive(replace(dataset), each.vectors.matrix).mean() for each in kinds]
    assert np.argmax(both) == 2
    found = sweep(dataset, kinds, [None], SweepOptions())
    assert found.chosen.pooling == "flatters"
    assert found.shown.gain.value < 0
    assert found.recommended is None
    assert [each.value.value for each in found.tried] == pytest.approx(
        [naive(validation, each.vectors.matrix).mean() for each in kinds]
    )


def test_a_gain_that_the_other_half_leaves_open_is_not_recommended(dataset):
    (_, held), _ = halves(dataset)
    noise = np.full(len(dataset.images), 0.8)
    noise[held.queries] = 2.0
    kinds = [kind(dataset, 2.0, "cls"), kind(dataset, noise, "gem", seed=1)]
    found = sweep(dataset, kinds, [None], SweepOptions())
    assert found.chosen is not None
    assert found.shown.p_value > 0.05
    assert found.recommended is None


def test_what_is_worse_by_more_than_chance_is_not_chosen(dataset):
    kinds = [kind(dataset, 0.8, "cls"), kind(dataset, 3.0, "mean")]
    found = sweep(dataset, kinds, [None], SweepOptions())
    assert found.tried[1].p_value < 0.05
    assert found.chosen is None


def test_of_equal_combinations_the_cheaper_is_chosen(dataset):
    kinds = [kind(dataset, 2.0, "cls", image_ms=1e6)]
    kinds += [kind(dataset, 0.8, f"gem{ms}", image_ms=ms) for ms in (3e6, 2e6, 4e6)]
    found = sweep(dataset, kinds, [None], SweepOptions())
    assert found.chosen.pooling == "gem2000000.0"


def test_halves_have_different_classes_where_there_are_enough_and_follow_the_seed(dataset):
    (first, second), by = halves(dataset, 3)
    assert by == "classes"
    assert not set(first.numbers[first.queries]) & set(second.numbers[second.queries])
    assert sorted([*first.queries, *second.queries]) == list(range(CLASSES * EACH))
    assert list(first.gallery) == list(second.gallery) == list(dataset.gallery)
    assert list(halves(dataset, 3)[0][0].queries) == list(first.queries)
    assert list(halves(dataset, 4)[0][0].queries) != list(first.queries)


def test_with_few_classes_queries_are_halved_and_those_with_nothing_to_find_are_in_neither():
    dataset = labelled(np.array([*np.repeat(np.arange(3), 10), 7, 8]))
    (first, second), by = halves(dataset)
    assert by == "queries"
    assert sorted([*first.queries, *second.queries]) == list(range(30))
    assert len(first.queries) == 15


def test_too_few_queries_are_refused():
    with pytest.raises(DataError, match="22 queries"):
        halves(labelled(np.repeat(np.arange(2), 11)))


METHODS = [
    AlphaQE(neighbors=3),
    Augmentation(shortlist=30),
    Augmentation(neighbors=4, shortlist=1000),
    KReciprocal(k1=5, k2=2, shortlist=40),
    SuperGlobal(shortlist=30),
]


@pytest.mark.parametrize("options", METHODS, ids=str)
def test_re_ranking_is_as_in_a_gallery_that_never_had_the_query(dataset, options):
    matrix = kind(dataset, 1.5, "cls").vectors.matrix
    found = [each.found.ranks.tolist() for each in timed_ranks(dataset, matrix, options)]
    for query in range(0, len(matrix), 7):
        rest = np.delete(np.arange(len(matrix)), query)
        first = np.argsort(-matrix[rest] @ matrix[query], kind="stable")[None]
        ranking = rest[rerank(matrix[query][None], matrix[rest], first, options).rankings[0]]
        right = [i for i, row in enumerate(ranking) if dataset.numbers[row] == query // EACH]
        assert found[query] == right


def test_without_re_ranking_ranks_are_those_of_an_evaluation(dataset):
    matrix = kind(dataset, 1.5, "cls").vectors.matrix
    matrix[145:] = matrix[:5]  # equal pictures of different labels, where BLAS adds otherwise
    apart = replace(dataset, queries=np.arange(0, 150, 2), gallery=np.arange(1, 150))
    for each in (dataset, apart):
        found = [one.found.ranks.tolist() for one in timed_ranks(each, matrix, None)]
        expected = score_vectors(matrix[each.queries], matrix[each.gallery], each.truth())
        assert found == [one.ranks.tolist() for one in expected]


def test_local_re_ranking_compares_patches_of_the_images_by_their_position(dataset):
    matrix = kind(dataset, 3.0, "cls").vectors.matrix
    rng = np.random.default_rng(0)
    scenes = unit(rng.standard_normal((CLASSES, 16, 24)).astype(np.float32))

    def patches(position):
        return Patches(scenes[dataset.numbers[position]], 4, 4)

    options = Local(weight=1, shortlist=1000)
    fewer = replace(dataset, queries=np.array([3, 77]))
    assert [each.found.ranks.tolist() for each in timed_ranks(fewer, matrix, None)] != [
        [0, 1, 2, 3]
    ] * 2
    found = timed_ranks(fewer, matrix, options, patches)
    assert [each.found.ranks.tolist() for each in found] == [[0, 1, 2, 3]] * 2
