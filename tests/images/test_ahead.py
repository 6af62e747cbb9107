import threading
import time

import pytest

from dinoseek.images.ahead import ahead


def threads():
    return [t for t in threading.enumerate() if t.name.startswith("dinoseek-ahead")]


def wait_until(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.001)


def test_results_come_in_the_order_of_the_items():
    def slow_first(number):
        time.sleep(0.03 if number % 4 == 0 else 0)
        return number * number

    results = list(ahead(slow_first, range(40), workers=4, depth=8))
    assert results == [number * number for number in range(40)]
    assert threads() == []


def test_it_works_ahead_of_the_consumer_but_no_further_than_depth():
    begun = []
    stream = ahead(lambda n: begun.append(n) or n, range(100), workers=3, depth=5)
    assert begun == []
    assert next(stream) == 0
    wait_until(lambda: len(begun) == 5)
    time.sleep(0.02)
    assert sorted(begun) == [0, 1, 2, 3, 4]
    assert next(stream) == 1
    wait_until(lambda: len(begun) == 6)
    time.sleep(0.02)
    assert len(begun) == 6
    stream.close()


def test_workers_really_work_side_by_side():
    meeting = threading.Barrier(3, timeout=60)
    met = list(ahead(lambda _: meeting.wait(), range(6), workers=3, depth=3))
    assert sorted(met) == [0, 0, 1, 1, 2, 2]


def test_items_are_taken_only_as_they_are_needed():
    taken = []

    def items():
        for number in range(1000):
            taken.append(number)
            yield number

    stream = ahead(str, items(), workers=2, depth=4)
    assert [next(stream) for _ in range(3)] == ["0", "1", "2"]
    assert len(taken) <= 7
    stream.close()


def test_an_exception_is_raised_where_its_result_would_have_come():
    def fails_at_three(number):
        if number == 3:
            raise KeyError(number)
        time.sleep(0.01)
        return number

    seen = []
    with pytest.raises(KeyError, match="3"):
        seen.extend(ahead(fails_at_three, range(10), workers=4, depth=10))
    assert seen == [0, 1, 2]
    assert threads() == []


def test_an_exception_of_the_items_waits_for_the_results_before_it():
    def items():
        yield from (0, 1, 2)
        raise OSError("the disk is gone")

    seen = []
    with pytest.raises(OSError, match="the disk is gone"):
        seen.extend(ahead(lambda n: time.sleep(0.01) or n, items(), workers=2, depth=10))
    assert seen == [0, 1, 2]


def test_a_consumer_that_stops_early_leaves_no_thread_and_no_work():
    done = []

    def work(number):
        time.sleep(0.02)
        done.append(number)
        return number

    for result in ahead(work, range(10_000), workers=2, depth=1000):
        if result == 1:
            break
    wait_until(lambda: threads() == [])
    assert len(done) < 500  # what had begun; all that it looked ahead to would be 1000


def test_endless_items_are_fine():
    from itertools import count

    stream = ahead(lambda n: -n, count(), workers=2, depth=3)
    assert [next(stream) for _ in range(5)] == [0, -1, -2, -3, -4]
    stream.close()
    assert threads() == []


def test_no_items_give_no_results():
    assert list(ahead(str, [], workers=1, depth=1)) == []


def test_a_depth_of_one_works():
    assert list(ahead(str, range(3), workers=4, depth=1)) == ["0", "1", "2"]


@pytest.mark.parametrize(("workers", "depth"), [(0, 1), (1, 0)])
def test_no_workers_or_no_depth_is_a_mistake(workers, depth):
    with pytest.raises(ValueError, match="at least 1"):
        ahead(str, [], workers=workers, depth=depth)
