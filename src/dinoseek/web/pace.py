"""How slow a client may be, and whether it is."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Patience:
    """What a client gets: seconds, and bytes a second once those are over.

    A deadline alone would be unfair to a photograph on a slow line, a rate alone would let a
    client send one byte of the header every second for ever. So a request has `receive` seconds,
    and after them must go on at `upload` bytes a second, looked at every `window` seconds; its
    answer has `send` seconds and must then leave at `download` bytes a second. `idle` is how long a
    connection may say nothing, `linger` how long the rest of a refused request is thrown away so
    that the client reads the refusal, `finish` how long requests in progress have at the end.
    """

    receive: float = 30.0
    upload: float = 16_000.0
    send: float = 60.0
    download: float = 4_000.0
    window: float = 10.0
    idle: float = 20.0
    linger: float = 2.0
    finish: float = 30.0


class Pace:
    """How fast bytes pass since `now`, when `amount` had; judged after `grace` seconds."""

    def __init__(self, now: float, amount: int, *, grace: float, rate: float, window: float):
        self._since, self._amount = now, amount
        self._next = now + grace
        self._rate, self._window = rate, window

    def is_too_slow(self, now: float, amount: int) -> bool:
        """Whether fewer bytes have passed than must have, since the last look that counted."""
        if now < self._next:
            return False
        slow = amount - self._amount < self._rate * (now - self._since)
        self._since, self._amount, self._next = now, amount, now + self._window
        return slow
