"""Batches of classes: what is in them, how often, and that they come again."""

from collections import Counter

import numpy as np
import pytest

from dinoseek.errors import UsageError
from dinoseek.train.data.sampler import SUPER_CLASSES, Sampler

LABELS = [f"class {number}" for number in range(50) for _ in range(2 + number % 6)]
LABELS.insert(40, "class 50")  # which is alone
KINDS = [f"kind {int(label.split()[1]) % 10}" for label in LABELS]


def sampler(**changes):
    usual = {"labels": LABELS, "classes_per_batch": 8, "images_per_class": 4}
    return Sampler(**usual | changes)


def classes_of(batch):
    return [LABELS[row] for row in batch]


@pytest.mark.parametrize("kinds", [None, KINDS])
@pytest.mark.parametrize("seed", range(5))
def test_a_batch_has_so_many_images_of_so_many_classes(kinds, seed):
    made = sampler(super_labels=kinds, seed=seed)

    batches = list(made.epoch(0))

    assert len(batches) == len(made) == 7
    for batch in batches:
        assert batch.shape == (32,)
        groups = batch.reshape(8, 4)
        names = [{LABELS[row] for row in group} for group in groups]
        assert all(len(name) == 1 for name in names)
        assert len(set.union(*names)) == 8


@pytest.mark.parametrize("kinds", [None, KINDS])
@pytest.mark.parametrize("seed", range(5))
def test_each_class_comes_in_each_epoch(kinds, seed):
    found = np.concatenate(list(sampler(super_labels=kinds, seed=seed).epoch(3)))

    counts = Counter(classes_of(found))
    assert set(counts) == set(LABELS) - {"class 50"}
    assert set(counts.values()) == {4, 8}
    assert sum(count == 8 for count in counts.values()) == 6  # 7 batches of 8, 50 classes


def test_an_image_comes_twice_only_where_its_class_has_too_few():
    sizes = Counter(LABELS)

    for batch in sampler().epoch(0):
        for group in batch.reshape(8, 4):
            name = LABELS[group[0]]
            assert len(set(group.tolist())) == min(4, sizes[name]) or sizes[name] < 4


def test_the_same_seed_and_epoch_give_the_same_batches_and_others_do_not():
    first = np.stack(list(sampler(seed=5).epoch(2)))

    np.testing.assert_array_equal(first, np.stack(list(sampler(seed=5).epoch(2))))
    assert (first != np.stack(list(sampler(seed=5).epoch(3)))).any()
    assert (first != np.stack(list(sampler(seed=6).epoch(2)))).any()


def test_processes_have_classes_of_their_own_in_each_step():
    makers = [
        sampler(classes_per_batch=4, rank=rank, world=3, super_labels=KINDS) for rank in range(3)
    ]

    for step in zip(*(maker.epoch(1) for maker in makers), strict=True):
        seen = [set(classes_of(batch)) for batch in step]
        assert [len(each) for each in seen] == [4, 4, 4]
        assert len(set.union(*seen)) == 12


def kinds_of(batch):
    return {KINDS[row] for row in batch}


def test_a_share_of_the_batches_has_classes_that_look_alike():
    alike = mixed = 0
    for number in range(20):
        for batch in sampler(super_labels=KINDS, super_share=0.5).epoch(number):
            alike += len(kinds_of(batch)) <= SUPER_CLASSES
            mixed += len(kinds_of(batch)) > SUPER_CLASSES

    by_chance = sum(
        len(kinds_of(batch)) <= SUPER_CLASSES
        for number in range(20)
        for batch in sampler().epoch(number)
    )
    assert alike > 50  # of 140
    assert mixed > 50
    assert by_chance < 10


def test_all_batches_can_be_alike():
    found = [
        len(kinds_of(batch)) for batch in sampler(super_labels=KINDS, super_share=1.0).epoch(0)
    ]

    assert sum(each <= SUPER_CLASSES for each in found) >= len(found) - 3


@pytest.mark.parametrize("seed", range(5))
def test_no_class_comes_twice_in_a_batch_of_look_alikes(seed):
    for batch in sampler(super_labels=KINDS, super_share=1.0, seed=seed).epoch(0):
        assert len(set(classes_of(batch))) == 8


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"classes_per_batch": 51}, "51 classes in a batch: there are only 50 classes"),
        ({"classes_per_batch": 26, "world": 2}, "52 classes in a batch: there are only 50"),
        ({"images_per_class": 1}, "8 x 1: needs two classes and two images"),
        ({"classes_per_batch": 1}, "1 x 4: needs two classes"),
        ({"super_share": 1.5}, "super_share 1.5: must be from 0 to 1"),
    ],
)
def test_what_cannot_be_filled_is_refused(changes, said):
    with pytest.raises(UsageError, match=said) as caught:
        sampler(**changes)

    assert caught.value.code == "train.batch"
