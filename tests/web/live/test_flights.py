"""Equal work is done once, for all who want it, and only as long as anybody does."""

import threading
import time

import pytest

from dinoseek.web.live.busy import Busy, Gone
from dinoseek.web.live.flights import Flights

from .made import soon


class Work:
    """Work that goes on until it is let, or nobody wants it."""

    def __init__(self):
        self.begun, self.go_on = 0, threading.Event()

    def __call__(self, is_wanted):
        self.begun += 1
        while not self.go_on.wait(0.005):
            if not is_wanted():
                raise Gone
        return object()


@pytest.fixture
def work(many):
    work = Work()
    yield work
    work.go_on.set()


@pytest.fixture
def flights():
    return Flights()


def followers(flights):
    return sum(flight.followers for flight in flights._flights.values())


def test_a_hundred_equal_requests_do_the_work_once(flights, work, many):
    calls = [many.submit(flights.share, "key", work) for _ in range(60)]
    assert soon(lambda: followers(flights) == 59)
    work.go_on.set()
    values = {call.result()[0] for call in calls}
    assert (work.begun, len(values)) == (1, 1)
    assert sum(call.result()[1] for call in calls) == 1
    assert flights._flights == {}


def test_other_keys_are_other_work(flights, work, many):
    work.go_on.set()
    assert flights.share("a", work)[0] is not flights.share("b", work)[0]
    assert work.begun == 2


def test_what_goes_wrong_reaches_all_and_is_not_remembered(flights, many):
    release, begun = threading.Event(), []

    def fail(_):
        begun.append(1)
        release.wait(60)
        raise KeyError("no")

    calls = [many.submit(flights.share, "key", fail) for _ in range(5)]
    assert soon(lambda: followers(flights) == 4)
    release.set()
    for call in calls:
        with pytest.raises(KeyError):
            call.result()
    assert len(begun) == 1
    assert flights.share("key", lambda _: 5) == (5, True)


def test_who_waits_for_others_can_leave_without_ending_their_work(flights, work, many):
    calls = [many.submit(flights.share, "key", work) for _ in range(3)]
    assert soon(lambda: followers(flights) == 2)
    with pytest.raises(Gone):
        flights.share("key", work, lambda: False)
    work.go_on.set()
    assert len({call.result()[0] for call in calls}) == 1
    assert work.begun == 1


def test_work_goes_on_for_others_when_the_first_leaves(flights, work, many):
    is_there = threading.Event()
    is_there.set()
    first = many.submit(flights.share, "key", work, is_there.is_set)
    assert soon(lambda: work.begun)
    second = many.submit(flights.share, "key", work)
    assert soon(lambda: followers(flights) == 1)
    is_there.clear()
    time.sleep(0.1)
    work.go_on.set()
    assert second.result()[0] is first.result()[0]
    assert work.begun == 1


def test_work_that_all_leave_ends_and_the_next_begins_anew(flights, work, many):
    is_there = threading.Event()
    is_there.set()
    calls = [many.submit(flights.share, "key", work, is_there.is_set) for _ in range(4)]
    assert soon(lambda: followers(flights) == 3)
    is_there.clear()
    for call in calls:
        with pytest.raises(Gone):
            call.result()
    work.go_on.set()
    assert flights.share("key", work)[1]


def test_who_comes_while_the_work_is_given_up_has_it_done_anew(flights, many):
    given_up, go_on = threading.Event(), threading.Event()

    def abandoned(_):
        given_up.set()
        go_on.wait(60)
        raise Gone

    first = many.submit(flights.share, "key", abandoned)
    given_up.wait(60)
    second = many.submit(flights.share, "key", lambda _: "done")
    assert soon(lambda: followers(flights) == 1)
    go_on.set()
    assert second.result() == ("done", True)
    with pytest.raises(Gone):
        first.result()


def test_nobody_waits_for_ever(flights, work, many):
    many.submit(flights.share, "key", work)
    assert soon(lambda: work.begun)
    with pytest.raises(Busy):
        flights.share("key", work, seconds=0.1)
