"""Why a request is not answered although nothing is wrong with it."""


class Busy(Exception):  # noqa: N818 - a state, not a fault
    """There is no room for more work; `retry_after` says in how many seconds there may be."""

    def __init__(self, retry_after: int = 1) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after


class Gone(Exception):  # noqa: N818
    """The client left, so nobody wants the answer."""
