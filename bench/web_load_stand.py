"""What each measure of bench/web_load.py gets, and how it says what it found."""

import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from web_load_pictures import distinct, photographs
from web_load_server import Server
from web_load_visitor import Visitor

IMAGES = 200  # of the gallery
PICTURES = photographs(16)  # that clients send
_PAUSE = 0.02  # seconds between two searches of a client that is timed


@dataclass(frozen=True)
class Stand:
    """A server that runs, the process of its crowds, and how long is measured."""

    server: Server
    crowds: ProcessPoolExecutor
    model: str | Path
    seconds: float
    requests: int

    @property
    def port(self):
        return self.server.port

    def visitor(self):
        return Visitor(self.port).open()

    def beside(self, work, *arguments, seconds=None):
        """Starts a crowd; returns when it begins, when it ends, and its result to come."""
        begin, seconds = time.monotonic() + 1.0, seconds or self.seconds
        job = self.crowds.submit(work, self.port, *arguments, begin, seconds)
        return begin, begin + seconds, job


def figure(value, *, least=None, most=None):
    """A number, and what it must reach, if anything."""
    limits = {"at least": least, "at most": most}
    is_held = (least is None or value >= least) and (most is None or value <= most)
    return {
        "measured": float(value),
        **{name: float(limit) for name, limit in limits.items() if limit is not None},
        "held": float(is_held),
    }


def search_for(visitor, seconds):
    """What searches with new pictures take, one after the other; None for one that failed."""
    until, found = time.monotonic() + seconds, []
    while time.monotonic() < until:
        found.append(visitor.search(distinct(PICTURES[len(found) % len(PICTURES)])))
        time.sleep(_PAUSE)
    return found


def times(found):
    return [each for each in found if each is not None]


def p(seconds, percent):
    """A percentile, in milliseconds; of nothing it is no number, which holds no limit."""
    if not len(seconds):
        return float("nan")
    return float(np.percentile(seconds, percent, method="higher")) * 1e3
