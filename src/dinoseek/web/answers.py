"""How an answer is written, and what a request is told that was refused before the application."""

import json
import logging
from typing import Any

from waitress.task import ErrorTask, WSGITask

from dinoseek.web.access_line import access_line, blurred
from dinoseek.web.safe_headers import safe_headers

logger = logging.getLogger("dinoseek.web.access")

_RETRY_SECONDS = 5
_TEXTS = {
    400: ("Bad Request", "This is not a request that a browser would send."),
    408: ("Request Timeout", "The request arrived too slowly."),
    411: ("Length Required", "Say how long the request is, in Content-Length."),
    413: ("Content Too Large", "The request is larger than the limit of {limit:.1f} MB."),
    431: ("Request Header Fields Too Large", "The address and the header fields are too long."),
    500: ("Internal Server Error", "Something went wrong here. The log says what."),
    503: ("Service Unavailable", "Too much is being uploaded at the moment. Try again soon."),
}


class Answer(WSGITask):  # type: ignore[misc] # it has no types
    """The application's answer, which never lacks the headers that keep a browser safe."""

    def get_environment(self) -> dict[str, Any]:
        """The WSGI environment."""
        environ: dict[str, Any] = super().get_environment()
        if self.request.command == "HEAD":
            environ.pop("wsgi.file_wrapper", None)  # its files bypass `write`
        environ["SERVER_SOFTWARE"] = ""
        return environ

    def write(self, data: bytes) -> None:
        """Sends a part of the body, but of an answer to HEAD, which has none."""
        super().write(b"" if self.request.command == "HEAD" else data)

    def build_response_header(self) -> bytes:
        """The first line and the header fields."""
        _complete(self)
        header: bytes = super().build_response_header()
        return header


class Refusal(ErrorTask):  # type: ignore[misc] # it has no types
    """A line of text, or JSON for programs, after which the connection is closed."""

    def execute(self) -> None:
        """Writes it."""
        status = self.request.error.code
        reason, text = _TEXTS.get(status) or _TEXTS[400]
        self.status = f"{status if status in _TEXTS else 400} {reason}"
        limit = self.channel.adj.max_request_body_size / 1e6
        kind, body = self._body(int(self.status[:3]), reason, text.format(limit=limit))
        self.response_headers.append(("Content-Type", kind))
        self.response_headers.append(("Cache-Control", "no-store"))
        if status == 503:
            self.response_headers.append(("Retry-After", str(_RETRY_SECONDS)))
        self.set_close_on_finish()
        self.content_length = len(body)
        self.channel.is_refused = True
        logger.info(
            access_line({"status": int(self.status[:3]), "address": blurred(self.channel.addr[0])})
        )
        self.write(b"" if getattr(self.request, "command", "") == "HEAD" else body)

    def _body(self, status: int, title: str, reason: str) -> tuple[str, bytes]:
        path = getattr(self.request, "path", "")
        accepted = self.request.headers.get("ACCEPT", "")
        if path.startswith("/api/") or ("application/json" in accepted and "html" not in accepted):
            error = {"status": status, "code": "request.refused", "title": title, "reason": reason}
            return "application/json", json.dumps({"error": error}).encode()
        return "text/plain; charset=utf-8", f"{reason}\n".encode()

    def build_response_header(self) -> bytes:
        """The first line and the header fields."""
        _complete(self)
        header: bytes = super().build_response_header()
        return header


def _complete(task: Any) -> None:
    present = {name.lower() for name, _ in task.response_headers}
    wanted = safe_headers(getattr(task.request, "path", ""))
    task.response_headers.extend(
        (name, value) for name, value in wanted.items() if name.lower() not in present
    )
    if task.channel.server.is_stopping:
        task.set_close_on_finish()
