"""Counting outcomes."""

import pytest

from dinoseek.ingest.outcomes import Duplicate, Failed, Item, Removed, Skipped, Stored, Summary

ITEM = Item(root="/photos", path=b"a\xff\n.jpg")


def test_I6_every_outcome_is_counted_once_and_removals_beside_the_total():
    outcomes = [
        Stored(ITEM, 1),
        Skipped(ITEM, "unchanged"),
        Skipped(ITEM, "link"),
        Duplicate(ITEM, ITEM.file),
        Failed(ITEM, "image.corrupt", "it is damaged"),
        Failed(ITEM, "image.corrupt", "it is damaged", known=True),
        Failed(ITEM, "path.vanished", "there is no such file"),
        Removed(ITEM),
    ]
    summary = Summary.of(iter(outcomes))
    assert summary == Summary(
        stored=1,
        skipped=2,
        duplicates=1,
        failed=3,
        removed=1,
        codes={"image.corrupt": 2, "path.vanished": 1},
    )
    assert summary.total == 7


def test_nothing_sums_to_nothing():
    assert Summary.of([]).total == 0


def test_a_summary_stays_as_it_is():
    summary = Summary()
    summary.plus(Failed(ITEM, "a", "b"))
    assert summary == Summary()


def test_an_item_can_be_printed_and_opened():
    assert str(ITEM) == "/photos/a\\udcff\\n.jpg"
    assert bytes(ITEM.file) == b"/photos/a\xff\n.jpg"


@pytest.mark.parametrize("outcome", [Stored(ITEM, 1), Removed(ITEM)])
def test_outcomes_are_values(outcome):
    with pytest.raises(AttributeError):
        outcome.item = None
