"""stdout and stderr as the program needs them: UTF-8 always, and messages that stop nothing."""

import io
import logging
import sys
import warnings
from typing import Any

import click


class _Unfailing(io.FileIO):
    """Where messages go: a full disk or a closed pipe must not end what they only tell of."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError:
            return len(data)


def speak_plainly() -> None:
    """Sets up the streams: UTF-8 whatever the locale says, warnings and log lines without noise."""
    sys.stderr = _stderr()
    if sys.stdout is not None and not sys.stdout.isatty():
        _reconfigure(sys.stdout, "surrogateescape")
    logging.basicConfig(format="%(message)s", stream=sys.stderr, level=logging.WARNING)
    warnings.showwarning = lambda message, *_: click.echo(f"warning: {message}", err=True)


def _stderr() -> io.TextIOWrapper:
    """stderr, from which no error comes; into nothing where there is none."""
    if sys.stderr is None:
        return io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    encoding = sys.stderr.encoding if sys.stderr.isatty() else "utf-8"
    raw = io.BufferedWriter(_Unfailing(sys.stderr.fileno(), "w", closefd=False))
    return io.TextIOWrapper(raw, encoding, errors="backslashreplace", line_buffering=True)


def _reconfigure(stream: Any, errors: str) -> None:
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(encoding="utf-8", errors=errors)
