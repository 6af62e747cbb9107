"""A measuring process, as the process that started it sees it."""

import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

from dinoseek import errors
from dinoseek.errors import DinoseekError, MachineError, printable
from dinoseek.images.messages import receive, send

# -P: a file torch.py in the current folder must not be taken for PyTorch
_PROGRAM = (sys.executable, "-P", "-m", "dinoseek.bench.worker")
_LAST_MOMENTS = 5.0  # seconds between the end of its pipes and its own


class Worker:
    """A process with an engine of its own; a context manager that ends it.

    `subject` is what errors call it. Raises what the job ends with: DinoseekError as the engine's
    factory does, MachineError bench.failed for what an engine's library raises, and MachineError
    bench.crashed if the process ends.
    """

    def __init__(self, job: dict[str, Any], subject: str) -> None:
        self._subject = subject
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - until it is closed
        self._process = subprocess.Popen(
            _PROGRAM,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            env=_environment(),
            start_new_session=True,  # Ctrl-C is for the parent, which then ends it
        )
        self._to = cast(BinaryIO, self._process.stdin)
        self._from = cast(BinaryIO, self._process.stdout)
        try:
            self.started, self.parts = self._ask(job)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def turn(self, seconds: float, repeats: int | None = None) -> dict[str, Any]:
        """Has it measure for so many seconds, or so many calls."""
        return self._ask({"seconds": seconds, "repeats": repeats})[0]

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._to, self._from, self._complaints):
            with suppress(OSError):  # what was to be written is no longer wanted
                stream.close()

    def _ask(self, request: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        try:
            send(self._to, request)
            answer, parts = receive(self._from)
        except (EOFError, OSError, ValueError) as exc:
            raise MachineError("bench.crashed", self._subject, self._last_words()) from exc
        if "error" in answer:
            raise _error(answer["kind"], answer["error"], self._subject)
        return answer, parts

    def _last_words(self) -> str:
        status: int | None = None
        with suppress(subprocess.TimeoutExpired):
            status = self._process.wait(_LAST_MOMENTS)
        self._complaints.seek(0)
        lines = self._complaints.read().decode("utf-8", "replace").strip().splitlines()
        said = f" ({printable(lines[-1][:200])})" if lines else ""
        return f"its process ended with status {status}{said}"


def _error(kind: str, said: dict[str, str], subject: str) -> DinoseekError:
    """The error that a worker told of; what a library raised is told of the combination."""
    found: type[DinoseekError] = getattr(errors, kind)
    code = said["code"]
    about = subject if code in ("bench.failed", "machine.memory") else said["subject"]
    return found(code, about, said["reason"], fix=said["fix"])


def _environment() -> dict[str, str]:
    """This process's environment; the very same dinoseek is found in it."""
    package = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path}
