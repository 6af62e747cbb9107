"""The HTTP server: waitress in this process, with threads, limits and an orderly end.

One process, because model and gallery are loaded once and one queue decides what is refused.
"""

import logging
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from waitress import wasyncore
from waitress.adjustments import Adjustments

from dinoseek.web.access_line import one_line
from dinoseek.web.bodies import Bodies
from dinoseek.web.config import ServeConfig
from dinoseek.web.connections import Connection, Listener
from dinoseek.web.lanes import Lanes
from dinoseek.web.listening import connection_limit, listening_sockets
from dinoseek.web.pace import Patience

logger = logging.getLogger(__name__)

_MAX_CONNECTIONS = 1_000
_MAX_HEADER = 16_384
# A person's browser opens 6; an office behind one address has many people. On the machine itself
# there is one person, and whoever attacks from there has other ways.
_CONNECTIONS = 64
_LOCAL_CONNECTIONS = 600
_SPARE_THREADS = 16  # refuse, render and answer while every picture in progress holds a thread
_BODY_MEMORY = 256_000_000  # bytes of uploads in memory, of all connections
_OUTPUT_MEMORY = 16_000_000  # bytes of an answer before its thread waits for the client
_ROUND = 0.1  # seconds after which `stop` is looked at
_LOOK_EVERY = 2.0  # seconds

Application = Callable[..., Any]


def serve(
    application: Application,
    config: ServeConfig,
    *,
    on_ready: Callable[[str], None],
    stop: threading.Event | None = None,
    patience: Patience | None = None,
) -> None:
    """Answers requests until `stop` is set, then finishes those in progress and returns.

    `on_ready` is told the address once connections are accepted. MachineError if it cannot listen.
    """
    sockets = listening_sockets(config.host, config.port)
    _keep_log_lines_whole()
    lanes = Lanes(config.waiting + config.batch_size + _SPARE_THREADS)
    connections: dict[int, Any] = {}
    patience = patience or Patience()
    listeners = _listeners(application, config, sockets, connections, lanes, patience)
    try:
        on_ready(_address(config.host, listeners[0].effective_port))
        _answer(listeners, connections, stop or threading.Event())
        _finish(listeners, connections, patience.finish)
    finally:
        lanes.shutdown(1.0)
        wasyncore.close_all(connections, ignore_all=True)


def _listeners(
    application: Application,
    config: ServeConfig,
    sockets: Sequence[socket.socket],
    connections: dict[int, Any],
    lanes: Lanes,
    patience: Patience,
) -> list[Listener]:
    adjustments = _adjustments(config)
    bodies = Bodies(max(_BODY_MEMORY, 2 * config.max_body))
    return [
        Listener(
            application,
            listening,
            map=connections,
            dispatcher=lanes,
            adj=adjustments,
            bodies=bodies,
            patience=patience,
            cap=_LOCAL_CONNECTIONS if config.is_local else _CONNECTIONS,
            proxy=config.trusted_proxy,
        )
        for listening in sockets
    ]


def _adjustments(config: ServeConfig) -> Adjustments:
    proxy: dict[str, Any] = {}
    if config.trusted_proxy is not None:
        headers = {"x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port"}
        proxy = {"trusted_proxy": config.trusted_proxy, "trusted_proxy_headers": headers}
    return Adjustments(
        listen="127.0.0.1:0",  # not used: the sockets are ours
        asyncore_use_poll=True,
        connection_limit=connection_limit(_MAX_CONNECTIONS),
        max_request_header_size=_MAX_HEADER,
        max_request_body_size=config.max_body + 1,  # waitress refuses what reaches it
        inbuf_overflow=config.max_body + 1,  # never a file
        outbuf_high_watermark=_OUTPUT_MEMORY,
        outbuf_overflow=2 * _OUTPUT_MEMORY,
        recv_bytes=65_536,
        channel_request_lookahead=1,  # so that it is seen when a client leaves
        log_socket_errors=False,  # clients that leave are no news
        expose_tracebacks=False,
        ident=None,
        clear_untrusted_proxy_headers=True,
        **proxy,
    )


def _answer(listeners: Sequence[Listener], connections: Any, stop: threading.Event) -> None:
    next_look = 0.0
    while not stop.is_set():
        wasyncore.loop(timeout=_ROUND, use_poll=True, map=connections, count=1)
        if time.monotonic() >= next_look:
            next_look = time.monotonic() + _look_every(listeners[0].patience)
            for each in _open_connections(listeners):
                each.end_if_slow()


def _finish(listeners: Sequence[Listener], connections: Any, seconds: float) -> None:
    until = time.monotonic() + seconds
    for listener in listeners:
        listener.stop_accepting()
    while True:
        wasyncore.loop(timeout=_ROUND / 4, use_poll=True, map=connections, count=1)
        for each in _open_connections(listeners):
            each.end_if_slow()
            if each.is_idle:
                each.handle_close()
        left = _open_connections(listeners)
        if not left:
            return
        if time.monotonic() > until:
            logger.warning("%d requests were still in progress at the end", len(left))
            return


def _open_connections(listeners: Sequence[Listener]) -> list[Connection]:
    return [each for listener in listeners for each in list(listener.active_channels.values())]


def _look_every(patience: Patience) -> float:
    return min(_LOOK_EVERY, patience.idle / 4, patience.linger)


def _address(host: str, port: object) -> str:
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{reachable}]:{port}/" if ":" in reachable else f"http://{reachable}:{port}/"


def _keep_log_lines_whole() -> None:
    """Escapes what waitress logs, which has paths as clients send them, and keeps floods out."""
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    waitress = logging.getLogger("waitress")
    if _escape not in waitress.filters:
        waitress.addFilter(_escape)
    django = logging.getLogger("django.request")
    if _is_fault not in django.filters:
        django.addFilter(_is_fault)


def _is_fault(record: logging.LogRecord) -> bool:
    """Whether it is news; that a request was refused stands in the log of requests."""
    return record.exc_info is not None


def _escape(record: logging.LogRecord) -> bool:
    record.msg, record.args = one_line(record.getMessage()), ()
    return True
