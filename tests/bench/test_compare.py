"""Two runs side by side: what changed by more than it varies."""

import pytest

from dinoseek.bench.compare import changes, differences, only_in


def result(rounds, **more):
    ordinary = {
        "engine": "numpy", "precision": "float32", "model": "tiny", "is_random": False,
        "size": (28, 28), "batch": 1, "threads": 1, "tokens": "class",
    }  # fmt: skip
    return {**ordinary, "rounds": rounds, "images_per_s": sorted(rounds)[len(rounds) // 2], **more}


def run(*results, machine=None, versions=None):
    return {"results": list(results), "machine": machine or {}, "versions": versions or {}}


@pytest.mark.parametrize(
    ("before", "now", "exceeds"),
    [
        ([10, 10, 10], [11, 11, 11], True),
        ([9, 10, 11], [10, 11, 12], False),  # quartiles 9.5 and 10.5: 1 wide each, 1 apart
        ([9, 10, 11], [11.9, 12.1, 13.9], True),  # 2.1 apart, 1 + 1 wide
        ([9, 10, 11], [11.9, 11.9, 13.9], False),
        ([10, 10], [20, 20, 20], None),
        ([10, 10, 10, 1], [11, 11, 11, 11], False),  # the slow one widens its half
        ([20, 20, 20], [10, 10, 10], True),
    ],
)
def test_a_difference_is_judged_by_how_much_both_runs_vary(before, now, exceeds) -> None:
    (change,) = changes(run(result(before)), run(result(now)))

    assert change.exceeds_spread is exceeds
    assert change.ratio == pytest.approx(change.now / change.before)


def test_only_the_same_combinations_are_compared() -> None:
    before = run(result([1] * 3), result([2] * 3, batch=8), result([3] * 3, is_random=True))
    now = run(result([4] * 3, batch=8), result([5] * 3, threads=2))

    (change,) = changes(before, now)

    assert (change.before, change.now, change.key["batch"]) == (2, 4, 8)
    assert [each["rounds"][0] for each in only_in(before, now)] == [1, 3]
    assert [each["rounds"][0] for each in only_in(now, before)] == [5]


def test_what_else_differs_is_told() -> None:
    before = run(machine={"processor": "A", "cores": 2}, versions={"numpy": "1", "torch": "2"})
    now = run(machine={"processor": "B", "cores": 2}, versions={"numpy": "1"})

    assert differences(before, now) == [
        "processor: A before, B now",
        "torch: 2 before, none now",
    ]
    assert differences(before, before) == []
