"""Connections that do not outstay: how many one address has, and how slow each may be."""

import contextlib
import socket
import struct
import time
from functools import partial
from typing import Any

from waitress.channel import HTTPChannel
from waitress.server import TcpWSGIServer

from dinoseek.web.access_line import network
from dinoseek.web.answers import Answer, Refusal
from dinoseek.web.bodies import Bodies
from dinoseek.web.framing import RequestParser
from dinoseek.web.pace import Pace, Patience

_RESET = struct.pack("ii", 1, 0)
_TURNED_AWAY = (
    b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 5\r\nConnection: close\r\n"
    b"Content-Type: text/plain\r\nContent-Length: 41\r\n\r\n"
    b"There are too many of your connections.\r\n"
)


class Connection(HTTPChannel):  # type: ignore[misc] # it has no types
    """One client; waitress reads and writes, this says when it has been long enough."""

    task_class = Answer
    error_task_class = Refusal
    request: Any
    socket: Any

    def __init__(self, server: Any, sock: socket.socket, addr: Any, adj: Any, map: Any = None):
        self.parser_class = partial(RequestParser, bodies=server.bodies)
        self.network = network(addr[0])
        self.is_refused = False
        self._patience: Patience = server.patience
        self._sent = 0
        self._arriving: Pace | None = None
        self._leaving: Pace | None = None
        self._lingers_until: float | None = None
        self._thrown_away = 0
        super().__init__(server, sock, addr, adj, map=map)

    @property
    def is_idle(self) -> bool:
        """Whether no request is arriving, being answered or having its answer sent."""
        busy = self.requests or self.request or self.total_outbufs_len or self.close_when_flushed
        return not busy and self._lingers_until is None

    def received(self, data: bytes) -> bool:
        """Takes what has arrived."""
        before = self.request
        taken: bool = super().received(data)
        if self.request is None:
            self._arriving = None
        elif self.request is not before:
            self._arriving = self._pace(self._patience.receive, self._patience.upload, 0)
        return taken

    def send(self, data: bytes, do_close: bool = True) -> int:
        """Sends what the socket takes, and counts it."""
        sent: int = super().send(data, do_close=do_close) or 0
        self._sent += sent
        return sent

    def end_if_slow(self) -> None:
        """Closes a connection whose client is idle, or too slow; called every few seconds."""
        now = time.monotonic()
        if self._lingers_until is not None:
            if now > self._lingers_until:
                self.handle_close()
        elif self._is_silent():
            # at once, not by `will_close`: that waits until the socket takes bytes
            self.handle_close()
        elif self._is_leaving_too_slowly(now):
            # the kernel would go on to send what it has, for as long as the client likes
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.handle_close()
        elif self._is_arriving_too_slowly(now):
            self._time_out()

    def _is_silent(self) -> bool:
        return not self.requests and time.time() - self.last_activity > self._patience.idle

    def _is_arriving_too_slowly(self, now: float) -> bool:
        request, pace = self.request, self._arriving
        if request is None or pace is None or self.requests or self.total_outbufs_len:
            return False  # or what arrives is not read for the time being
        amount = len(request.header_plus) + request.body_bytes_received
        return pace.is_too_slow(now, amount)

    def _is_leaving_too_slowly(self, now: float) -> bool:
        if not self.total_outbufs_len:
            self._leaving = None
            return False
        if self._leaving is None:
            patience = self._patience
            self._leaving = self._pace(patience.send, patience.download, self._sent)
        return self._leaving.is_too_slow(now, self._sent)

    def _pace(self, grace: float, rate: float, amount: int) -> Pace:
        window = self._patience.window
        return Pace(time.monotonic(), amount, grace=grace, rate=rate, window=window)

    def _time_out(self) -> None:
        with self.requests_lock:
            request, self.request = self.request, None
            request.refuse(408)
            self.requests.append(request)
            self.server.add_task(self)

    def handle_read(self) -> None:
        """Takes what has arrived, or throws it away after a refusal."""
        if self._lingers_until is None:
            super().handle_read()
            return
        with contextlib.suppress(OSError):
            self._thrown_away += len(self.recv(self.adj.recv_bytes))
        if self._thrown_away > self.adj.max_request_body_size:
            self.handle_close()

    def handle_close(self) -> None:
        """Closes the connection; after a refusal only our half of it at first.

        If a socket is closed before all was read, the client gets a reset, and often never the
        answer that says why.
        """
        if self.is_refused and self.connected and self._lingers_until is None:
            self._lingers_until = time.monotonic() + self._patience.linger
            self.will_close = False
            with contextlib.suppress(OSError):
                self.socket.shutdown(socket.SHUT_WR)
                return
        super().handle_close()
        request, self.request = self.request, None
        if request is not None:
            request.close()


class Listener(TcpWSGIServer):  # type: ignore[misc] # it has no types
    """A listening socket; `cap` is how many connections an address has, 0 for any number."""

    channel_class = Connection
    is_stopping = False
    socket: Any

    def __init__(
        self,
        application: Any,
        listening: socket.socket,
        *,
        map: dict[int, Any],
        dispatcher: Any,
        adj: Any,
        bodies: Bodies,
        patience: Patience,
        cap: int,
        proxy: str | None,
    ) -> None:
        self.bodies, self.patience = bodies, patience
        self._cap, self._proxy = cap, proxy
        info = (listening.family, listening.type, listening.proto, listening.getsockname())
        super().__init__(
            application,
            map,
            True,
            listening,
            dispatcher=dispatcher,
            adj=adj,
            sockinfo=info,
            bind_socket=False,
        )

    def maintenance(self, now: float) -> None:
        """Nothing: `serve` looks after connections, between two rounds and not in one."""

    def accept(self) -> tuple[socket.socket, Any] | None:
        """The next connection; None if there is none, or its address has enough."""
        pair: tuple[socket.socket, Any] | None = super().accept()
        if pair is None or self._has_room(pair[1][0]):
            return pair
        client, _ = pair
        with client, contextlib.suppress(OSError):
            client.setblocking(False)
            client.send(_TURNED_AWAY)
        return None

    def _has_room(self, address: str) -> bool:
        if self._proxy in ("*", address):
            return True  # all clients come from there, and it counts them
        theirs = [c for c in self.active_channels.values() if c.network == network(address)]
        if len(theirs) < self._cap:
            return True
        # a browser keeps connections that it may not need again
        idle = min((c for c in theirs if c.is_idle), key=lambda c: c.last_activity, default=None)
        if idle is not None:
            idle.handle_close()
        return idle is not None

    def stop_accepting(self) -> None:
        """Takes the connections that wait already, then no more; those there are go on."""
        self.is_stopping = True
        known = -1
        while known != len(self._map):
            known = len(self._map)
            self.handle_accept()
        listening, self.accepting = self.socket, False
        self.del_channel()
        listening.close()
        self.socket = None
