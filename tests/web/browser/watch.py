"""What a browser complains of, or does that it should not, while a test runs."""

import re
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, ConsoleMessage, Dialog, Request, WebError

HOST = "127.0.0.1"


class Watch:
    """Collects errors and warnings of the console, of scripts and of the policy, dialogs, and
    requests that go elsewhere. `expects` says what one test brings about on purpose."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.addresses: list[str] = []
        self._expected: list[str] = []

    def follow(self, context: BrowserContext) -> None:
        context.on("console", self._console)
        context.on("weberror", self._error)
        context.on("dialog", self._dialog)
        context.on("request", self._request)

    def expects(self, pattern: str) -> None:
        self._expected.append(pattern)

    @property
    def unexpected(self) -> list[str]:
        return [fault for fault in self.faults if not self._is_expected(fault)]

    def _is_expected(self, fault: str) -> bool:
        return any(re.search(pattern, fault) for pattern in self._expected)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            where = message.location.get("url", "")
            self.faults.append(f"{message.type}: {message.text} ({where})")

    def _error(self, error: WebError) -> None:
        self.faults.append(f"script: {error.error}")

    def _dialog(self, dialog: Dialog) -> None:
        self.faults.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _request(self, request: Request) -> None:
        self.addresses.append(request.url)
        parts = urlsplit(request.url)
        if parts.scheme not in ("blob", "data") and parts.hostname != HOST:
            self.faults.append(f"request to {request.url}")
