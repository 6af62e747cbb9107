"""Flags that several commands share, and the embedder that they choose."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dinoseek.cli.engines import tell_measuring
from dinoseek.cli.models import models_dir_option
from dinoseek.cli.settings import environment_name
from dinoseek.errors import GalleryError

if TYPE_CHECKING:
    from dinoseek.embedder import Embedder, Fingerprint
    from dinoseek.encoders.factory import Work
    from dinoseek.gallery.sqlite_gallery import SqliteGallery
    from dinoseek.images.limits import Limits

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True)
class ModelChoice:
    """Which embedder is asked for; None where the user said nothing."""

    model: str | None = None
    preprocess: str | None = None
    pooling: str | None = None
    pos_flavour: Any = None
    scales: str | None = None
    vocabulary: Path | None = None
    projection: Path | None = None
    fast_decode: bool = False
    engine: str = "auto"
    precision: str = "auto"
    threads: int | None = None
    max_megapixels: float | None = None
    max_megabytes: float | None = None
    models_dir: Path | None = None
    cache_dir: Path | None = None

    def load(self, *, expect: "Work" = "many", gallery: Path | None = None) -> "Embedder":
        """The embedder, from DINOv2-small with its defaults where nothing was said.

        It is for a few or many images, that go into a gallery or are compared with it.
        """
        from dinoseek.embedder import COLOR_HISTOGRAM, DEFAULT_MODEL, load_embedder
        from dinoseek.encoders.factory import wish_of
        from dinoseek.gallery.factory import fingerprints_in
        from dinoseek.images.scales import ONE, parse_scales

        if self.model != COLOR_HISTOGRAM and self.vocabulary is None:
            asked = (self.engine, self.precision, self.threads, expect, self.cache_dir)
            tell_measuring(wish_of(*asked))
        return load_embedder(
            self.model or DEFAULT_MODEL,
            engine=self.engine,
            precision=self.precision,
            preprocess=self.preprocess,
            pooling=self.pooling or "cls",
            pos_flavour=self.pos_flavour,
            scales=parse_scales(self.scales) if self.scales else ONE,
            vocabulary=self.vocabulary,
            projection=self.projection,
            fast_decode=self.fast_decode,
            threads=self.threads,
            limits=self.limits(),
            models_dir=self.models_dir,
            cache_dir=self.cache_dir,
            expect=expect,
            spaces=fingerprints_in(gallery) if gallery else (),
        )

    def limits(self) -> "Limits":
        """The decoder's limits, with the sizes that the user allows."""
        from dinoseek.images.limits import DEFAULT_LIMITS

        limits = DEFAULT_LIMITS
        if self.max_megapixels is not None:
            limits = replace(limits, max_pixels=round(self.max_megapixels * 1e6))
        if self.max_megabytes is not None:
            limits = replace(limits, max_bytes=round(self.max_megabytes * 1e6))
        return limits

    def of_gallery(self, gallery: Path) -> "ModelChoice":
        """This choice, completed by what made the gallery's vectors where no model was named.

        Raises GalleryError if the gallery has several spaces, or one whose weights are not known.
        """
        if self.model is not None:
            return self
        made = self._made(gallery)
        if len(made) > 1:
            names = " | ".join(each.describe() for each in made)
            reason = f"it has vectors of several models: {names}"
            fix = "choose one with --model (and --preprocess, --pooling)"
            raise GalleryError("gallery.several_models", gallery, reason, fix=fix)
        return self._like(made[0], gallery) if made else self

    def embedder_of(self, gallery: Path, expect: "Work" = "many") -> "Embedder":
        """The embedder of a gallery: as `of_gallery(gallery).load(gallery=gallery)`.

        Where nobody said which model made its vectors, one that refuses every picture.
        """
        from dinoseek.interchange.given import IMPORTED
        from dinoseek.interchange.importing import embedder_of

        made = [] if self.model else self._made(gallery)
        if [each.model for each in made] == [IMPORTED]:
            return embedder_of(made[0])
        return self.of_gallery(gallery).load(expect=expect, gallery=gallery)

    def _made(self, gallery: Path) -> "list[Fingerprint]":
        """What made the gallery's vectors, as far as it agrees with what the user said.

        Of those that differ in nothing but precision, only the oldest.
        """
        from dinoseek.gallery.factory import fingerprints_in

        found = [each for each in fingerprints_in(gallery) if self._allows(each)]
        families = [each.family for each in found]
        return [each for place, each in enumerate(found) if each.family not in families[:place]]

    def _allows(self, made: "Fingerprint") -> bool:
        """Whether what the user did say agrees with how a space was made."""
        from dinoseek.images.scales import name_of, parse_scales

        said = [
            (made.preprocess, self.preprocess),
            (made.pooling, self.pooling),
            (made.pos_flavour, self.pos_flavour),
            (made.scales, name_of(parse_scales(self.scales)) if self.scales else None),
            (made.vocabulary, self._digest(self.vocabulary, "vlad")),
            (made.projection, self._digest(self.projection, "pca")),
        ]
        return all(wanted in (None, found) for found, wanted in said)

    def _digest(self, path: Path | None, kind: str) -> str | None:
        from dinoseek.weights.fitted import load_fitted

        return None if path is None else load_fitted(path, kind, self.cache_dir).digest

    def _like(self, made: "Fingerprint", gallery: Path) -> "ModelChoice":
        model = _weights_of(made, self.cache_dir)
        if model is None:
            reason = f"it was made by {made.describe()}, whose weights are not known here"
            fix = "name their file with --model"
            raise GalleryError("gallery.unknown_weights", gallery, reason, fix=fix)
        return replace(
            self,
            model=model,
            preprocess=made.preprocess,
            pooling=made.pooling or None,
            pos_flavour=made.pos_flavour or None,
            scales=made.scales or None,
            vocabulary=self._fitted(made.vocabulary, gallery, "--vocabulary"),
            projection=self._fitted(made.projection, gallery, "--projection"),
        )

    def _fitted(self, digest: str, gallery: Path, flag: str) -> Path | None:
        """The file with this digest, of those that were used here before."""
        from dinoseek.weights.fitted import fitted_with_digest

        if not digest:
            return None
        found = fitted_with_digest(digest, self.cache_dir)
        if found is None:
            reason = f"it was made with a file that is not known here ({digest[:8]})"
            raise GalleryError(
                "gallery.unknown_fitted", gallery, reason, fix=f"name it with {flag}"
            )
        return found


def _weights_of(made: "Fingerprint", cache_dir: Path | None) -> str | None:
    """What to give as --model for the weights of a space: a name, or a file seen before."""
    from dinoseek.embedder import COLOR_HISTOGRAM
    from dinoseek.weights.digest import weights_with_digest
    from dinoseek.weights.hub import BUILT_IN, KNOWN

    if made.model in (COLOR_HISTOGRAM, BUILT_IN) or made.model in KNOWN:
        return made.model
    found = weights_with_digest(made.weights.partition("-")[0], cache_dir)
    return str(found) if found else None


def use_index_key(gallery: "SqliteGallery") -> None:
    """Lets an index be read that another account made, which shares its secret in a file."""
    if file := index_key_file():
        gallery.use_index_key(file)


def index_key_file() -> Path | None:
    """Where the secret is that proves who wrote an index, if another account did."""
    file = os.environ.get(environment_name("index_key"))
    return Path(file) if file else None


def setting(name: str, *names: str, **attributes: Any) -> Callable[[F], F]:
    """An option that may also stand in the environment, and in the file by click's default map."""
    key = name.lstrip("-").replace("-", "_")
    return click.option(name, *names, envvar=environment_name(key), **attributes)


_MODEL_OPTIONS = (
    setting(
        "--model",
        metavar="MODEL",
        help="A model's name (see dinoseek models list), a weights file, a training run, or "
        "color-histogram, which knows colours only.  [default: what made the gallery, or "
        "dinov2-small]",
    ),
    setting(
        "--preprocess",
        metavar="NAME",
        help="How pictures are cut and scaled: official, short-side, squash, ..., also with "
        "another size as in official@518.  [default: official]",
    ),
    setting(
        "--pooling",
        metavar="NAME",
        help="cls, mean, gem, vlad, or several as in cls+mean.  [default: cls]",
    ),
    setting(
        "--scales",
        metavar="A,B,...",
        help="Look at each picture at several sizes, as in 1,0.707.  [default: 1]",
    ),
    setting(
        "--vocabulary",
        type=click.Path(path_type=Path),
        help="For --pooling vlad: what dinoseek fit vlad wrote.",
    ),
    setting(
        "--projection",
        type=click.Path(path_type=Path),
        help="Shorten or whiten vectors by what dinoseek fit pca wrote.",
    ),
    click.option(
        "--pos-flavour",
        type=click.Choice(["hub", "hf", "timm"]),
        help="Whose way of fitting position embeddings to follow.  [default: hub, Facebook's]",
    ),
    click.option(
        "--fast-decode",
        is_flag=True,
        help="Read large JPEGs at a smaller scale: quicker, and vectors differ a little.",
    ),
    setting(
        "--engine",
        default="auto",
        show_default=True,
        help="What runs the model: numpy, onnx, openvino, torch; auto: the fastest that is here "
        "and right (see dinoseek info), or numpy for a few pictures.",
    ),
    setting(
        "--precision",
        default="auto",
        show_default=True,
        help="fp32, bf16, fp16 or int8; auto: what the gallery has, else bf16 where the engine is "
        "made for it.",
    ),
    setting("--threads", type=click.IntRange(1, 1024), help="Cores to use.  [default: all]"),
    setting(
        "--max-megapixels",
        type=click.FloatRange(0.01, 10_000),
        help="Refuse larger pictures.  [default: 50]",
    ),
    setting(
        "--max-megabytes",
        type=click.FloatRange(0.001, 100_000),
        help="Refuse larger files.  [default: 64]",
    ),
    models_dir_option,
    setting(
        "--cache-dir",
        type=click.Path(path_type=Path, file_okay=False),
        help="Folder for what can be made again.  [default: the user's cache]",
    ),
)


def model_options(command: F) -> F:
    """Adds the flags that choose an embedder; the command gets them as `choice`."""

    @wraps(command)
    def with_choice(**values: Any) -> Any:
        choice = ModelChoice(**{name: values.pop(name) for name in ModelChoice.__annotations__})
        return command(choice=choice, **values)

    for option in reversed(_MODEL_OPTIONS):
        with_choice = option(with_choice)
    return with_choice  # type: ignore[return-value]
