"""All that a server holds while it runs: model, gallery, decoders, queues, and how they end."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dinoseek.embedder import Embedder
from dinoseek.errors import DinoseekError
from dinoseek.gallery.connection import RECORD
from dinoseek.images.limits import DEFAULT_LIMITS
from dinoseek.images.pool import DecoderPool
from dinoseek.ingest.fetch import Fetcher, FetchOptions
from dinoseek.ingest.web import WebOptions
from dinoseek.vit.ops import Array
from dinoseek.web.config import ServeConfig
from dinoseek.web.live.batches import Batches
from dinoseek.web.live.busy import Busy
from dinoseek.web.live.galleries import Galleries
from dinoseek.web.live.jobs import Jobs
from dinoseek.web.live.originals import Originals
from dinoseek.web.live.pictures import Pictures
from dinoseek.web.live.review import Review
from dinoseek.web.live.thumbnails import Thumbnails
from dinoseek.web.live.timings import Timings

logger = logging.getLogger(__name__)

THUMBNAILS = "thumbnails.sqlite"  # in the server's own folder
# A picture from a stranger may take less time than one of the gallery, which was indexed before.
_UPLOAD_CPU_SECONDS, _UPLOAD_SECONDS = 5.0, 15.0
_FETCH_SECONDS = 10.0
_NICENESS = 5  # decoders wait for the model, which every search waits for
_DECODERS = 2  # processes, for uploads and for thumbnails each
_READY_SECONDS = 1.0
_SAME = 1e-4  # how far a vector of unit length may be off: threads add in another order


@dataclass(frozen=True, kw_only=True)
class Service:
    """What requests are answered with; made by `open_service`, ended by `close`."""

    embedder: Embedder
    galleries: Galleries
    decoders: DecoderPool
    thumbnail_decoders: DecoderPool
    batches: Batches
    pictures: Pictures
    thumbnails: Thumbnails
    originals: Originals
    jobs: Jobs
    review: Review
    fetcher: Fetcher | None
    timings: Timings
    health: "Health"

    def readiness(self) -> list[str]:
        """What keeps this server from answering searches, one sentence each; at most 1 s old."""
        return self.health.problems()

    def close(self) -> None:
        """Ends all threads and processes, and closes all files."""
        ends = (
            self.jobs.close,
            self.review.close,
            self.batches.close,
            self.decoders.close,
            self.thumbnail_decoders.close,
            self.galleries.close,
            self.thumbnails.close,
        )
        for end in ends:
            end()
        if self.fetcher is not None:
            self.fetcher.close()


class Health:
    """Whether the gallery can be read and the model still computes what it did at the start."""

    def __init__(self, galleries: Galleries, embedder: Embedder, weights: Path | None) -> None:
        self._galleries = galleries
        self._embedder = embedder
        self._weights = weights
        self._vector = _test_vector(embedder)
        self._lock = threading.Lock()
        self._until = 0.0
        self._problems: list[str] = []

    def problems(self) -> list[str]:
        """One sentence each; looked for once a second."""
        with self._lock:
            if time.monotonic() >= self._until:
                checks = (self._gallery, self._model, self._weights_file)
                self._problems = [problem for check in checks if (problem := _of(check))]
                self._until = time.monotonic() + _READY_SECONDS
            return list(self._problems)

    def _gallery(self) -> str:
        # A thread that has it open would not miss its file.
        if not (self._galleries.path / RECORD).exists():
            return "the gallery is gone"
        self._galleries.run(lambda gallery: gallery.check())
        return ""

    def _model(self) -> str:
        vector = _test_vector(self._embedder)
        same = np.abs(vector - self._vector).max() <= _SAME
        return "" if same else "the model computes something else than at the start"

    def _weights_file(self) -> str:
        if self._weights is None or self._weights.exists():
            return ""
        return "the weights file is gone, so the server cannot be started again"


def open_service(
    config: ServeConfig,
    embedder: Embedder,
    *,
    weights: Path | None = None,
    index_key: Path | None = None,
    allow_private: bool = False,
) -> Service:
    """Opens the gallery and starts what serves it.

    `weights` is the file that the model is from, `index_key` the secret that proves who wrote an
    index. With `allow_private` addresses inside a network may be fetched. Raises what
    `open_gallery` does, and GalleryError for a gallery with vectors of other models.
    """
    may_index = config.indexing_below is not None
    galleries = Galleries(config.gallery, embedder, create=may_index, index_key=index_key)
    try:
        galleries.run(lambda gallery: gallery.check())
        health = Health(galleries, embedder, weights)
    except BaseException:
        galleries.close()
        raise
    return _started(config, embedder, galleries, health, allow_private=allow_private)


def _started(
    config: ServeConfig,
    embedder: Embedder,
    galleries: Galleries,
    health: Health,
    *,
    allow_private: bool,
) -> Service:
    timings = _timings(galleries)
    batches = Batches(
        embedder.vectors, waiting=config.waiting, batch_size=config.batch_size, timings=timings
    )
    timings.gauge("dinoseek_queue_depth", "Pictures waiting or embedded.", lambda: batches.depth)
    decoders, small = _decoders(config, embedder)
    fetch = FetchOptions(allow_private=allow_private)
    return Service(
        embedder=embedder,
        galleries=galleries,
        decoders=decoders,
        thumbnail_decoders=small,
        batches=batches,
        pictures=Pictures(embedder, batches, decoders, timings=timings),
        thumbnails=Thumbnails(galleries, small, config.state_dir / THUMBNAILS),
        originals=Originals(galleries),
        review=Review(galleries),
        jobs=Jobs(
            config.gallery,
            embedder,
            below=config.indexing_below or (),
            web=WebOptions(fetch=fetch),
        ),
        fetcher=Fetcher(_quick(fetch, config)) if config.allow_urls else None,
        timings=timings,
        health=health,
    )


def _timings(galleries: Galleries) -> Timings:
    timings = Timings()
    timings.gauge("dinoseek_gallery_images", "Images.", lambda: galleries.summary()[0])
    return timings


def _decoders(config: ServeConfig, embedder: Embedder) -> tuple[DecoderPool, DecoderPool]:
    """Those of uploads and those of thumbnails: neither can keep the other waiting."""
    uploads = DecoderPool(
        embedder.preset,
        config.limits,
        workers=_DECODERS,
        cpu_seconds=_UPLOAD_CPU_SECONDS,
        seconds=_UPLOAD_SECONDS,
        niceness=_NICENESS,
    )
    small = DecoderPool(embedder.preset, DEFAULT_LIMITS, workers=_DECODERS, niceness=_NICENESS)
    return uploads, small


def _quick(fetch: FetchOptions, config: ServeConfig) -> FetchOptions:
    """How addresses are fetched while somebody waits for the answer."""
    return replace(fetch, total=_FETCH_SECONDS, retries=0, max_bytes=config.limits.max_bytes)


def _of(check: Callable[[], str]) -> str:
    try:
        return check()
    except (DinoseekError, Busy) as exc:
        return str(exc) or "the server is stopping"
    except Exception as exc:
        logger.exception("a check failed")
        return f"a check failed ({type(exc).__name__})"


def _test_vector(embedder: Embedder) -> Array:
    """The vector (d,) of a small picture that is always the same."""
    pixels = np.random.default_rng(0).integers(0, 256, (28, 28, 3), np.uint8)
    return embedder.vectors([pixels])[0]  # (1, d) -> (d,)
