"""Pictures on the web: a server on loopback that answers /7.jpg, and /7.jpg?held=1 once it is let.

From 900 on all are brown.
"""

import io
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

from .pictures import COLOURS, draw


class PictureServer:
    """Serves from threads of its own until it is closed."""

    def __enter__(self) -> "PictureServer":
        self._server = _Server(("127.0.0.1", 0), _Answer)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: Any, trace: TracebackType | None
    ) -> None:
        self.let_go()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._server.server_port}{path}"

    def hold(self) -> None:
        """From now on addresses with `held` are not answered."""
        self._server.is_open.clear()

    def let_go(self) -> None:
        self._server.is_open.set()


class _Server(ThreadingHTTPServer):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.is_open = threading.Event()
        self.is_open.set()


class _Answer(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        digits = "".join(filter(str.isdigit, parts.path))
        if not parts.path.endswith(".jpg") or not digits:
            return self.send_error(404)
        if "held" in parse_qs(parts.query):
            self.server.is_open.wait(60)
        file, number = io.BytesIO(), int(digits)
        colour = "brown" if number >= 900 else COLOURS[number % len(COLOURS)]
        draw(colour, number).save(file, "JPEG")
        self.send_response(200)
        self.send_header("Content-Type", "image/jpeg")
        self.send_header("Content-Length", str(file.tell()))
        self.end_headers()
        self.wfile.write(file.getvalue())
        return None

    def log_message(self, format: str, *args: Any) -> None:
        pass
