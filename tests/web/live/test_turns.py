"""Few at once, some waiting, nobody for ever."""

import threading
import time

import pytest

from dinoseek.web.live.busy import Busy, Gone
from dinoseek.web.live.turns import PATIENCE, Turns

from .made import soon


def held(turns, count, many):
    """Has `count` others wait for a place, or take it, until the event that it returns is set."""
    release = threading.Event()

    def hold():
        with turns.taken():
            release.wait(60)

    return release, [many.submit(hold) for _ in range(count)]


def test_no_more_are_at_work_than_there_are_places(many):
    turns, now, most = Turns(3), set(), []

    def work(number):
        with turns.taken():
            now.add(number)
            most.append(len(now))
            time.sleep(0.002)
            now.discard(number)

    list(many.map(work, range(60)))
    assert max(most) == 3
    assert len(most) == 60


def test_more_than_may_wait_are_turned_away_at_once(many):
    turns = Turns(2, 3)
    release, others = held(turns, 5, many)
    assert soon(lambda: turns._waiting == 3)
    start = time.monotonic()
    with pytest.raises(Busy), turns.taken():
        pass
    assert time.monotonic() - start < PATIENCE / 2
    release.set()
    for other in others:
        other.result()
    with turns.taken():
        pass


def test_who_left_does_not_get_a_turn_and_takes_no_place(many):
    turns = Turns(1, 1)
    release, _ = held(turns, 1, many)
    assert soon(lambda: turns._free._value == 0)
    with pytest.raises(Gone), turns.taken(lambda: False):
        pass
    with pytest.raises(Busy), turns.taken(until=time.monotonic() + 0.1):  # the queue is free again
        pass
    release.set()
    with turns.taken():
        pass


def test_a_place_is_given_back_whatever_happens():
    turns = Turns(1, 0)
    for _ in range(3):
        with pytest.raises(KeyError), turns.taken():
            raise KeyError
    with turns.taken():
        pass
