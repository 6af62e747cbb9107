"""What a request must look like before anything else reads it: one length, one host, our path.

Whatever two programs could understand in two ways is refused and the connection closed: a proxy
in front must agree with this server on where a request ends and whom it is for (RFC 9112, 11.2).
"""

from dataclasses import dataclass
from typing import Any

from waitress.parser import HTTPRequestParser, TransferEncodingNotImplemented

from dinoseek.web.bodies import Bodies


@dataclass(frozen=True)
class Fault:
    """Why a request is refused, as a status; has what waitress asks of its own errors."""

    code: int


class RequestParser(HTTPRequestParser):  # type: ignore[misc] # it has no types
    """Reads one request; `bodies` is the budget that its body counts against."""

    def __init__(self, adj: Any, bodies: Bodies) -> None:
        super().__init__(adj)
        self._bodies = bodies
        self._held = 0

    def received(self, data: bytes) -> int:
        """Takes some of `data` and returns how much; `completed` once there is all or a fault."""
        try:
            consumed: int = super().received(data)
        except ValueError:  # a length of 5,000 digits, a bracket that is no IPv6 address
            consumed = len(data)
            self.refuse(400)
        self._count()
        if self.completed:
            # otherwise the client would be told to go on, and what is complete would be read again
            self.expect_continue = False
        return consumed

    def parse_header(self, header_plus: bytes) -> None:
        """Reads the first line and the header fields."""
        try:
            super().parse_header(header_plus)
        except TransferEncodingNotImplemented:
            self.refuse(411)
        else:
            if status := self._fault():
                self.refuse(status)

    def _fault(self) -> int | None:
        if self.version not in ("1.0", "1.1"):
            return 400
        if not self.request_uri.startswith("/"):  # another site's address, or `*`
            return 400
        host = self.headers.get("HOST")
        if (host is None and self.version == "1.1") or "," in (host or ""):  # two are joined by it
            return 400
        if "TRANSFER_ENCODING" in self.headers:  # in HTTP/1.0, where it means nothing
            return 400
        # Browsers and curl say how long a file is. Without chunks there is nothing to smuggle in.
        if self.chunked:
            return 400 if "CONTENT_LENGTH" in self.headers else 411
        return None

    def refuse(self, status: int) -> None:
        """Ends the request here; its connection is closed after the answer."""
        self.error = Fault(status)
        self.completed = True
        self.chunked = False
        self.body_rcv = None
        self.content_length = 0

    def _count(self) -> None:
        arrived = self.body_bytes_received - self._held
        if arrived and self.error is None:
            self._held += arrived
            if not self._bodies.take(arrived):
                self.refuse(503)

    def close(self) -> None:
        """Lets go of the body."""
        super().close()
        self._bodies.give(self._held)
        self._held = 0
        self.body_rcv = None
        self.body_bytes_received = 0
