"""Stars of alike images against a naive loop, and what sets them apart from connected ones."""

import numpy as np
import pytest

from dinoseek.duplicates import stars as module
from dinoseek.duplicates.stars import stars


def every_pair(some, others):
    return np.ones(len(some), bool)


def found(vectors, threshold, alike=every_pair, opposed=None):
    read = lambda start, end: vectors[start:end]  # noqa: E731
    result = stars(len(vectors), read, threshold, alike, opposed or {})
    return [[star.centre, *star.members] for star in result]


def naive(vectors, threshold, alike, opposed):
    """One image after the other: it joins the centre that it is most alike with, or becomes one."""
    groups: list[list[int]] = []
    for i, vector in enumerate(vectors):
        best, home = -2.0, None
        for group in groups:
            score = float(vector @ vectors[group[0]])
            if score < threshold or not alike(i, group[0]):
                continue
            if opposed.get(i, set()) & set(group):
                continue
            if score > best:
                best, home = score, group
        if home is None:
            groups.append([i])
        else:
            home.append(i)
    return groups


def at_angles(*degrees):
    radians = np.radians(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


@pytest.mark.parametrize("threshold", [0.5, 0.8])
def test_stars_are_those_of_a_naive_loop(threshold, monkeypatch):
    monkeypatch.setattr(module, "_BLOCK", 64)  # several blocks, and chunks of centres
    monkeypatch.setattr(module, "_CHUNK", 16)
    rng = np.random.default_rng(1)
    vectors = rng.standard_normal((300, 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    opposed: dict[int, set[int]] = {}
    for a, b in rng.integers(0, 300, (200, 2)).tolist():
        if a != b:
            opposed.setdefault(a, set()).add(b)
            opposed.setdefault(b, set()).add(a)

    def odd(some, others):
        return (some + others) % 3 > 0

    expected = naive(vectors, threshold, odd, opposed)
    assert found(vectors, threshold, odd, opposed) == expected
    assert max(map(len, expected)) > 3


def test_a_chain_does_not_join_its_unlike_ends():
    chain = at_angles(0, 20, 40, 60, 80)  # neighbours have a cosine of 0.94, the ends of 0.17

    groups = found(chain, 0.9)

    assert groups == [[0, 1], [2, 3], [4]]
    assert all(chain[g[0]] @ chain[i] >= 0.9 for g in groups for i in g)


def test_an_image_joins_the_centre_it_is_most_alike_with():
    assert found(at_angles(0, 40, 25), 0.8) == [[0], [1, 2]]


def test_opposed_images_never_share_a_star():
    three = at_angles(0, 1, 2)

    assert found(three, 0.9) == [[0, 1, 2]]
    assert found(three, 0.9, opposed={1: {2}, 2: {1}}) == [[0, 1], [2]]
    assert found(three, 0.9, opposed={0: {1}, 1: {0}}) == [[0], [1, 2]]


def test_no_images_make_no_stars():
    assert found(np.empty((0, 4), np.float32), 0.5) == []


def test_many_images_of_one_scene_need_no_list_of_their_pairs():
    asked = 0

    def count(some, others):
        nonlocal asked
        asked += len(some)
        return np.ones(len(some), bool)

    groups = found(np.ones((2000, 1), np.float32), 0.9, count)

    assert [len(group) for group in groups] == [2000]
    assert asked < 2000 * 2000 / 6  # of some two million pairs
