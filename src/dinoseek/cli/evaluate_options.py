"""Flags of `dinoseek evaluate`, and the vectors and distractors that they ask for."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dinoseek.cli.options import ModelChoice, model_options
from dinoseek.cli.progress import with_progress
from dinoseek.errors import UsageError

if TYPE_CHECKING:
    from dinoseek.evaluation.ground_truth import Box
    from dinoseek.evaluation.run import Options
    from dinoseek.evaluation.scoring import Blocks
    from dinoseek.evaluation.vectors import Vectors
    from dinoseek.gallery.sqlite_gallery import SqliteGallery

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Where the vectors come from, and what is reported."""

    choice: ModelChoice
    gallery: Path | None = None
    features: Path | None = None
    allow_missing: bool = False
    save_features: Path | None = None
    resample: Any = "queries"
    worst: int = 12
    as_json: bool = False
    markdown: bool = False
    out: Path | None = None
    html: Path | None = None

    @property
    def options(self) -> "Options":
        """How the evaluation reports."""
        from dinoseek.evaluation.run import Options

        return Options(resample=self.resample, worst=self.worst)

    @property
    def stored(self) -> bool:
        """Whether the vectors are there already."""
        return self.gallery is not None or self.features is not None

    def vectors(
        self,
        root: Path,
        images: Sequence[str],
        boxes: "Mapping[int, Box] | None" = None,
    ) -> "Vectors":
        """The vectors of `images` below `root`, of the part in a box where there is one."""
        if self.gallery and self.features:
            raise UsageError(
                "usage.vectors", "--gallery and --features", "only one of them, please"
            )
        if self.features and self.choice.scales:
            reason = "the vectors of a file have the scales that they were made with"
            raise UsageError("usage.vectors", "--scales", reason, fix="leave it out")
        if self.features is not None:
            found = self._of_file(root, images, boxes=bool(boxes))
        elif self.gallery is not None:
            found = self._of_gallery(root, images, boxes or {})
        else:
            found = self._embedded(root, images, boxes or {})
        if self.save_features is not None:
            from dinoseek.evaluation.saved_features import save_features

            save_features(self.save_features, root, images, found, boxes=bool(boxes))
        return found

    def _embedded(self, root: Path, images: Sequence[str], boxes: "Mapping[int, Box]") -> "Vectors":
        from dinoseek.evaluation.embedding import embedded
        from dinoseek.evaluation.vectors import Made, collect

        embedder = self.choice.load()
        files = [(position, root / image) for position, image in enumerate(images)]
        shown = with_progress(embedded(embedder, files, boxes), lambda: len(files), "embedding")
        return collect(shown, len(images), Made.of(embedder.fingerprint))

    def _of_file(self, root: Path, images: Sequence[str], *, boxes: bool) -> "Vectors":
        """What the file has; refused where it has other parts of the images than are wanted."""
        from dinoseek.evaluation.saved_features import read_made
        from dinoseek.evaluation.vectors import from_given
        from dinoseek.interchange.files import read_vectors

        path = self.features or Path()
        given, said = read_vectors(path), read_made(path)
        if boxes != (said[1] if said else False):
            reason = "its vectors are of whole images" if boxes else "its vectors are of parts"
            fix = (
                "cut queries in the same way, see --protocol" if said else "--protocol dino-nocrop"
            )
            raise UsageError("usage.vectors", path, reason, fix=fix)
        return from_given(given, root, images, made=said[0] if said else None)

    def _of_gallery(
        self, root: Path, images: Sequence[str], boxes: "Mapping[int, Box]"
    ) -> "Vectors":
        """What the gallery has; the parts in boxes are embedded, by what made its vectors."""
        from dinoseek.evaluation.vectors import from_gallery

        with opened(self.gallery, self.choice, embed=bool(boxes)) as gallery:  # type: ignore[arg-type]
            found = from_gallery(gallery, root, images)
            if not boxes:
                return found
            return self._with_parts(gallery, found, root, images, boxes)

    def _with_parts(
        self,
        gallery: "SqliteGallery",
        found: "Vectors",
        root: Path,
        images: Sequence[str],
        boxes: "Mapping[int, Box]",
    ) -> "Vectors":
        from dinoseek.evaluation.embedding import embedded
        from dinoseek.evaluation.vectors import replaced

        if gallery.embedder is None:
            raise UsageError("usage.vectors", self.gallery, "its model cannot embed new pictures")
        files = [(position, root / images[position]) for position in boxes]
        outcomes = embedded(gallery.embedder, files, boxes)
        return replaced(found, boxes, with_progress(outcomes, lambda: len(files), "embedding"))


@contextmanager
def opened(path: Path, choice: ModelChoice, *, embed: bool) -> "Iterator[SqliteGallery]":
    """A gallery to read vectors of; with its embedder where one is needed, or was named."""
    from dinoseek.gallery.factory import open_gallery

    said = choice.model or choice.preprocess or choice.pooling or choice.scales
    embedder = choice.embedder_of(path) if embed or said else None
    with open_gallery(path, embedder, readonly=True) as gallery:
        yield gallery


def distractors_of(path: Path, choice: ModelChoice) -> "tuple[int, Blocks]":
    """How many distractors a .npy, .npz, .parquet file or a gallery has, and their vectors."""
    from dinoseek.evaluation.distractors import from_file, of_gallery

    if path.is_dir():
        with opened(path, choice, embed=False) as gallery:
            return of_gallery(gallery)
    return from_file(path)


def watching(label: str, total: int) -> Callable[[Iterable[T]], Iterator[T]]:
    """What draws a bar of what passes through."""
    return lambda items: with_progress(items, lambda: total, label)


def _asked_for(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    """What was said on the command line; a setting is for other commands."""
    name = param.name or ""
    said = ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    return value if said else None


_OPTIONS = (
    click.option(
        "--gallery",
        type=click.Path(path_type=Path),
        callback=_asked_for,
        help="Take the vectors of this gallery instead of embedding the images.",
    ),
    click.option(
        "--features",
        type=click.Path(path_type=Path),
        help="Take the vectors of this file: .npz with features and paths, .npy, .parquet.",
    ),
    click.option(
        "--allow-missing",
        is_flag=True,
        help="Measure although images are missing, and say how many beside the score.",
    ),
    click.option(
        "--save-features",
        type=click.Path(path_type=Path),
        metavar="FILE.npz",
        help="Keep the vectors, for --features.",
    ),
    click.option(
        "--resample",
        type=click.Choice(["queries", "groups"]),
        default="queries",
        show_default=True,
        help="What intervals draw again: queries, or all queries of a class or landmark together.",
    ),
    click.option(
        "--worst",
        type=click.IntRange(0, 1000),
        default=12,
        show_default=True,
        help="How many of the worst queries to keep for the report.",
    ),
    click.option("--json", "as_json", is_flag=True, help="Write JSON."),
    click.option("--markdown", is_flag=True, help="Write a table in Markdown."),
    click.option(
        "--out",
        type=click.Path(path_type=Path),
        metavar="FILE.json",
        help="Keep everything, each query's values too, for dinoseek evaluate compare.",
    ),
    click.option(
        "--html",
        type=click.Path(path_type=Path),
        help="Write a page with plots and the worst queries.",
    ),
)


def evaluation_options(command: F) -> F:
    """Adds the flags above and those that choose a model; the command gets them as `wanted`."""

    @wraps(command)
    def with_wanted(**values: Any) -> Any:
        known = {name: values.pop(name) for name in Wanted.__annotations__ if name in values}
        if known["as_json"] and known["markdown"]:
            reason = "only one output format at a time"
            raise UsageError("usage.formats", "--json and --markdown", reason)
        return command(wanted=Wanted(**known), **values)

    wrapped = model_options(with_wanted)
    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped  # type: ignore[return-value]
