"""Queries of several parts: how they are named, checked and averaged."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dinoseek.errors import UsageError
from dinoseek.images.region import Region
from dinoseek.queries import Mix, Part, average, name_of, sources_of, unit


@pytest.mark.parametrize(
    ("query", "name"),
    [
        (7, "7"),
        (np.int64(7), "7"),
        ("a\nb.jpg", "a\\nb.jpg"),
        (Path("a.jpg"), "a.jpg"),
        (b"...", "image"),
        (Image.new("RGB", (1, 1)), "image"),
        (np.ones(3), "vector"),
        (Part("a.jpg", weight=2), "a.jpg"),
        (Mix(["a.jpg"]), "a.jpg"),
        (Mix(["a.jpg", 3], [Part("c.jpg", weight=0.5)]), "a.jpg + 3 - 0.5:c.jpg"),
    ],
)
def test_a_query_is_named_as_it_would_be_written(query, name):
    assert name_of(query) == name


@pytest.mark.parametrize("weight", [0, -1, float("nan"), float("inf")])
def test_a_weight_is_a_number_above_zero(weight):
    with pytest.raises(UsageError, match=r"a\.jpg") as caught:
        Part("a.jpg", weight=weight)
    assert caught.value.code == "search.weight"


def test_a_mix_needs_something_to_be_like():
    with pytest.raises(UsageError) as caught:
        Mix([], ["a.jpg"])
    assert caught.value.code == "search.mix"


def test_a_way_to_combine_that_there_is_not_is_refused():
    with pytest.raises(UsageError, match="average and best"):
        Mix(["a.jpg"], combine="worst")  # type: ignore[arg-type]


def test_the_best_of_several_knows_no_weights():
    with pytest.raises(UsageError, match="weights"):
        Mix(["a.jpg", Part("b.jpg", weight=2)], combine="best")


def test_an_average_that_vanishes_is_refused():
    vectors = np.eye(3, dtype=np.float32)[[0, 1, 0, 1]]
    with pytest.raises(UsageError) as caught:
        average(vectors, [1, 1, -1, -1], "a + b - a - b")
    assert caught.value.code == "search.vanished"


def test_an_image_minus_itself_is_nothing_even_after_rounding_to_float16():
    for seed in range(20):
        vector = unit(np.random.default_rng(seed).standard_normal(384), None)
        rounded = unit(vector.astype(np.float16), None)
        with pytest.raises(UsageError):
            average(np.stack([vector, rounded]), [3, -3], "a - a")


def test_a_near_copy_less_the_other_is_something():
    rng = np.random.default_rng(0)
    vector = unit(rng.standard_normal(384), None)
    near = unit(vector + 0.005 * rng.standard_normal(384), None)

    assert np.linalg.norm(average(np.stack([vector, near]), [1, -1], "a - b")) == pytest.approx(1)


def test_an_average_has_unit_length_however_large_its_weights():
    rows = np.eye(2, dtype=np.float32)
    for weight in (1e-30, 1, 1e30):
        assert average(rows, [weight, weight], "q") == pytest.approx([0.5**0.5, 0.5**0.5])


def test_a_part_keeps_its_own_region_and_the_others_get_the_one_for_all():
    own, all_others = Region(1, 2, 3, 4), Region(5, 6, 7, 8)
    mix = Mix([Part("a.jpg", region=own), "b.jpg"], [7])

    sources = sources_of(mix, all_others, lambda id: Path(f"{id}.jpg"))

    assert [each.region for each in sources] == [own, all_others, all_others]
    assert [each.query for each in sources] == ["a.jpg", "b.jpg", Path("7.jpg")]
    assert [each.own for each in sources] == [None, None, 7]
    assert [each.weight for each in sources] == [1, 1, -1]


def test_without_a_region_an_id_stays_the_vector_that_it_has():
    (source,) = sources_of(7, None, lambda _: Path("never asked"))

    assert source.query == 7


def test_a_vector_has_no_regions():
    with pytest.raises(UsageError) as caught:
        sources_of(np.ones(3), Region(0, 0, 1, 1), lambda _: Path())
    assert caught.value.code == "search.region"
