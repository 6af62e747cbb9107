"""Made-up picture files, and what this process has open or has started."""

import os
import threading
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from dinoseek.images.decode import decode
from dinoseek.images.pool import Decoded
from dinoseek.images.thumbnail import thumbnail_jpeg
from dinoseek.web.config import WEB_LIMITS


def photo(seed=0, size=(40, 30), form="JPEG", **options) -> bytes:
    """A file of noise; equal seeds give equal bytes."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    return encoded(Image.fromarray(pixels), form, **options)


def flat(color, size=(40, 30), form="PNG", **options) -> bytes:
    """A file of one colour."""
    return encoded(Image.new("RGB", size, color), form, **options)


def png(image: Image.Image) -> bytes:
    return encoded(image, "PNG")


def encoded(image: Image.Image, form: str, **options) -> bytes:
    file = BytesIO()
    image.save(file, form, **options)
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


def soon(condition: Callable[[], object], seconds=60.0) -> bool:
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


class HereDecoders:
    """A decoder pool without processes, which waits where a test wants it to."""

    workers = 2

    def __init__(self, embedder, limits=WEB_LIMITS):
        self.embedder, self.limits = embedder, limits
        self.decoded, self.shrunk = [], []
        self.go_on = threading.Event()
        self.go_on.set()

    def decode(self, data, subject, *, region=None, thumbnail_side=None):
        self.decoded.append(subject)
        self.go_on.wait(60)
        image = decode(data, subject=subject, limits=self.limits)
        part = region.of(image, subject) if region else image
        small = thumbnail_jpeg(image, thumbnail_side) if thumbnail_side else None
        return Decoded(
            prepared=self.embedder.prepare(part),
            width=image.width,
            height=image.height,
            format=image.format,
            look=b"",
            thumbnail=small,
        )

    def thumbnail(self, data, subject, side=256):
        self.shrunk.append((subject, side))
        self.go_on.wait(60)
        return thumbnail_jpeg(decode(data, subject=subject, limits=self.limits), side)
