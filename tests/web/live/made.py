"""Made-up picture files, and what this process has open or has started."""

import os
import threading
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image


def photo(seed=0, size=(40, 30), form="JPEG", **options) -> bytes:
    """A file of noise; equal seeds give equal bytes."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    file = BytesIO()
    Image.fromarray(pixels).save(file, form, **options)
    return file.getvalue()


def flat(color, size=(40, 30), form="PNG", **options) -> bytes:
    """A file of one colour."""
    file = BytesIO()
    Image.new("RGB", size, color).save(file, form, **options)
    return file.getvalue()


def opened(jpeg: bytes) -> Image.Image:
    return Image.open(BytesIO(jpeg))


def children() -> list[int]:
    """The processes of this one, by /proc: also those that ended and were not waited for."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid():
            found.append(int(folder.name))
    return found


def descriptors() -> list[str]:
    """What this process has open."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        try:
            found.append(str(link.readlink()))
        except OSError:  # that of the loop itself
            continue
    return sorted(name for name in found if not name.startswith("/proc/"))


def soon(condition: Callable[[], object], seconds=10.0) -> bool:
    """Whether it becomes true within some time."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.005)
    return True


def ours() -> set[threading.Thread]:
    """The threads of the library."""
    return {thread for thread in threading.enumerate() if "dinoseek-" in thread.name}
