"""Pictures that people upload: decoded in processes, embedded in batches, remembered by content."""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

from dinoseek.embedder import Embedder, Prepared
from dinoseek.errors import DinoseekError, ImageError
from dinoseek.images.pool import DecoderPool
from dinoseek.images.region import Region
from dinoseek.vit.ops import Array
from dinoseek.web.live.batches import Batches
from dinoseek.web.live.busy import Busy
from dinoseek.web.live.flights import Flights
from dinoseek.web.live.lru import Lru
from dinoseek.web.live.timings import Timings
from dinoseek.web.live.turns import PATIENCE, Turns, always

PREVIEW_SIDE = 1024  # pixels
_PREVIEW_BYTES = 64_000_000
# Requests share what is found, so errors name no one's file until they reach the one who sent it.
_NAMELESS = "the picture"

Key: TypeAlias = tuple[str, Region | None]


@dataclass(frozen=True, kw_only=True)
class Picture:
    """What is to be known of an upload: the vector (d,) of it or its region, and how it looks.

    `digest` is the sha256 of its bytes. `preview` is a JPEG with nothing but pixels, of all of the
    picture; there is none with a region. `width` and `height` are those of the upright original.
    """

    digest: str
    vector: Array
    preview: bytes | None
    width: int
    height: int
    format: str


class Pictures:
    """Reads uploads for the threads of a server; at most as many at once as may wait in `batches`.

    `entries` pictures are remembered.
    """

    def __init__(
        self,
        embedder: Embedder,
        batches: Batches,
        decoders: DecoderPool,
        *,
        entries: int = 2048,
        timings: Timings,
    ) -> None:
        self._dim = embedder.dim
        self._batches = batches
        self._decoders = decoders
        self._timings = timings
        self._turns = Turns(decoders.workers)
        self._flights: Flights[Key, Picture] = Flights()
        self._known: Lru[Key, Picture] = Lru(entries)  # without their previews
        self._previews: Lru[str, bytes] = Lru(_PREVIEW_BYTES, len)
        self._lock = threading.Lock()
        self._reading = 0

    @property
    def is_full(self) -> bool:
        """Whether a picture that is not known would be turned away."""
        return self._reading >= self._batches.places or self._batches.is_full

    def read(
        self,
        data: bytes,
        name: str,
        *,
        region: Region | None = None,
        is_wanted: Callable[[], bool] = always,
    ) -> Picture:
        """The picture that is in the bytes of a file called `name`.

        Raises ImageError for one that cannot be read and UsageError for a region it does not have,
        Busy at once if too many are being read, Gone soon after `is_wanted` says so. Equal pictures
        at one time are read once.
        """
        key = (hashlib.sha256(data).hexdigest(), region)
        found = self._remembered(key)
        is_ours = False
        if found is None:
            compute = partial(self._read, data, key)
            try:
                found, is_ours = self._flights.share(key, compute, is_wanted)
            except DinoseekError as exc:
                raise _named(exc, name) from exc
        self._timings.count_cached(hit=not is_ours)
        return found

    def _remembered(self, key: Key) -> Picture | None:
        """The picture, if it is known with its preview."""
        found = self._known.get(key)
        if found is None or key[1] is not None:
            return found
        preview = self._previews.get(key[0])
        return replace(found, preview=preview) if preview else None

    def _read(self, data: bytes, key: Key, is_wanted: Callable[[], bool]) -> Picture:
        found = self._remembered(key)
        if found is not None:  # another was quicker
            return found
        until = time.monotonic() + PATIENCE
        with self._admitted():
            known = self._known.get(key)
            if known is not None:
                found = replace(known, preview=self._preview(data, is_wanted, until))
            else:
                prepared, found = self._decoded(data, key, is_wanted, until)
                left = max(0.0, until - time.monotonic())
                vector = self._batches.embed(prepared, is_wanted=is_wanted, seconds=left).copy()
                vector.setflags(write=False)  # it is shared
                found = replace(found, vector=vector)
        self._known.put(key, replace(found, preview=None))
        if found.preview:
            self._previews.put(key[0], found.preview)
        return found

    @contextmanager
    def _admitted(self) -> Iterator[None]:
        with self._lock:
            if self.is_full:
                raise Busy(self._batches.retry_after)
            self._reading += 1
        try:
            yield
        finally:
            with self._lock:
                self._reading -= 1

    @contextmanager
    def _decoding(self, is_wanted: Callable[[], bool], until: float) -> Iterator[None]:
        start = time.perf_counter()
        with self._turns.taken(is_wanted, until=until):
            self._timings.observe("queue", time.perf_counter() - start)
            with self._timings.stage("decode"):
                yield

    def _preview(self, data: bytes, is_wanted: Callable[[], bool], until: float) -> bytes:
        with self._decoding(is_wanted, until):
            return self._decoders.thumbnail(data, _NAMELESS, PREVIEW_SIDE)

    def _decoded(
        self, data: bytes, key: Key, is_wanted: Callable[[], bool], until: float
    ) -> tuple[Prepared, Picture]:
        """The prepared picture, and what is known of it but its vector."""
        digest, region = key
        side = None if region else PREVIEW_SIDE
        with self._decoding(is_wanted, until):
            decoded = self._decoders.decode(data, _NAMELESS, region=region, thumbnail_side=side)
        return decoded.prepared, Picture(
            digest=digest,
            vector=decoded.prepared[:0].astype("float32"),
            preview=decoded.thumbnail,
            width=decoded.width,
            height=decoded.height,
            format=decoded.format,
        )


def _named(exc: DinoseekError, name: str) -> DinoseekError:
    """The error about the picture as its sender calls it."""
    if isinstance(exc, ImageError) and exc.subject == _NAMELESS:
        return ImageError(exc.code, name, exc.reason, fix=exc.fix)
    return exc
