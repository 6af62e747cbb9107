"""One client of the page that waits for each answer, and the requests that all clients send."""

import http.client
import json
import re
import socket
import time
from dataclasses import dataclass

_BOUNDARY = "5f3759df5f3759df"
_SECONDS = 60  # after which a client gives up


@dataclass(frozen=True)
class Reply:
    """Status 0: there was no answer. `seconds` are from the first byte sent to the last read."""

    status: int
    headers: dict
    body: bytes
    seconds: float

    @property
    def is_good(self):
        return 200 <= self.status < 400


@dataclass(frozen=True)
class Browser:
    """What a browser knows after its first page: cookies, and the token of the form."""

    cookies: str
    token: str


class Visitor:
    """A client with one connection that is kept."""

    def __init__(self, port):
        self._port = port
        self._socket = None
        self._cookies = {}
        self.browser = Browser("", "")

    def open(self):
        """Loads the first page, as a browser does."""
        page = self.get("/").body.decode()
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
        self.browser = Browser("; ".join(f"{k}={v}" for k, v in self._cookies.items()), token[1])
        return self

    def get(self, path):
        return self.send(request("GET", path, cookies=self.browser.cookies))

    def upload(self, picture):
        """Sends a picture as the page's script does: the answer says where the results are."""
        return self.send(page_upload(picture, self.browser))

    def results(self, sent):
        """The page that the answer to an upload leads to."""
        return self.get(json.loads(sent.body)["location"])

    def search(self, picture):
        """Seconds of sending a picture and loading its results; None if one of both failed."""
        sent = self.upload(picture)
        if sent.status != 201:
            return None
        results = self.results(sent)
        return sent.seconds + results.seconds if results.status == 200 else None

    def send(self, data):
        """The answer to a request; on another connection if the server has closed this one."""
        begin = time.perf_counter()
        for is_kept in (self._socket is not None, False):
            try:
                return self._answer(data, begin)
            except (OSError, http.client.HTTPException):
                self.close()
                if not is_kept:
                    break
        return Reply(0, {}, b"", time.perf_counter() - begin)

    def _answer(self, data, begin):
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), _SECONDS)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(data)
        answer = http.client.HTTPResponse(self._socket)
        answer.begin()
        body = answer.read()
        seconds = time.perf_counter() - begin
        for cookie in answer.headers.get_all("Set-Cookie", ()):
            name, _, value = cookie.partition(";")[0].partition("=")
            self._cookies[name] = value
        if answer.will_close:
            self.close()
        return Reply(answer.status, dict(answer.headers), body, seconds)

    def close(self):
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def request(method, path, *, cookies="", headers=(), body=b""):
    """The bytes of a request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *headers]
    if cookies:
        lines.append(f"Cookie: {cookies}")
    if method == "POST":
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def page_upload(picture, browser):
    """A picture sent by the page's script."""
    headers = (_FORM, "Accept: application/json")
    body = _field("csrfmiddlewaretoken", browser.token) + _file(picture)
    return request("POST", "/search", cookies=browser.cookies, headers=headers, body=body)


def api_upload(picture):
    """A picture sent by a program."""
    return request("POST", "/api/v1/search?k=5", headers=(_FORM,), body=_file(picture))


_FORM = f"Content-Type: multipart/form-data; boundary={_BOUNDARY}"


def _field(name, value):
    head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'
    return f"{head}{value}\r\n".encode()


def _file(data):
    """The last part of the form."""
    head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n'
    return f"{head}Content-Type: image/jpeg\r\n\r\n".encode() + data + _END


_END = f"\r\n--{_BOUNDARY}--\r\n".encode()
