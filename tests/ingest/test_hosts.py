"""Many addresses at once: who waits for whom, and who is left alone."""

import threading
import time
from collections import Counter

import pytest

from dinoseek.errors import FetchError
from dinoseek.ingest import hosts
from dinoseek.ingest.fetch import BusyError
from dinoseek.ingest.hosts import fetch_all


def host_of(task):
    return task[0]


def tasks_of(*counts):
    """(host, number) pairs: as many of each host as are asked for."""
    return [(host, number) for host, count in counts for number in range(count)]


@pytest.fixture(autouse=True)
def nothing_is_left():
    """No thread outlives its run; those of runs elsewhere that failed may still be there."""
    before = set(threading.enumerate())
    yield
    left = set(threading.enumerate()) - before
    assert not [thread for thread in left if thread.name.startswith("dinoseek-fetch")]


def test_every_task_comes_back_once_with_what_became_of_it():
    def fetch(task):
        if task[1] % 3 == 0:
            raise FetchError("url.http_404", task, "gone")
        return task[1]

    tasks = tasks_of(("a", 50), ("b", 50), ("", 50))
    results = dict(fetch_all(tasks, fetch, host_of, workers=8))
    assert set(results) == set(tasks)
    for task, result in results.items():
        assert (result.code if task[1] % 3 == 0 else result) in ("url.http_404", task[1])


def test_URL_29_a_host_that_fails_twenty_times_is_left_alone_and_the_others_are_not():
    asked = Counter()

    def fetch(task):
        asked[task[0]] += 1
        if task[0] == "down":
            raise FetchError("url.timeout", task, "slow")
        return task

    results = list(fetch_all(tasks_of(("down", 300), ("up", 300)), fetch, host_of, workers=8))
    codes = Counter(getattr(result, "code", "ok") for _, result in results)
    assert codes["ok"] == 300
    assert 20 <= asked["down"] < 30
    assert codes["url.host_down"] == 300 - asked["down"]
    assert asked["up"] == 300


def test_URL_29_failures_that_are_final_do_not_count_against_a_host():
    def fetch(task):
        raise FetchError("url.http_404", task, "gone")

    results = [result.code for _, result in fetch_all(tasks_of(("a", 100)), fetch, host_of)]
    assert set(results) == {"url.http_404"}


def test_URL_30_a_slow_host_holds_up_no_other_and_is_asked_by_few_at_once():
    running, most, lock = Counter(), Counter(), threading.Lock()
    fast, fast_are_done = [], threading.Event()

    def fetch(task):
        with lock:
            running[task[0]] += 1
            most[task[0]] = max(most[task[0]], running[task[0]])
        if task[0] == "slow":
            assert fast_are_done.wait(60)
        time.sleep(0.001)
        with lock:
            running[task[0]] -= 1
            fast.append(task[0] != "slow")
            if sum(fast) == 300:
                fast_are_done.set()
        return task

    tasks = tasks_of(("slow", 60), ("f1", 150), ("f2", 150))  # the slow ones come first
    order = [task[0] for task, _ in fetch_all(tasks, fetch, host_of, workers=10, per_host=4)]
    assert len(order) == 360
    assert max(most.values()) <= 4


def test_a_server_that_asks_for_patience_gets_it_and_only_that_one():
    asked = []

    def fetch(task):
        asked.append((task[0], time.monotonic()))
        if task == ("busy", 0):
            raise BusyError("url.rate_limited", task, "slow down", seconds=1.0)
        return task

    tasks = [("busy", 0), *tasks_of(("other", 5)), ("busy", 1)]
    list(fetch_all(tasks, fetch, host_of, workers=1, per_host=1))
    assert [host for host, _ in asked] == ["busy", *["other"] * 5, "busy"]
    assert asked[-1][1] - asked[0][1] >= 1.0


def test_URL_42_when_the_network_is_gone_it_is_waited_for_but_not_for_ever(monkeypatch):
    monkeypatch.setattr(hosts, "_OUTAGE_PAUSES", (0.4, 0.6))
    back = 0.0

    def fetch(task):
        nonlocal back
        back = back or time.monotonic() + 0.8
        if time.monotonic() < back:
            raise FetchError("url.connect", task, "no route")
        return task

    tasks = [(f"h{number % 40}", number) for number in range(400)]
    results = [result for _, result in fetch_all(tasks, fetch, host_of, workers=4)]
    failed = [each for each in results if isinstance(each, FetchError)]
    assert len(results) == 400
    assert 10 <= len(failed) < 100  # without a pause all would have failed
    start = time.monotonic()
    back = start + 1000
    results = [result for _, result in fetch_all(tasks, fetch, host_of, workers=4)]
    assert all(isinstance(each, FetchError) for each in results)
    assert time.monotonic() - start < 60


def test_URL_43_one_address_that_is_stuck_does_not_hold_up_the_others():
    release = threading.Event()

    def fetch(task):
        if task[1] == 7:
            assert release.wait(60)
        return task[1]

    found = []
    for _, result in fetch_all(tasks_of(("a", 30)), fetch, host_of, workers=3, per_host=3):
        found.append(result)
        if len(found) == 29:
            release.set()
    assert found[-1] == 7


def test_tasks_are_asked_for_in_the_callers_thread_and_not_all_at_once():
    threads, pulled = set(), [0]

    def tasks():
        for number in range(10_000):
            threads.add(threading.current_thread())
            pulled[0] += 1
            yield ("", number)

    results = fetch_all(tasks(), lambda task: task, host_of, workers=4)
    for _ in range(10):
        next(results)
    assert pulled[0] < 1000
    results.close()
    assert threads == {threading.current_thread()}


def test_stopping_early_drops_what_has_not_begun():
    begun = []

    def fetch(task):
        begun.append(task)
        time.sleep(0.01)
        return task

    results = fetch_all(tasks_of(("", 1000)), fetch, host_of, workers=4)
    next(results)
    results.close()
    count = len(begun)
    assert count < 900
    time.sleep(0.05)
    assert len(begun) == count


def test_an_error_of_the_tasks_comes_after_all_that_came_before_it():
    def tasks():
        yield from tasks_of(("a", 20))
        raise RuntimeError("the list breaks off")

    found = []
    results = fetch_all(tasks(), lambda task: task, host_of, workers=4)
    with pytest.raises(RuntimeError, match="breaks off"):
        found.extend(task for task, _ in results)
    assert sorted(found) == tasks_of(("a", 20))


def test_a_fault_of_ours_ends_the_run():
    def fetch(task):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(fetch_all(tasks_of(("a", 5)), fetch, host_of))
