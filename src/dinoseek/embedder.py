"""Images to embeddings: preprocessing, encoder and pooling as one thing with a name.

Query and gallery must be embedded by the same Embedder; its fingerprint, which a gallery stores,
proves it.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dinoseek.encoders.base import Encoder
from dinoseek.encoders.factory import check_engine, make_encoder
from dinoseek.images.ahead import ahead
from dinoseek.images.color_histogram import color_histogram
from dinoseek.images.decode import DEFAULT_LIMITS, Limits, load_image
from dinoseek.images.preprocess import Preset, find_preset, to_pixels
from dinoseek.pooling import find_pooling, unit
from dinoseek.vit.config import PosFlavour
from dinoseek.vit.ops import Array
from dinoseek.weights.digest import weights_digest
from dinoseek.weights.hub import model_name, resolve
from dinoseek.weights.load import load_params

K = TypeVar("K")
Prepared = NDArray[np.uint8]  # (H, W, 3), cut and scaled by a preset
ImageSource = str | Path | bytes | Image.Image | NDArray[np.uint8]

COLOR_HISTOGRAM = "color-histogram"
DEFAULT_MODEL = "dinov2-small"
BATCH_SIZE = 16
USUAL_HEAD_DIM = 64
_DECODERS = 2  # threads that decode ahead of the engine


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """What decides an embedding: equal fingerprints mean comparable vectors."""

    model: str  # for people; two names for the same weights are the same space
    weights: str  # sha256 of the parameters (unusual heads: and their number), or of a built-in
    preprocess: str
    pooling: str
    pos_flavour: str
    precision: str = "float32"
    dim: int

    @cached_property
    def id(self) -> str:
        """16 hexadecimal digits over everything but the model's name."""
        content = {k: v for k, v in dataclasses.asdict(self).items() if k != "model"}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    def describe(self) -> str:
        """The fingerprint for people: "dinov2-small, official, cls"."""
        return ", ".join(part for part in (self.model, self.preprocess, self.pooling) if part)

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Fingerprint":
        return cls(**json.loads(text))


class Embedder:
    """Turns images into unit vectors. Made by `load_embedder`."""

    def __init__(
        self,
        features: Callable[[Sequence[Prepared]], Array],
        preset: Preset,
        fingerprint: Fingerprint,
        limits: Limits = DEFAULT_LIMITS,
        engine: str = "numpy",
    ) -> None:
        self._features = features
        self.preset = preset
        self.fingerprint = fingerprint
        self.limits = limits
        self.engine = engine

    @property
    def dim(self) -> int:
        return self.fingerprint.dim

    def prepare(self, image: Image.Image) -> Prepared:
        """Cuts and scales an RGB image as the preset says: (H, W, 3) of uint8."""
        return self.preset.apply(image)

    def features(self, prepared: Sequence[Prepared]) -> Array:
        """Features (b, dim) of images of one size, before they are scaled to unit length."""
        return self._features(prepared)

    def vectors(self, prepared: Sequence[Prepared]) -> Array:
        """Embeddings (b, dim), of unit length, of images of one size."""
        return unit(self.features(prepared))

    def stream(
        self, prepared: Iterable[tuple[K, Prepared]], batch_size: int | None = None
    ) -> Iterator[tuple[K, Array]]:
        """Embeds keyed images in batches of equal size: yields (key, vector (dim,)).

        Images of one size keep their order; those of another may overtake them.
        """
        size = batch_size or BATCH_SIZE
        waiting: dict[tuple[int, ...], list[tuple[K, Prepared]]] = {}
        for key, image in prepared:
            group = waiting.setdefault(image.shape, [])
            group.append((key, image))
            if len(group) >= size:
                yield from self._batch(waiting.pop(image.shape))
            elif sum(map(len, waiting.values())) >= 4 * size:  # many sizes: do not hoard
                yield from self._batch(waiting.pop(max(waiting, key=lambda s: len(waiting[s]))))
        for group in waiting.values():
            yield from self._batch(group)

    def _batch(self, group: list[tuple[K, Prepared]]) -> Iterator[tuple[K, Array]]:
        keys, images = zip(*group, strict=True)
        return zip(keys, self.vectors(images), strict=True)

    def embed(self, sources: Iterable[ImageSource]) -> Array:
        """Embeds image files, bytes, Pillow images or RGB arrays (H, W, 3) in order: (m, dim).

        Raises ImageError or MachineError for the first that cannot be read.
        """
        prepared = ahead(self.open, sources, workers=_DECODERS, depth=2 * BATCH_SIZE)
        found = dict(self.stream(enumerate(prepared)))
        vectors = [found[position] for position in range(len(found))]
        return np.stack(vectors) if vectors else np.empty((0, self.dim), np.float32)

    def open(self, source: ImageSource) -> Prepared:
        """Reads an image and prepares it."""
        image = load_image(
            source,
            limits=self.limits,
            faithful=self.preset.faithful,
            least_side=self.preset.least_side,
        )
        return self.prepare(image)


def load_embedder(
    model: str | Path = DEFAULT_MODEL,
    *,
    engine: str = "auto",
    preprocess: str | None = None,
    pooling: str = "cls",
    pos_flavour: PosFlavour | None = None,
    fast_decode: bool = False,
    threads: int | None = None,
    limits: Limits = DEFAULT_LIMITS,
    models_dir: Path | None = None,
    cache_dir: Path | None = None,
) -> Embedder:
    """Makes an Embedder of a known model, a weights file, a training run, or "color-histogram".

    `preprocess` names a preset (images/preprocess.py), by default "official"; `pos_flavour`
    overrides how position embeddings are fitted; with `fast_decode` large JPEGs are read at a
    smaller scale, as its preset's name then says. `cache_dir` keeps digests of weights from one
    process to the next. Raises UsageError for an unknown name, MachineError for weights that are
    not there, WeightsError for unusable ones.
    """
    check_engine(engine)
    usual = "squash" if str(model) == COLOR_HISTOGRAM else "official"
    preset = find_preset(preprocess or usual)
    preset = preset.with_fast() if fast_decode else preset
    if str(model) == COLOR_HISTOGRAM:
        return _color_histogram_embedder(preset, limits)
    find_pooling(pooling)  # a wrong name is told before anything is loaded
    path = resolve(model, models_dir)
    params, config = load_params(path)
    if pos_flavour:
        config = dataclasses.replace(config, pos_flavour=pos_flavour)
    digest = weights_digest(path, params, cache_dir)
    if config.head_dim != USUAL_HEAD_DIM:  # heads are not in the weights, but change every vector
        digest += f"-{config.num_heads}"
    fingerprint = Fingerprint(
        model=model_name(model),
        weights=digest,
        preprocess=preset.name,
        pooling=pooling,
        pos_flavour=config.pos_flavour,
        dim=config.embed_dim * (2 if pooling == "cls+mean" else 1),
    )
    encoder: Encoder = make_encoder(params, config, engine, threads=threads)
    features = _features(encoder, pooling)
    return Embedder(features, preset, fingerprint, limits, encoder.engine)


def _features(encoder: Encoder, pooling: str) -> Callable[[Sequence[Prepared]], Array]:
    pool = find_pooling(pooling)
    if pooling == "cls":
        return lambda prepared: encoder.class_tokens(to_pixels(prepared))
    return lambda prepared: pool(encoder(to_pixels(prepared)))


def _color_histogram_embedder(preset: Preset, limits: Limits) -> Embedder:
    """The built-in baseline: no weights; knows colours and where they are, not what they show."""
    features = _histograms
    fingerprint = Fingerprint(
        model=COLOR_HISTOGRAM,
        weights=hashlib.sha256(b"color-histogram 1").hexdigest(),
        preprocess=preset.name,
        pooling="",
        pos_flavour="",
        dim=features([np.zeros((14, 14, 3), np.uint8)]).shape[1],
    )
    return Embedder(features, preset, fingerprint, limits)


def _histograms(prepared: Sequence[Prepared]) -> Array:
    return np.stack([color_histogram(image) for image in prepared])


def fingerprint_dict(fingerprint: Fingerprint) -> dict[str, Any]:
    """The fingerprint for `--json`, with its id."""
    return {"id": fingerprint.id, **dataclasses.asdict(fingerprint)}
