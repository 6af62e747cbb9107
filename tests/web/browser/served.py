"""`dinoseek serve` and other commands, in processes of their own."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

START = 90.0  # seconds: two cores may be busy with other tests
PRIVATE = {"DINOSEEK_ALLOW_PRIVATE_HOSTS": "1"}  # the picture server is on loopback
# Chromium is quick to ask for many thumbnails, and many tests come from one address.
FREELY = ("--uploads", "0", "--requests", "0")


class Served:
    """A server on a free port; `flags` are its options."""

    def __init__(self, gallery: Path, state: Path, *flags: str) -> None:
        self.gallery, self.log = gallery, state.with_suffix(".log")
        state.mkdir(parents=True)
        arguments = [str(gallery), "--port", "0", "--state-dir", str(state), *FREELY, *flags]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "dinoseek", "serve", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env={**os.environ, **PRIVATE},
            )
        self.address = self._ready()

    def _ready(self) -> str:
        end = time.monotonic() + START
        while time.monotonic() < end and self._process.poll() is None:
            found = re.search(r" images at (http://127\.0\.0\.1:\d+)/", self.log.read_text("utf-8"))
            if found:
                return found[1]
            time.sleep(0.05)
        self.end()
        raise AssertionError(f"the server did not start:\n{self.log.read_text('utf-8')}")

    def end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(20)


def dinoseek(*arguments: Any) -> str:
    """What a command writes to stdout."""
    done = subprocess.run(
        [sys.executable, "-m", "dinoseek", *map(str, arguments)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **PRIVATE},
        timeout=START,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def dupes(gallery: Path, *flags: str) -> Any:
    """What `dinoseek dupes` says of a gallery."""
    return json.loads(dinoseek("dupes", gallery, "--json", *flags))
