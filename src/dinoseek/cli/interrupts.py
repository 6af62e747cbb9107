"""What happens on Ctrl-C and when the system asks the program to stop."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

_STOP_SIGNALS = ("SIGTERM", "SIGHUP")


class Stopped(BaseException):
    """The system asked the program to stop; unwinds like KeyboardInterrupt does."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.signal = signal_number


@dataclass
class Request:
    """Whether a stop was asked for, and by which signal."""

    signal: int = 0

    def __bool__(self) -> bool:
        return self.signal != 0

    def obey(self) -> None:
        """Stops as the signal asked, if there was one."""
        if self.signal == signal.SIGINT:
            raise KeyboardInterrupt
        if self.signal:
            raise Stopped(self.signal)


def stop_on_signals() -> None:
    """Makes SIGTERM and SIGHUP raise Stopped, so that temporary files are cleaned up."""
    for number in _present(*_STOP_SIGNALS):
        if signal.getsignal(number) is signal.SIG_DFL:  # nohup's choice to ignore SIGHUP stands
            signal.signal(number, _raise_stopped)


@contextmanager
def stop_requests() -> Iterator[Request]:
    """Within it, the first signal to stop only sets the Request, so that work ends at a good place.

    The second one stops at once.
    """
    request = Request()
    if threading.current_thread() is not threading.main_thread():
        yield request  # signals reach the main thread only
        return

    numbers = [n for n in _present("SIGINT", *_STOP_SIGNALS) if callable(signal.getsignal(n))]
    before = {number: signal.getsignal(number) for number in numbers}

    def ask(number: int, _frame: FrameType | None) -> None:
        request.signal = number
        for each, handler in before.items():
            signal.signal(each, handler)

    for number in numbers:
        signal.signal(number, ask)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _raise_stopped(number: int, _frame: FrameType | None) -> None:
    raise Stopped(number)


def _present(*names: str) -> list[signal.Signals]:
    """The signals of these names that this operating system has."""
    return [getattr(signal, name) for name in names if hasattr(signal, name)]
