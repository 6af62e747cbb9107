"""One decoder process, as the process that started it sees it."""

import os
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

from dinoseek.errors import MachineError, printable
from dinoseek.images.decoder import Job, Request
from dinoseek.images.messages import receive, send

# NumPy would start a thread for each core in each process.
_ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
# The pixels of the largest preset are 1 MB; one that claims more has been taken over.
_MAX_ANSWER = 64_000_000
_PIPE = 1 << 20  # bytes, the most that Linux gives anyone
_LAST_MOMENTS = 1.0  # seconds between the end of its pipes and its own


class Child:
    """A decoder process. One thread at a time may ask it, any may kill it.

    `deadline` is when it must have answered, by the monotonic clock; `is_late` if it had not.
    """

    def __init__(self, program: Sequence[str]) -> None:
        self.deadline = float("inf")
        self.is_late = False
        self._program = program
        try:
            self._process = subprocess.Popen(
                program,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=_environment(),
                start_new_session=True,  # Ctrl-C is for the parent, which then decides
            )
        except OSError as exc:
            raise self._unstartable(exc.strerror or str(exc)) from exc
        self._to = _wide(cast(BinaryIO, self._process.stdin))
        self._from = cast(BinaryIO, self._process.stdout)
        self._complaints = cast(BinaryIO, self._process.stderr)  # until it is ready

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def begin(self, job: Job) -> None:
        """Waits until it is ready. MachineError decoder.unstartable if it never is."""
        try:
            send(self._to, job.header())
            receive(self._from, _MAX_ANSWER)
        except (EOFError, OSError, ValueError) as exc:
            raise self._unstartable(self._last_words()) from exc
        self._complaints.close()

    def ask(self, data: bytes, request: Request) -> tuple[dict[str, Any], list[bytes]]:
        """What it answers to a picture; EOFError, OSError or ValueError if it does not."""
        send(self._to, request.header(), [data])
        return receive(self._from, _MAX_ANSWER)

    def kill(self) -> None:
        """Ends it, without waiting; whoever is asking it then gets no answer."""
        self._process.kill()

    def wait(self) -> None:
        """Waits until it has ended."""
        self._process.wait()

    def status(self) -> int | None:
        """How it ended by itself; None if it goes on."""
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(_LAST_MOMENTS)
        return None

    def close(self) -> None:
        """Ends it and lets go of all that it held here. Not while another thread asks it."""
        self.kill()
        self.wait()
        for pipe in (self._to, self._from, self._complaints):
            with suppress(OSError):  # what was to be written is no longer wanted
                pipe.close()

    def _last_words(self) -> str:
        if self.is_late:
            return "it gives no sign of life"
        status = self.status()
        with suppress(OSError):
            os.set_blocking(self._complaints.fileno(), False)
            lines = (self._complaints.read() or b"").decode("utf-8", "replace").splitlines()
            if lines:
                return printable(lines[-1])
        return "it says something else" if status is None else f"it ended with status {status}"

    def _unstartable(self, reason: str) -> MachineError:
        subject = "the decoder process"
        fix = f"try it by hand: {' '.join(self._program)} < {os.devnull}"
        reason = f"it cannot be started ({reason})"
        return MachineError("decoder.unstartable", subject, reason, fix=fix)


def _wide(pipe: BinaryIO) -> BinaryIO:
    """Lets a picture through in few pieces: for each, both processes must be given a core."""
    with suppress(ImportError, AttributeError, OSError):  # only Linux can, within a user's limit
        import fcntl  # noqa: PLC0415 - not on Windows

        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE)
    return pipe


def _environment() -> dict[str, str]:
    """This process's environment, for a process that computes with one thread."""
    package = str(Path(__file__).parents[2])  # where this very dinoseek is
    path = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    return {**os.environ, **dict.fromkeys(_ONE_THREAD, "1"), "PYTHONPATH": path}
