"""Many addresses at once, few of one host, and none of a host that is down: in no order."""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from dinoseek.errors import FetchError
from dinoseek.ingest.answers import BusyError, is_transient

T = TypeVar("T")
R = TypeVar("R")

_FAILURES_IN_A_ROW = 20  # of one host, before it is taken to be down
_DOWN_FOR = 30.0  # seconds until it gets another chance
_MOST_PATIENT = 60.0  # seconds that a server may make its images wait; if more, till the next run
_HOSTS_REMEMBERED = 10_000  # of those that failed and have nothing waiting
_LOOK_EVERY = 0.5  # seconds, so that Ctrl-C is heard
_PULLED_AT_ONCE = 64
# Everything fails to connect, whatever the host: it is our own network that is gone.
_OUTAGE_CODES = ("url.connect", "url.dns")
_OUTAGE_FAILURES, _OUTAGE_HOSTS = 20, 5
_OUTAGE_PAUSES = (1.0, 2.0, 4.0, 8.0)  # seconds; after them it is left to the next run


@dataclass
class _Host(Generic[T]):
    """What waits for a host, and how it has behaved."""

    name: str
    waiting: deque[T] = field(default_factory=deque)
    running: int = 0
    failures: int = 0  # in a row
    not_before: float = 0.0

    @property
    def is_down(self) -> bool:
        return self.failures >= _FAILURES_IN_A_ROW

    def refusal(self, now: float) -> FetchError | None:
        """Why nothing that waits for it should wait any longer."""
        wait = self.not_before - now
        if wait > _MOST_PATIENT:
            reason = f"its server wants to be left alone for {wait:,.0f} seconds"
            return FetchError("url.rate_limited", self.name, reason)
        if wait > 0 and self.is_down:
            reason = f"{self.name} failed {self.failures} times in a row"
            return FetchError("url.host_down", self.name, reason)
        return None


def fetch_all(
    tasks: Iterable[T],
    fetch: Callable[[T], R],
    host_of: Callable[[T], str],
    *,
    workers: int = 20,
    per_host: int = 4,
    window: int = 20_000,
    stop: Callable[[], None] = lambda: None,
) -> Generator[tuple[T, R | FetchError], None, None]:
    """Yields each task with what `fetch` made of it, or its FetchError, as they are done.

    `fetch` runs in `workers` threads, in at most `per_host` of them for one host; tasks of the host
    "" have no such limit. Up to `window` tasks wait for slow hosts while others go on. `tasks` is
    iterated in the caller's thread. Any other exception is raised here, one of `tasks` after all
    that came before it. A host that fails 20 times in a row fails at once from then on
    (url.host_down), but for a try now and then. At the end, early or not, `stop` is called, which
    should make each `fetch` that is under way end.
    """
    run = _Run(fetch, host_of, workers, per_host)
    try:
        yield from run.results(iter(tasks), window)
    finally:
        stop()
        run.close()


class _Run(Generic[T, R]):
    """One run of `fetch_all`: all its state belongs to the caller's thread but the two queues."""

    def __init__(
        self, fetch: Callable[[T], R], host_of: Callable[[T], str], workers: int, per_host: int
    ) -> None:
        self._fetch, self._host_of, self._per_host = fetch, host_of, per_host
        self._most = 2 * workers  # results that wait are bounded, and so is their memory
        self._todo: queue.SimpleQueue[tuple[str, T] | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[tuple[str, T, R | BaseException]] = queue.SimpleQueue()
        self._hosts: dict[str, _Host[T]] = {}
        self._ready: deque[_Host[T]] = deque()  # those with something waiting, each once
        self._waiting = self._running = 0
        self._fault: Exception | None = None
        self._closed = threading.Event()
        # the hosts of the last results, if all of them failed to connect
        self._lost: deque[str] = deque(maxlen=_OUTAGE_FAILURES)
        self._outages = 0
        self._not_before = 0.0
        self._threads = [
            threading.Thread(target=self._work, name="dinoseek-fetch", daemon=True)
            for _ in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Drops what has not begun, and waits for the rest."""
        self._closed.set()
        for _ in self._threads:
            self._todo.put(None)
        for thread in self._threads:
            thread.join()

    def results(self, tasks: Iterator[T], window: int) -> Iterator[tuple[T, R | FetchError]]:
        more = True
        while more or self._waiting or self._running:
            yield from self._refused()
            self._dispatch()
            while more and self._running < self._most and self._waiting < window:
                more = self._pull(tasks)
                self._dispatch()
                if not self._done.empty():
                    break
            try:
                name, task, result = self._done.get(timeout=self._patience())
            except queue.Empty:
                continue
            self._running -= 1
            if isinstance(result, BaseException) and not isinstance(result, FetchError):
                raise result
            self._note(name, result)
            yield task, result
        if self._fault is not None:
            raise self._fault

    def _pull(self, tasks: Iterator[T]) -> bool:
        """Takes some tasks; whether there may be more."""
        for _ in range(_PULLED_AT_ONCE):
            try:
                task = next(tasks)
            except StopIteration:
                return False
            except Exception as exc:  # what came before it is finished first
                self._fault = exc
                return False
            name = self._host_of(task)
            if not name:
                self._todo.put((name, task))
                self._running += 1
                continue
            host = self._hosts.setdefault(name, _Host(name))
            if not host.waiting:
                self._ready.append(host)
            host.waiting.append(task)
            self._waiting += 1
        return True

    def _dispatch(self) -> None:
        """Gives to the workers what may begin now, one of each host in turn."""
        now = time.monotonic()
        if now < self._not_before:
            return
        for _ in range(len(self._ready)):
            if self._running >= self._most:
                return
            host = self._ready.popleft()
            if host.running < (1 if host.is_down else self._per_host) and host.not_before <= now:
                self._todo.put((host.name, host.waiting.popleft()))
                host.running += 1
                self._running += 1
                self._waiting -= 1
            if host.waiting:
                self._ready.append(host)

    def _refused(self) -> Iterator[tuple[T, FetchError]]:
        """What waits for hosts that are down, or want to be left alone for long."""
        now = time.monotonic()
        for host in [each for each in self._ready if each.not_before > now]:
            if error := host.refusal(now):
                self._ready.remove(host)
                while host.waiting:
                    self._waiting -= 1
                    yield host.waiting.popleft(), error

    def _patience(self) -> float:
        """How long to wait for a result before looking whether something else may begin."""
        return 0.02 if self._waiting and self._running < self._most else _LOOK_EVERY

    def _note(self, name: str, result: R | BaseException) -> None:
        """Remembers how a host behaves."""
        if not name:
            return
        host = self._hosts[name]
        host.running -= 1
        now = time.monotonic()
        if isinstance(result, FetchError) and is_transient(result.code):
            host.failures += 1
            if isinstance(result, BusyError):
                host.not_before = max(host.not_before, now + result.seconds)
            if host.is_down:
                host.not_before = max(host.not_before, now + _DOWN_FOR)
        else:
            host.failures = 0
        self._note_outage(name, result, now)
        forgotten = not host.failures or len(self._hosts) > _HOSTS_REMEMBERED
        if forgotten and not host.waiting and not host.running:
            del self._hosts[name]  # lists of millions of hosts

    def _note_outage(self, name: str, result: R | BaseException, now: float) -> None:
        """Lets everything wait a little, ever longer, where nothing can be reached."""
        if not (isinstance(result, FetchError) and result.code in _OUTAGE_CODES):
            self._lost.clear()
            self._outages = 0
            return
        self._lost.append(name)
        few = len(set(self._lost)) < min(_OUTAGE_HOSTS, len(self._hosts))
        if few or len(self._lost) < _OUTAGE_FAILURES or self._outages == len(_OUTAGE_PAUSES):
            return
        self._not_before = now + _OUTAGE_PAUSES[self._outages]
        self._outages += 1
        self._lost.clear()
        for host in self._hosts.values():  # it is not their fault
            host.not_before = 0.0 if host.is_down else host.not_before
            host.failures = 0

    def _work(self) -> None:
        while (job := self._todo.get()) is not None and not self._closed.is_set():
            name, task = job
            try:
                result: R | BaseException = self._fetch(task)
            except BaseException as exc:
                result = exc
            self._done.put((name, task, result))
