"""Intervals that hold what they promise, and a test that does not take noise for a gain."""

import json

import numpy as np
import pytest

from dinoseek.errors import DataError, UsageError
from dinoseek.evaluation.bootstrap import intervals, paired_p_value
from dinoseek.evaluation.compare import compare, holm
from dinoseek.evaluation.result import Saved, load_saved


def test_the_value_is_the_mean_of_what_has_a_value():
    found = intervals({"a": np.array([0.0, 1.0, np.nan, 1.0]), "b": np.full(4, np.nan)})
    assert found["a"].value == pytest.approx(2 / 3)
    assert found["a"].low <= 2 / 3 <= found["a"].high
    assert np.isnan(found["b"]).all()


def test_the_interval_is_as_wide_as_theory_says():
    values = (np.random.default_rng(0).random(2000) < 0.3).astype(float)
    found = intervals({"a": values})["a"]
    expected = 1.96 * np.sqrt(0.3 * 0.7 / 2000)
    assert (found.high - found.low) / 2 == pytest.approx(expected, rel=0.1)


@pytest.mark.slow
def test_the_interval_holds_the_truth_nineteen_times_in_twenty():
    rng = np.random.default_rng(0)
    held = 0
    for seed in range(300):
        found = intervals({"a": rng.beta(2, 5, 150)}, draws=500, seed=seed)["a"]
        held += found.low <= 2 / 7 <= found.high
    assert 0.90 <= held / 300 <= 0.99


def test_queries_of_one_thing_drawn_together_give_a_wider_interval():
    values = np.repeat(np.random.default_rng(0).random(14), 5)
    alone = intervals({"a": values})["a"]
    together = intervals({"a": values}, np.repeat(np.arange(14), 5))["a"]
    assert together.value == pytest.approx(alone.value)
    assert together.high - together.low > 1.7 * (alone.high - alone.low)


def test_the_p_value_is_that_of_all_signs_of_a_few_differences():
    first, second = np.zeros(8), np.array([1.0, 2, 3, 4, 5, -1, 2, 0.5])
    signs = np.array(np.meshgrid(*[[-1, 1]] * 8)).reshape(8, -1)
    observed = abs((second - first).sum())
    exact = np.mean(abs((second - first) @ signs) >= observed - 1e-9)
    assert paired_p_value(first, second) == pytest.approx(exact, abs=0.005)


def test_equal_systems_are_not_told_apart():
    values = np.random.default_rng(0).random(50)
    assert paired_p_value(values, values) == 1.0


def test_holm_corrects_by_rank_and_never_falls():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]


def saved(values, *, queries=None, protocol="photos", groups=None, name="a.json"):
    count = len(next(iter(values.values())))
    return Saved(
        path=name,
        protocol=protocol,
        name="photos/official@224/cls/1",
        model="m",
        headline="recall@1",
        queries=queries or [str(i) for i in range(count)],
        groups=np.arange(count) if groups is None else groups,
        values=values,
    )


def test_noise_is_seldom_called_a_gain():
    """Two systems of equal quality, 60 times: 5 % may be called different, not much more."""
    rng = np.random.default_rng(0)
    called = 0
    for seed in range(60):
        pair = [{"recall@1": (rng.random(60) < 0.6).astype(float)} for _ in range(2)]
        (found,) = compare(saved(pair[0]), saved(pair[1]), seed=seed)
        called += found.verdict != "no difference shown"
    assert called <= 9  # of 60 at 5 %: three expected


def test_a_real_gain_and_a_real_loss_are_called_so():
    rng = np.random.default_rng(0)
    low = {"recall@1": (rng.random(300) < 0.5).astype(float)}
    high = {"recall@1": (rng.random(300) < 0.8).astype(float)}
    (gain,) = compare(saved(low), saved(high))
    assert gain.verdict == "better"
    assert 0.1 < gain.low < gain.difference < gain.high < 0.5
    assert compare(saved(high), saved(low))[0].verdict == "worse"


def test_a_gain_on_one_class_of_many_is_no_gain_in_general():
    """All fifty queries of one class gained, those of 19 others did not change."""
    first, second = np.zeros(1000), np.zeros(1000)
    second[:50] = 1
    groups = np.repeat(np.arange(20), 50)
    alone = compare(saved({"recall@1": first}), saved({"recall@1": second}))
    together = compare(
        saved({"recall@1": first}, groups=groups), saved({"recall@1": second}, groups=groups)
    )
    assert alone[0].verdict == "better"
    assert together[0].verdict == "no difference shown"


def test_evaluations_of_other_queries_or_protocols_are_not_compared():
    values = {"recall@1": np.ones(3)}
    for other in (
        saved(values, protocol="sop"),
        saved(values, queries=["x", "y", "z"]),
        saved({"map": np.ones(3)}),
    ):
        with pytest.raises(UsageError) as caught:
            compare(saved(values), other)
        assert caught.value.code == "evaluate.compare"


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[]", b"\xff", json.dumps({"dinoseek": "evaluation", "format": 99}).encode(),
     json.dumps({"dinoseek": "evaluation", "format": 1, "protocol": "a", "name": "a", "model": "m",
                 "headline": "x", "queries": ["a"], "groups": [0], "values": {"x": [1]}}
                ).replace("[1]", "[1, 2]").encode(),
     b"[" * 100_000],
    ids=["empty", "object", "list", "bytes", "format", "lengths", "deep"],
)  # fmt: skip
def test_what_is_no_evaluation_is_refused(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        load_saved(path)
    assert caught.value.code == "evaluate.format"
