"""What is measured: combinations, sizes, and which are in memory at once."""

import dataclasses

import pytest

from dinoseek.bench.plan import cases_of, groups_of, parse_size
from dinoseek.errors import UsageError

ROOM = 10**12


def test_every_combination_comes_once_and_engines_follow_each_other(model) -> None:
    found = cases_of(
        [model], ["numpy", "onnx", "numpy"], batches=[1, 8], threads=[1, 2], sizes=[(28, 28)]
    )

    assert [(case.batch, case.threads, case.engine) for case in found] == [
        (1, 1, "numpy"), (1, 1, "onnx"), (1, 2, "numpy"), (1, 2, "onnx"),
        (8, 1, "numpy"), (8, 1, "onnx"), (8, 2, "numpy"), (8, 2, "onnx"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "size"), [("224", (224, 224)), ("28x42", (28, 42)), ("42X28", (42, 28))]
)
def test_a_size_is_a_side_or_height_and_width(text, size) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("225", "the nearest is 224"),
        ("28x30", "the nearest is 28x28"),
        ("3", "the nearest is 14"),
        ("0", "no size in pixels"),
        ("-14", "no size in pixels"),
        ("28x", "no size in pixels"),
        ("14x14x14", "no size in pixels"),
        ("large", "no size in pixels"),
        ("٢٢٤", "no size in pixels"),
        ("14" * 9, "no size in pixels"),
        ("14000", "1,000,000 patches"),
    ],
)
def test_a_size_that_no_model_takes_is_refused_in_one_line(text, words) -> None:
    with pytest.raises(UsageError) as caught:
        parse_size(text)
    assert caught.value.code == "bench.size"

    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_compared_is_measured_together(model) -> None:
    cases = cases_of([model], ["a", "b", "c"], batches=[1, 2, 3], sizes=[(28, 28)])

    groups = list(groups_of(cases, ROOM))

    assert [case for group in groups for case in group] == cases
    assert [len(group) for group in groups] == [6, 3]


def test_what_does_not_fit_in_memory_is_measured_one_after_the_other(model) -> None:
    cases = cases_of([model], ["a", "b", "c"], sizes=[(28, 28)])

    assert [len(group) for group in groups_of(cases, 0)] == [1, 1, 1]
    assert [len(group) for group in groups_of(cases, 1_100_000_000)] == [2, 1]


def test_large_weights_leave_room_for_fewer(model, tmp_path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(1_000_000_000)  # takes no room on the disk
    cases = cases_of([dataclasses.replace(model, path=path)], "abc", sizes=[(28, 28)])

    assert [len(group) for group in groups_of(cases, 7_500_000_000)] == [2, 1]


def test_more_than_eight_are_never_in_memory_at_once(model) -> None:
    cases = cases_of([model], "abcdefghij", sizes=[(28, 28)])

    assert [len(group) for group in groups_of(cases, ROOM)] == [8, 2]
