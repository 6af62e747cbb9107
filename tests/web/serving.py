"""A server on loopback around a small application, and clients that speak to it by hand."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dinoseek.images.limits import Limits
from dinoseek.web.config import ServeConfig
from dinoseek.web.pace import Patience
from dinoseek.web.server import serve

SECONDS = 60.0  # after which a client gives up, and its test fails


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


class Served:
    """A server in a thread of this process."""

    def __init__(self, application: Any, config: ServeConfig, patience: Patience) -> None:
        self.stop, ready = threading.Event(), threading.Event()
        self.address, self.fault = "", None

        def told(address: str) -> None:
            self.address = address
            ready.set()

        def run() -> None:
            try:
                serve(application, config, stop=self.stop, on_ready=told, patience=patience)
            except BaseException as exc:
                self.fault = exc
                ready.set()

        self.thread = threading.Thread(target=run)
        self.thread.start()
        assert ready.wait(SECONDS)
        if self.fault is not None:
            raise self.fault

    @property
    def port(self) -> int:
        return urlsplit(self.address).port or 0

    def open(self, **options: Any) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), SECONDS, **options)

    def ask(self, request: bytes) -> Reply:
        with self.open() as client:
            client.sendall(request)
            return reply_to(client)

    def get(self, path: str = "/", **headers: str) -> Reply:
        return self.ask(get(path, **headers))

    def has_read_all(self) -> bool:
        """Whether nothing that clients have sent still waits for it."""
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        ours = [row for row in rows if row[1].endswith(f":{self.port:04X}")]
        return all(row[4].endswith(":00000000") for row in ours)

    def end(self) -> None:
        self.stop.set()
        self.thread.join(SECONDS * 2)
        assert not self.thread.is_alive()


@contextlib.contextmanager
def served(
    application: Any, folder: Path, *, patience: Patience | None = None, **config: Any
) -> Iterator[Served]:
    server = Served(application, small_config(folder, **config), patience or Patience())
    try:
        yield server
    finally:
        server.end()


def small_config(folder: Path, **config: Any) -> ServeConfig:
    """Pictures of up to 100,000 bytes, on a free port."""
    values: dict[str, Any] = {
        "gallery": folder / "g.dino",
        "state_dir": folder / "state",
        "port": 0,
        "limits": Limits(max_bytes=100_000),
    }
    return ServeConfig(**values | config)


def get(path: str = "/", **headers: str) -> bytes:
    lines = [f"GET {path} HTTP/1.1", "Host: localhost"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def post(path: str, body: bytes, *more: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}", *more]
    return "\r\n".join([*lines, "", ""]).encode() + body


def reply_to(client: socket.socket) -> Reply:
    """The next answer on a connection."""
    with client.makefile("rb") as file:
        first = file.readline()
        assert first.startswith(b"HTTP/1."), first
        headers: dict[str, str] = {}
        while (line := file.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            assert name.lower() not in headers, f"{name} twice"
            headers[name.lower()] = value.strip()
        length = headers.get("content-length")
        body = file.read(int(length)) if length is not None else file.read()
    return Reply(int(first.split()[1]), headers, body)


def is_closed(client: socket.socket) -> bool:
    """Whether the server has closed a connection and sends nothing more."""
    with contextlib.suppress(ConnectionError):
        return client.recv(1) == b""
    return True


def until(condition: Callable[[], bool]) -> None:
    """Waits for something that other threads bring about."""
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.01)
