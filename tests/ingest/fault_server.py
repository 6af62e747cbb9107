"""A web server on loopback that behaves as badly as servers do; how, each path says.

    with FaultServer() as server:
        server.url("/good/1.jpg", host="127.0.0.3")  # all of 127.0.0.1 to 127.0.0.60 are hosts

Any path takes ?header=Name:Value (repeatable), ?ms=N (waits so long first), and ?close=1.
"""

import asyncio
import contextlib
import gzip
import io
import re
import socket
import struct
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import lru_cache
from urllib.parse import parse_qs, quote, urlsplit

import numpy as np
from PIL import Image

HOSTS = tuple(f"127.0.0.{number}" for number in range(1, 61))
PAGE = b"<!doctype html><title>Not here</title><p>This page does not exist."


@lru_cache(maxsize=20_000)
def picture(number, width=32, height=24):
    """A small JPEG that its number decides."""
    pixels = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).resize((width, height)).save(file, "JPEG", quality=90)
    return file.getvalue()


@dataclass(frozen=True)
class Request:
    """What was asked, and when, in monotonic time."""

    host: str
    path: str
    headers: dict
    when: float = field(default_factory=time.monotonic)


class FaultServer:
    """Serves from its own thread until it is closed."""

    def __init__(self, hosts=HOSTS, tls=None):
        """`tls` is what `fault_tls.variants` gives: a TLS context per name."""
        self.hosts, self.tls = hosts, dict(tls or {})
        self.requests = []
        self.connections = Counter()  # per host, ever
        self.at_once = Counter()  # requests that are being answered
        self.most_at_once = Counter()
        self.robots_txt = None  # text, or a number: the status that is answered instead
        self.numbers = {}  # path -> the number of the picture that is there now
        self.gone = False  # the network is away: every connection is reset
        self.tries = Counter()  # per host and path
        self.port, self.tls_ports = 0, {}
        self._tasks = set()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(60)
        assert self.port, "the server could not start"
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(60)
        assert not self._thread.is_alive()

    def url(self, path, host="127.0.0.1", tls=None):
        """The address of a path; `tls` names one of the TLS variants."""
        if tls:
            return f"https://{host}:{self.tls_ports[tls]}{path}"
        return f"http://{host}:{self.port}{path}"

    def redirect(self, to, host="127.0.0.1"):
        """An address that leads to another."""
        return self.url(f"/redir?to={quote(to, safe='')}", host)

    def asked(self, path=None):
        """The paths that were asked for, without robots.txt; or how often one was."""
        paths = [request.path for request in list(self.requests)]
        if path is not None:
            return paths.count(path)
        return [each for each in paths if each != "/robots.txt"]

    async def _serve(self):
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._loop.set_exception_handler(lambda *_: None)  # handshakes that fail are no news
        servers = []
        try:
            servers = [await self._listen(self.hosts[0], 0)]
            self.port = port = servers[0].sockets[0].getsockname()[1]
            servers += [await self._listen(host, port) for host in self.hosts[1:]]
            for name, context in self.tls.items():
                servers.append(await self._listen(self.hosts[0], 0, context))
                self.tls_ports[name] = servers[-1].sockets[0].getsockname()[1]
        finally:
            self._ready.set()
        await self._stop.wait()
        for server in servers:
            server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0.02)  # the transports say goodbye

    def _listen(self, host, port, context=None):
        raw = context in ("hang", "drip")
        serve = {"hang": self._hang, "drip": self._drip}[context] if raw else self._connected
        return asyncio.start_server(
            serve, host, port, ssl=None if raw else context, limit=1 << 20, backlog=512
        )

    async def _hang(self, _, writer):
        """Takes the connection and says nothing for ever: not even a handshake."""
        with self._kept(writer):
            await asyncio.sleep(3600)

    async def _drip(self, _, writer):
        """A handshake, a byte at a time: the longest record that there can be."""
        with self._kept(writer), contextlib.suppress(ConnectionError):
            writer.write(b"\x16\x03\x03\x40\x00")
            while True:
                writer.write(b"\x02")
                await writer.drain()
                await asyncio.sleep(0.02)

    @contextlib.contextmanager
    def _kept(self, writer):
        task = asyncio.current_task()
        self._tasks.add(task)
        try:
            yield
        except asyncio.CancelledError:
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _connected(self, reader, writer):
        host = writer.get_extra_info("sockname")[0]
        self.connections[host] += 1
        broken = (ConnectionError, asyncio.IncompleteReadError, TimeoutError)
        with self._kept(writer), contextlib.suppress(*broken):
            while not self.gone:
                head = await reader.readuntil(b"\r\n\r\n")
                if not await self._answered(host, head, writer):
                    return
            reset(writer)

    async def _answered(self, host, head, writer):
        """Answers one request; whether the connection may serve another."""
        first, *lines = head.decode("latin-1").split("\r\n")
        path = first.split(" ")[1]
        headers = dict(line.split(": ", 1) for line in lines if line)
        self.requests.append(Request(host, path, headers))
        self.at_once[host] += 1
        self.most_at_once[host] = max(self.most_at_once[host], self.at_once[host])
        try:
            if self.gone:
                reset(writer)
                return False
            answer = Answer(self, host, path, writer)
            await answer.give()
            await writer.drain()
            return answer.goes_on
        finally:
            self.at_once[host] -= 1


def reset(writer):
    """Breaks the connection off, as a machine does that knows nothing of it."""
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


class Answer:
    """One answer, as the first part of the path wants it: /trunc/7.jpg is answered by `trunc`."""

    def __init__(self, server, host, path, writer):
        parts = urlsplit(path)
        self.server, self.host, self.path, self.writer = server, host, path, writer
        self.kind, _, self.rest = parts.path.strip("/").partition("/")
        self.query = parse_qs(parts.query, encoding="latin-1")
        self.headers = [each.split(":", 1) for each in self.query.get("header", [])]
        self.goes_on = "close" not in self.query
        server.tries[host, path] += 1
        self.number_of_try = server.tries[host, path]

    def asked(self, name, default):
        value = self.query.get(name, [default])[0]
        if isinstance(default, str):  # no address may have control characters: ~1b is one
            return re.sub("~([0-9a-f]{2})", lambda found: chr(int(found[1], 16)), value)
        return type(default)(value)

    async def give(self):
        await asyncio.sleep(self.asked("ms", 0) / 1e3)
        name = self.kind.replace("-", "_").replace("robots.txt", "robots")
        await getattr(self, f"on_{name}", self.on_missing)()

    def picture(self):
        digits = "".join(filter(str.isdigit, self.rest.rpartition("/")[2])) or "0"
        number = self.server.numbers.get(urlsplit(self.path).path, int(digits))
        return picture(number, self.asked("w", 32), self.asked("h", 24))

    def head(self, status=200, kind="image/jpeg", length=None):
        named = {name.lower() for name, _ in self.headers}
        lines = [f"HTTP/1.1 {status} {self.asked('reason', 'So')}"]
        if kind is not None and "content-type" not in named:
            lines.append(f"Content-Type: {kind}")
        if length is not None and "content-length" not in named:
            lines.append(f"Content-Length: {length}")
        if not self.goes_on:
            lines.append("Connection: close")
        lines += [f"{name}: {value}" for name, value in self.headers]
        self.writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))

    def send(self, body, status=200, kind="image/jpeg"):
        self.head(status, kind, len(body))
        self.writer.write(body)

    async def for_ever(self, piece, seconds=0.0):
        while True:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(seconds)

    async def on_missing(self):
        self.send(PAGE, 404, "text/html")

    async def on_good(self):
        self.send(self.picture())

    async def on_page(self):  # /page?header=Content-Type:image/jpeg
        self.send(PAGE, 200, "text/html")

    async def on_svg(self):
        self.send(b'<svg xmlns="http://www.w3.org/2000/svg"/>', 200, "image/svg+xml")

    async def on_empty(self):
        self.send(b"")

    async def on_robots(self):
        text = self.server.robots_txt
        if text is None or isinstance(text, int):
            self.send(b"", text or 404, "text/plain")
        else:
            self.send(text.encode(), 200, "text/plain")

    async def on_status(self):  # /status/503?times=2: twice, and then a picture
        if self.number_of_try > self.asked("times", 1 << 30):
            self.send(self.picture())
        else:
            if "ra" in self.query:
                date = formatdate(time.time() + self.asked("ra", 0.0), usegmt=True)
                wait = date if "date" in self.query else self.asked("ra", "")
                self.headers.append(("Retry-After", wait))
            self.send(PAGE, self.rest.partition("/")[0], "text/html")

    async def on_flip(self):  # /flip/3/7.jpg: the third try gives picture 7
        if self.number_of_try < int(self.rest.partition("/")[0]):
            self.send(PAGE, 503, "text/html")
        else:
            self.send(self.picture())

    async def on_redir(self):  # /redir?to=ADDRESS
        self.headers.append(("Location", self.asked("to", "")))
        self.send(PAGE, self.asked("status", 302), "text/html")

    async def on_hops(self):  # /hops/3: three more redirects, then a picture
        left = int(self.rest)
        if not left:
            return self.send(self.picture())
        self.headers.append(("Location", f"/hops/{left - 1}"))
        return self.send(b"", 301)

    async def on_redir_endless(self):
        self.headers.append(("Location", "/good/1.jpg"))
        self.goes_on = False
        self.head(302)
        await self.for_ever(bytes(1 << 16))

    async def on_redir_nowhere(self):
        self.send(b"", 302)

    async def on_silent(self):
        await asyncio.sleep(3600)

    async def on_drip(self):  # /drip?by=20: a byte every 20 ms, for ever
        if "chunked" in self.query:
            self.headers.append(("Transfer-Encoding", "chunked"))
        self.head(length=None if "chunked" in self.query else 10**7)
        if "size" in self.query:  # the size of a chunk that never ends
            await self.for_ever(b"0", self.asked("by", 20) / 1e3)
        chunk = b"1\r\n\xff\r\n" if "chunked" in self.query else b"\xff"
        await self.for_ever(chunk, self.asked("by", 20) / 1e3)

    async def on_header_drip(self):
        self.writer.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        await self.for_ever(b"x", self.asked("by", 20) / 1e3)

    async def on_continues(self):
        await self.for_ever(b"HTTP/1.1 100 Continue\r\n\r\n", 0.005)

    async def on_trailer_drip(self):
        self.headers.append(("Transfer-Encoding", "chunked"))
        self.head()
        self.writer.write(b"0\r\n")
        await self.for_ever(b"X-More: trailers\r\n", 0.005)

    async def on_reset(self):  # /reset?at=100: after 100 bytes of the picture
        if "at" in self.query:
            self.head(length=len(self.picture()))
            self.writer.write(self.picture()[: self.asked("at", 0)])
            await self.writer.drain()
            await asyncio.sleep(0.02)
        reset(self.writer)

    async def on_trunc(self):
        self.goes_on = False
        self.head(length=len(self.picture()))
        self.writer.write(self.picture()[:-100])

    async def on_endless(self):
        self.goes_on = False
        self.head()
        await self.for_ever(bytes(1 << 16))

    async def on_huge(self):
        self.head(length="9" * self.asked("digits", 14))
        await self.for_ever(bytes(1 << 16))

    async def on_more(self):  # more than Content-Length says
        self.head(length=len(self.picture()))
        self.writer.write(self.picture() + b"HTTP/1.1 500 Not Asked\r\n\r\n")

    async def on_gz(self):
        self.headers.append(("Content-Encoding", "gzip"))
        self.send(gzip.compress(bytes(10_000_000)))

    async def on_headers(self):  # /headers/300
        self.headers += [(f"X-{number}", "y") for number in range(int(self.rest))]
        self.send(self.picture())

    async def on_long_header(self):
        self.headers.append(("X-Long", "y" * 1_000_000))
        self.send(self.picture())

    async def on_raw(self):  # /raw?text=...: these very bytes, whatever they are
        self.goes_on = False
        self.writer.write(self.asked("text", "").encode("latin-1"))

    async def on_chunked(self):  # /chunked/7.jpg?size=1&end=none|bad|trailers
        size, end, body = self.asked("size", 100), self.asked("end", ""), self.picture()
        self.goes_on = end in ("", "trailers")
        self.headers.append(("Transfer-Encoding", "chunked"))
        self.head()
        for start in range(0, len(body), size):
            piece = body[start : start + size]
            self.writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            if start // size % 1000 == 999:  # of a million, and who reads them may have left
                await self.writer.drain()
        ends = {"none": b"", "bad": b"zz\r\n", "trailers": b"0\r\nX-Sum: 1\r\nX-More: 2\r\n\r\n"}
        self.writer.write(ends.get(end, b"0\r\n\r\n"))
