"""Many clients at one time, on one thread: those that come on schedule, and slow ones.

bench/web_load.py runs this in a process of its own, so that the clients that it times itself do not
wait for these. It costs about 0.2 ms of a core for each request.
"""

import asyncio
import contextlib
import itertools
import os
import random
import re
import socket
import time
from dataclasses import dataclass
from functools import cache

from web_load_pictures import bombs, distinct, longer, photographs
from web_load_visitor import api_upload, page_upload, request

PHOTOGRAPHS = 16
PRIORITY = -10
_CONNECTIONS = 400  # the server takes 600 of one address
_PATIENCE = 60  # seconds that a client waits for an answer


@dataclass(frozen=True)
class Sent:
    """A request and its answer: when it was due, was sent and was answered; status 0: never."""

    due: float
    start: float
    end: float
    status: int
    has_retry: bool = False


def prepare():
    """Draws the pictures; whether this process comes before others, if it may.

    Then it sends when it should, on a busy machine. Clients have machines of their own. One that
    must wait for a core of the server's would send less than it says, and count its own waiting as
    the server's.
    """
    _photographs(), _bombs()
    try:
        os.nice(PRIORITY)
    except OSError:
        return False
    return True


def flood(port, browser, rate, begin, seconds):
    """Uploads new pictures, `rate` a second, whatever becomes of them."""
    made = _page_uploads(browser)
    return asyncio.run(_on_schedule(port, made, rate, begin, seconds))


def bombard(port, rate, begin, seconds):
    """Uploads F1, F2 and F3 in turn, `rate` a second."""
    made = (api_upload(longer(bomb)) for bomb in itertools.cycle(_bombs()))
    return asyncio.run(_on_schedule(port, made, rate, begin, seconds))


def press(port, browser, clients, begin, seconds):
    """`clients` upload new pictures one after the other."""
    made = _page_uploads(browser)
    return asyncio.run(_one_by_one(port, made, clients, begin, begin + seconds))


def repeat(port, browser, clients, count):
    """`clients` upload the same new picture `count` times, by the page and by the API."""
    picture = distinct(_photographs()[0])
    both = (page_upload(picture, browser), api_upload(picture))
    made = (both[n % 2] for n in range(count))
    return asyncio.run(_one_by_one(port, made, clients, time.monotonic(), float("inf")))


def wander(port, requests, clients):
    """`clients` send all of some requests."""
    return asyncio.run(_one_by_one(port, iter(requests), clients, time.monotonic(), float("inf")))


def linger(port, large, count, begin, seconds):
    """`count` slow clients of four kinds; how many connections they made, and held on average."""
    return asyncio.run(_linger(port, large, count, begin, seconds))


@cache
def _photographs():
    return photographs(PHOTOGRAPHS)


@cache
def _bombs():
    return bombs()


def _page_uploads(browser):
    """New pictures for ever."""
    return (page_upload(distinct(each), browser) for each in itertools.cycle(_photographs()))


class _Line(asyncio.Protocol):
    """A connection with one request at a time."""

    def __init__(self):
        self.is_open = False
        self._answer = None
        self._got = bytearray()
        self._needed = 0
        self._head = b""

    def connection_made(self, transport):
        self._transport, self.is_open = transport, True

    def connection_lost(self, exc):
        self.is_open = False
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError("closed"))

    def ask(self, data):
        self._answer = asyncio.get_running_loop().create_future()
        self._got, self._needed = bytearray(), 0
        self._transport.write(data)
        return self._answer

    def data_received(self, data):
        self._got += data
        if not self._needed:
            end = self._got.find(b"\r\n\r\n")
            if end < 0:
                return
            self._head = bytes(self._got[:end]).lower()
            length = re.search(rb"\r\ncontent-length: *(\d+)", self._head)
            self._needed = end + 4 + (int(length[1]) if length else 0)
        if len(self._got) >= self._needed and not self._answer.done():
            if b"\r\nconnection: close" in self._head:
                self.close()
            status = int(self._head[9:12])
            self._answer.set_result((status, b"\r\nretry-after:" in self._head))

    def close(self):
        self.is_open = False
        self._transport.close()


class _Lines:
    """Connections that are kept and used again."""

    def __init__(self, port):
        self._port = port
        self._free = []
        self._room = asyncio.Semaphore(_CONNECTIONS)

    async def send(self, data, due):
        async with self._room:
            start = time.monotonic()
            try:
                async with asyncio.timeout(_PATIENCE):
                    status, has_retry = await self._asked(data)
            except OSError:
                status, has_retry = 0, False
        return Sent(due, start, time.monotonic(), status, has_retry)

    async def _asked(self, data):
        line = self._kept()
        if line is not None:
            with contextlib.suppress(ConnectionError):  # closed because it was idle for long
                return await self._answer(line, data)
        loop = asyncio.get_running_loop()
        _, line = await loop.create_connection(_Line, "127.0.0.1", self._port)
        return await self._answer(line, data)

    def _kept(self):
        while self._free:
            line = self._free.pop()
            if line.is_open:
                return line
        return None

    async def _answer(self, line, data):
        try:
            answer = await line.ask(data)
        except BaseException:
            line.close()
            raise
        self._free.append(line)
        return answer

    def close(self):
        for line in self._free:
            line.close()


async def _on_schedule(port, made, rate, begin, seconds):
    lines, tasks = _Lines(port), []
    for number in range(round(rate * seconds)):
        due = begin + number / rate
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        tasks.append(asyncio.create_task(lines.send(next(made), due)))
    sent = await asyncio.gather(*tasks)
    lines.close()
    return sent


async def _one_by_one(port, made, clients, begin, end):
    lines, sent = _Lines(port), []

    async def client():
        while time.monotonic() < end and (data := next(made, None)) is not None:
            sent.append(await lines.send(data, time.monotonic()))

    await asyncio.sleep(begin - time.monotonic())
    await asyncio.gather(*(client() for _ in range(clients)))
    lines.close()
    return sent


async def _linger(port, large, count, begin, seconds):
    kinds = (_slow_header, _slow_body, _slow_reader, _idle)
    held = {"connections": 0, "open": 0}
    until = begin + seconds

    async def client(kind):
        await asyncio.sleep(random.uniform(0, 1))
        while time.monotonic() < until:
            with socket.socket() as connection:
                connection.setblocking(False)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
                loop = asyncio.get_running_loop()
                await loop.sock_connect(connection, ("127.0.0.1", port))
                held["connections"] += 1
                held["open"] += 1
                try:
                    async with asyncio.timeout(until - time.monotonic()):
                        await kind(loop, connection, large)
                except OSError:  # closed by the server, or the end
                    pass
                held["open"] -= 1

    async def look():
        seen = []
        while time.monotonic() < until - 0.5:
            await asyncio.sleep(0.5)
            seen.append(held["open"])
        return sum(seen[2:]) / max(1, len(seen[2:]))

    await asyncio.sleep(begin - time.monotonic())
    mean, *_ = await asyncio.gather(look(), *(client(kinds[n % 4]) for n in range(count)))
    return {"connections": held["connections"], "open": mean}


async def _slow_header(loop, connection, _large):
    await loop.sock_sendall(connection, b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
    await _drip(loop, connection, b"x")


async def _slow_body(loop, connection, _large):
    whole = api_upload(bytes(100_000))
    head = whole.index(b"\r\n\r\n") + 4
    await loop.sock_sendall(connection, whole[:head])
    await _drip(loop, connection, whole[head : head + 100])


async def _slow_reader(loop, connection, large):
    await loop.sock_sendall(connection, request("GET", large) * 5)
    while await loop.sock_recv(connection, 1):
        await asyncio.sleep(1)


async def _idle(loop, connection, _large):
    await loop.sock_sendall(connection, request("GET", "/healthz"))
    while await loop.sock_recv(connection, 4_096):
        pass


async def _drip(loop, connection, data):
    """Sends `data` every second until the server has had enough."""
    told = asyncio.ensure_future(loop.sock_recv(connection, 1))
    try:
        while not told.done():
            await loop.sock_sendall(connection, data)
            await asyncio.wait([told], timeout=1)
    finally:
        told.cancel()
