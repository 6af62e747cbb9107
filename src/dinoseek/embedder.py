"""Images to embeddings: preprocessing, encoder and pooling as one thing with a name.

Query and gallery must be embedded by the same Embedder; its fingerprint, which a gallery stores,
proves it.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dinoseek.encoders.automatic import Wish, Work
from dinoseek.encoders.base import Encoder
from dinoseek.encoders.engines import NUMPY, check_engine
from dinoseek.encoders.factory import encoder_for_space, wish_of
from dinoseek.encoders.precision import AUTO, FLOAT32, PRECISIONS, find_precision
from dinoseek.errors import UsageError
from dinoseek.fingerprint import Fingerprint as Fingerprint
from dinoseek.fingerprint import fingerprint_dict as fingerprint_dict
from dinoseek.images.ahead import ahead
from dinoseek.images.color_histogram import color_histogram
from dinoseek.images.decode import DEFAULT_LIMITS, Limits, load_image
from dinoseek.images.geometry import PATCH
from dinoseek.images.preprocess import Preset, find_preset, to_pixels
from dinoseek.images.scales import ONE, checked_scales, name_of, preset_for
from dinoseek.matching import Patches
from dinoseek.pca import load_pca, project
from dinoseek.pooling import unit
from dinoseek.recipe import Recipe, check_pooling, dim_of, features_of
from dinoseek.vit.config import PosFlavour, ViTConfig
from dinoseek.vit.ops import Array
from dinoseek.vlad import load_vocabulary
from dinoseek.weights.digest import weights_digest
from dinoseek.weights.hub import model_name, resolve
from dinoseek.weights.load import load_params, usual_preprocess

K = TypeVar("K")
Prepared = NDArray[np.uint8]  # (H, W, 3), cut and scaled by a preset
ImageSource = str | Path | bytes | Image.Image | NDArray[np.uint8]

COLOR_HISTOGRAM = "color-histogram"
DEFAULT_MODEL = "dinov2-small"
HEAD_NAME = "head.safetensors"  # beside the weights of a training run
BATCH_SIZE = 16
USUAL_HEAD_DIM = 64
_DECODERS = 2  # threads that decode ahead of the engine


class Embedder:
    """Turns images into unit vectors. Made by `load_embedder`."""

    def __init__(
        self,
        features: Callable[[Sequence[Prepared]], Array],
        preset: Preset,
        fingerprint: Fingerprint,
        limits: Limits = DEFAULT_LIMITS,
        engine: str = "numpy",
        encoder: Encoder | None = None,
    ) -> None:
        self._features = features
        self.encoder = encoder
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

    def patches(self, prepared: Prepared) -> Patches:
        """The patch tokens of one image, each of unit length. Raises as `check_patches`."""
        if self.encoder is None:
            raise self._no_patches()
        height, width = (side // PATCH for side in prepared.shape[:2])
        (tokens,) = self.encoder(to_pixels([prepared])).patches  # (1, n, d) -> (n, d)
        return Patches(unit(tokens), height, width)

    def check_patches(self) -> None:
        """UsageError embedder.no_patches where the embedder does not see pictures in patches."""
        if self.encoder is None:
            raise self._no_patches()

    def _no_patches(self) -> UsageError:
        reason = "it has no patches, so there is nothing in two pictures to match"
        fix = "use a DINOv2 model, as in --model dinov2-small"
        return UsageError("embedder.no_patches", self.fingerprint.model, reason, fix=fix)

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
    engine: str = AUTO,
    precision: str = FLOAT32,
    preprocess: str | None = None,
    pooling: str = "cls",
    pos_flavour: PosFlavour | None = None,
    scales: Iterable[float] = ONE,
    vocabulary: Path | None = None,
    projection: Path | None = None,
    fast_decode: bool = False,
    threads: int | None = None,
    limits: Limits = DEFAULT_LIMITS,
    models_dir: Path | None = None,
    cache_dir: Path | None = None,
    expect: Work = "many",
    spaces: Iterable[Fingerprint] = (),
) -> Embedder:
    """Makes an Embedder of a known model, a weights file, a training run, or "color-histogram".

    `engine` and `precision` are as in `load_encoder`, for "few" or "many" images to `expect`; of
    `spaces`, what is in a gallery already, precision "auto" keeps to one that differs in nothing
    else. `preprocess` names a preset (images/preprocess.py), by default what the weights say they
    were trained with, else "official"; `pos_flavour` overrides how position embeddings are fitted;
    with `fast_decode` large JPEGs are read at a smaller scale, as its preset's name says. Vectors
    are the mean over `scales` of unit vectors. `vocabulary` is for the pooling "vlad", `projection`
    a PCA that vectors go through; `dinoseek fit` writes both. `cache_dir` keeps what was found out
    about weights and engines from one process to the next.
    Raises UsageError for an unknown name or an engine that is not here, MachineError for weights
    that are not there, WeightsError for unusable ones.
    """
    chosen = checked_scales(scales)
    if str(model) == COLOR_HISTOGRAM:
        preset = _preset(preprocess or "squash", fast_decode)
        check_engine(engine)
        find_precision(precision)
        if chosen != ONE:
            raise UsageError("scales.model", COLOR_HISTOGRAM, "it looks at one scale only")
        embedder = _color_histogram_embedder(preset, limits)
    else:
        words = None if vocabulary is None else load_vocabulary(vocabulary, cache_dir)
        check_pooling(pooling, words)  # a wrong name is told before anything is loaded
        only_numpy = words is not None and engine == AUTO  # no other gives values
        wish = wish_of(NUMPY if only_numpy else engine, precision, threads, expect, cache_dir)
        recipe = Recipe(pooling=pooling, scales=chosen, vocabulary=words)
        if preprocess is not None:
            preset = _preset(preprocess, fast_decode)  # as above
        path = resolve(model, models_dir)
        preset = _preset(preprocess or usual_preprocess(path) or "official", fast_decode)
        embedder = _of_model(
            path, model_name(model), pos_flavour, preset, recipe, limits, wish, spaces
        )
        projection = projection or _head_of(model)
    return embedder if projection is None else _projected(embedder, projection, cache_dir)


def _preset(name: str, fast_decode: bool) -> Preset:
    found = find_preset(name)
    return found.with_fast() if fast_decode else found


def _head_of(model: str | Path) -> Path | None:
    """The head of a training run that has one: its vectors are meant to go through it."""
    path = Path(model) / HEAD_NAME
    return path if path.is_file() else None


def _of_model(
    path: Path,
    name: str,
    pos_flavour: PosFlavour | None,
    preset: Preset,
    recipe: Recipe,
    limits: Limits,
    wish: Wish,
    spaces: Iterable[Fingerprint],
) -> Embedder:
    params, config = load_params(path)
    config = dataclasses.replace(config, pos_flavour=pos_flavour or config.pos_flavour)
    digest = weights_digest(path, params, wish.cache_dir)
    made = _fingerprint(config, name, digest, preset, recipe)
    kept = [each.precision for each in spaces if each.family == made.family]
    encoder, precision = encoder_for_space(params, config, wish, kept, lambda: digest)
    return Embedder(
        features_of(encoder, recipe),
        preset_for(preset, recipe.scales),
        made.in_precision(precision),
        limits,
        encoder.engine,
        encoder,
    )


def _fingerprint(
    config: ViTConfig, name: str, digest: str, preset: Preset, recipe: Recipe
) -> Fingerprint:
    """What vectors of the model have in common, in float32."""
    if config.head_dim != USUAL_HEAD_DIM:  # heads are not in the weights, but change vectors
        digest += f"-{config.num_heads}"
    words = recipe.vocabulary
    if words is not None and words.weights != digest:
        reason = "its vocabulary was fitted on another model"
        raise UsageError("pooling.vocabulary", name, reason, fix="fit one with dinoseek fit vlad")
    return Fingerprint(
        model=name,
        weights=digest,
        preprocess=preset.name,
        pooling=recipe.pooling,
        pos_flavour=config.pos_flavour,
        dim=dim_of(recipe, config.embed_dim),
        scales=name_of(recipe.scales),
        vocabulary=words.fitted.digest if words else "",
    )


def _projected(embedder: Embedder, path: Path, cache_dir: Path | None) -> Embedder:
    """The embedder, and then a PCA that was fitted on vectors of just this kind."""
    pca, made = load_pca(path, cache_dir), embedder.fingerprint
    spaces = {made.in_precision(each).id for each in PRECISIONS}
    if pca.space not in spaces or pca.components.shape[1] != made.dim:
        reason = f"it was fitted on vectors of {pca.space}, not of {made.describe()} ({made.id})"
        raise UsageError("projection.space", path, reason, fix="fit it again with dinoseek fit pca")
    fingerprint = dataclasses.replace(made, projection=pca.fitted.digest, dim=len(pca.components))
    return Embedder(
        lambda prepared: project(unit(embedder.features(prepared)), pca),
        embedder.preset,
        fingerprint,
        embedder.limits,
        embedder.engine,
        embedder.encoder,
    )


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
