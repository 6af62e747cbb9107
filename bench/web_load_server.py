"""The server that bench/web_load.py measures: `dinoseek serve` in a process of its own."""

import os
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

from web_load_visitor import Visitor

_COMMAND = [sys.executable, "-m", "dinoseek"]
_START_SECONDS = 120
_END_SECONDS = 60
_PAGE_MB = resource.getpagesize() / 1e6


class Server:
    """`dinoseek serve` without limits of rate, on a free port of 127.0.0.1; a context manager."""

    def __init__(self, gallery, model, folder):
        self._command = [*_COMMAND, "serve", str(gallery), "--model", str(model), "--port", "0"]
        self._command += ["--uploads", "0", "--requests", "0", "--state-dir", str(folder / "state")]
        self._log = folder / "log"
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self.port = 0

    def __enter__(self):
        environment = {**os.environ, "TMPDIR": str(self.temporary)}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stderr=log, env=environment
            )
        until = time.monotonic() + _START_SECONDS
        while not self.port:
            if self._process.poll() is not None or time.monotonic() > until:
                self._process.kill()
                raise SystemExit(f"dinoseek serve does not start:\n{self.log()[-3000:]}")
            time.sleep(0.1)
            found = re.search(r"images at http://127\.0\.0\.1:(\d+)/", self.log())
            self.port = int(found[1]) if found else 0
        return self

    def __exit__(self, *_):
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            print(f"the server had to be killed {_END_SECONDS} s after SIGTERM")

    def log(self):
        return self._log.read_text(errors="replace")

    def errors(self):
        """The lines of the log that tell of faults."""
        return [line for line in self.log().splitlines() if " ERROR " in line]

    def metric(self, name):
        """The number that /metrics shows for a name with its labels."""
        text = Visitor(self.port).get("/metrics").body.decode()
        found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    def usage(self):
        """What it holds at the moment; the decoders are processes of their own."""
        process = Path(f"/proc/{self._process.pid}")
        children = [
            child
            for task in (process / "task").iterdir()
            for child in (task / "children").read_text().split()
        ]
        return {
            "rss": _rss(process),
            "decoders rss": sum(_rss(Path(f"/proc/{child}")) for child in children),
            "fds": len(list((process / "fd").iterdir())),
            "threads": len(list((process / "task").iterdir())),
            "temporary": sum(1 for _ in self.temporary.rglob("*")),
            "log": self._log.stat().st_size,
        }

    def cpu_seconds(self):
        """What it has computed so far, without the decoders."""
        after_name = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, after_name[11:13])) / os.sysconf("SC_CLK_TCK")


def _rss(process):
    """Resident memory in MB."""
    return int((process / "statm").read_text().split()[1]) * _PAGE_MB


def index(folder, gallery, model):
    command = [*_COMMAND, "index", str(folder), "--gallery", str(gallery), "--model", str(model)]
    subprocess.run([*command, "-q"], check=True, capture_output=True)
