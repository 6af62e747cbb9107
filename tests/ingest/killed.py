"""A process that indexes in forked children, which die at a chosen point: a line of JSON each.

Reads {"photos", "gallery", "acks", and "statement", "bytes" or "seconds"}; the seconds begin when
"acks" has more bytes than "after", if that is given. Answers with the signal that ended the child,
0 if it finished. Not a test itself.
"""

import json
import os
import resource
import signal
import sqlite3
import sys
import time
from pathlib import Path

from here import HerePool

from dinoseek.embedder import load_embedder
from dinoseek.gallery import factory
from dinoseek.ingest import pipeline
from dinoseek.ingest.pipeline import ingest
from dinoseek.ingest.sources import from_folder

EMBEDDER = load_embedder("color-histogram", preprocess="squash@14")
BATCH_SIZE = 8
pipeline.DecoderPool = HerePool  # what is killed is the run, not its decoders


def index(photos: str, gallery: str, acks: str) -> None:
    """Indexes, and writes each outcome to `acks` as soon as it is known."""
    handle = os.open(acks, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with factory.open_gallery(gallery, EMBEDDER) as opened:
        for outcome in ingest(from_folder(photos), opened, batch_size=BATCH_SIZE):
            line = [type(outcome).__name__, outcome.item.path.decode()]
            os.write(handle, json.dumps(line).encode() + b"\n")


def count_statements(die_at: int, log: Path, counter: Path) -> None:
    """Dies before SQL statement number `die_at`; 0: only counts them, and how long the log gets."""
    connect, count = factory.connect, 0

    def traced(*arguments: object, **options: object) -> sqlite3.Connection:
        connection = connect(*arguments, **options)
        connection.set_trace_callback(statement)
        return connection

    def statement(_: str) -> None:
        nonlocal count
        count += 1
        if count == die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if not die_at:
            counter.write_text(f"{count} {log.stat().st_size if log.exists() else 0}")

    factory.connect = traced


def die_beyond(size: int) -> None:
    """Lets the kernel kill this process where it makes any file longer than `size`."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def child(order: dict[str, object]) -> None:
    if "statement" in order:
        log = Path(order["gallery"], "gallery.sqlite-wal")
        count_statements(order["statement"], log, Path(order["acks"] + ".count"))
    if "bytes" in order:
        die_beyond(order["bytes"])
    index(order["photos"], order["gallery"], order["acks"])


def wait_for(pid: int, acks: Path, size: int) -> None:
    """Waits until there are more acknowledgements than so many bytes, or the child has ended."""
    while (acks.stat().st_size if acks.exists() else 0) <= size:
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return
        time.sleep(0.0005)


def run(order: dict[str, object]) -> int:
    """Runs one order in a child; the signal that ended it."""
    pid = os.fork()
    if pid == 0:
        try:
            child(order)
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    if "seconds" in order:
        wait_for(pid, Path(order["acks"]), order.get("after", -1))
        time.sleep(order["seconds"])
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return os.WTERMSIG(status)
    if os.WEXITSTATUS(status):
        raise SystemExit(f"the child failed: {order}")
    return 0


if __name__ == "__main__":
    for order in sys.stdin:
        sys.stdout.write(f"{run(json.loads(order))}\n")
        sys.stdout.flush()
