"""Where the time of requests goes, and how many of what there were, for Prometheus and browsers."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, TypeAlias

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

Stage: TypeAlias = Literal["decode", "queue", "embed", "search", "render", "thumbnail"]

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"}

# the stages of the request that this thread, or one that works for it, is answering
_present: ContextVar[dict[str, float] | None] = ContextVar("dinoseek_stages", default=None)


class Timings:
    """Counts and times in a registry of their own, so that several servers fit in one process."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._stages = Histogram(
            "dinoseek_stage_seconds",
            "What the parts of requests take.",
            ["stage"],
            registry=registry,
            buckets=_BUCKETS,
        )
        self._seconds = Histogram(
            "dinoseek_request_seconds",
            "What requests take.",
            ["route"],
            registry=registry,
            buckets=_BUCKETS,
        )
        self._requests = Counter(
            "dinoseek_requests", "Answers.", ["route", "method", "status"], registry=registry
        )
        self._rejected = Counter(
            "dinoseek_rejected", "Requests that got no answer.", ["reason"], registry=registry
        )
        self._cache = Counter(
            "dinoseek_embedding_cache",
            "Pictures that were asked for, by whether they were known.",
            ["result"],
            registry=registry,
        )

    def begin(self) -> dict[str, float]:
        """Starts a request in this thread: its stages, in seconds, are added to what it returns."""
        stages: dict[str, float] = {}
        _present.set(stages)
        return stages

    @contextmanager
    def stage(self, stage: Stage) -> Iterator[None]:
        """Times a part of the present request."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.observe(stage, time.perf_counter() - start)

    def observe(self, stage: Stage, seconds: float) -> None:
        """Adds what a part of the present request took, as another thread measured it."""
        self._stages.labels(stage).observe(seconds)
        stages = _present.get()
        if stages is not None:
            stages[stage] = stages.get(stage, 0.0) + seconds

    def count_request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Counts an answer; `route` is the pattern of its address, of which there are few."""
        known = method if method in _METHODS else "other"
        self._requests.labels(route, known, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def count_rejected(self, reason: str) -> None:
        """Counts a request that was turned away: "busy", "rate", "gone", ..."""
        self._rejected.labels(reason).inc()

    def count_cached(self, *, hit: bool) -> None:
        """Counts a picture that was known, or was not."""
        self._cache.labels("hit" if hit else "miss").inc()

    def gauge(self, name: str, meaning: str, value: Callable[[], float]) -> None:
        """Shows a number that is asked for when somebody looks."""
        Gauge(name, meaning, registry=self._registry).set_function(value)

    def text(self) -> bytes:
        """All of it as Prometheus reads it."""
        return generate_latest(self._registry)
