"""The part of `dinoseek export` that writes models: its flags, and what it says."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dinoseek.cli.models import models_dir_option
from dinoseek.cli.options import setting
from dinoseek.cli.progress import with_progress
from dinoseek.errors import UsageError

if TYPE_CHECKING:
    from dinoseek.export.options import ExportOptions
    from dinoseek.export.pictures import Picture

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

# Pictures of each family, where --images names none.
_OF_EACH, _OF_EACH_SEARCHED = 1, 8

# Some have names of their own: a setting `model` or `precision` says how other commands run a
# model, and must not decide what is written.
_OPTIONS = (
    click.option(
        "--model",
        "source",
        metavar="MODEL",
        help="A model's name (see dinoseek models list), a weights file or a training run.",
    ),
    click.option(
        "--format",
        "form",
        type=click.Choice(["onnx", "openvino", "npz", "safetensors"]),
        help="Model: what to write.  [default: what OUT's suffix says]",
    ),
    click.option(
        "--precision",
        "stored",
        type=click.Choice(["fp32", "bf16", "fp16", "int8"]),
        default="fp32",
        show_default=True,
        help="Model: of its weights.",
    ),
    click.option(
        "--size",
        metavar="HxW",
        help="Model: take pictures of one size only, as in 224 or 224x336.",
    ),
    click.option(
        "--dynamic", is_flag=True, help="Model: take pictures of all sizes, which is the default."
    ),
    click.option(
        "--with-normalize",
        is_flag=True,
        help="Model: take RGB bytes (b, H, W, 3), and normalise them inside.",
    ),
    click.option(
        "--with-unit-length",
        is_flag=True,
        help="Model: give embeddings of unit length besides the tokens.",
    ),
    click.option(
        "--images",
        metavar="FOLDER",
        type=click.Path(path_type=Path),
        help="Model: compare on pictures of this folder or gallery.  [default: drawn ones]",
    ),
    click.option(
        "--pos-flavour",
        type=click.Choice(["hub", "hf", "timm"]),
        help="Model: whose way of fitting position embeddings to follow.  [default: hub]",
    ),
    setting("--threads", type=click.IntRange(1, 1024), help="Cores to use.  [default: all]"),
    models_dir_option,
    setting(
        "--cache-dir",
        type=click.Path(path_type=Path, file_okay=False),
        help="Folder for what can be made again.  [default: the user's cache]",
    ),
)

MODEL_FLAGS = (
    "source",
    "form",
    "stored",
    "size",
    "dynamic",
    "with_normalize",
    "with_unit_length",
    "images",
    "pos_flavour",
    "threads",
    "models_dir",
    "cache_dir",
)


def export_options(command: F) -> F:
    """Adds the flags of a model's export; the command gets them under MODEL_FLAGS."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def write_model(
    target: Path,
    *,
    source: str,
    images: Path | None,
    pos_flavour: Any,
    threads: int | None,
    models_dir: Path | None,
    cache_dir: Path | None,
    force: bool,
    **graph: Any,
) -> None:
    """Exports a model, and tells how it compares."""
    from dinoseek.export.model import export_model

    options = _options(target, **graph)
    report = export_model(
        source,
        target,
        options,
        pictures=_pictures(images, options),
        pos_flavour=pos_flavour,
        threads=threads,
        models_dir=models_dir,
        cache_dir=cache_dir,
        force=force,
        watch=_watch,
    )
    click.echo(report.line(), err=True)
    click.echo(target)


def _options(
    target: Path,
    *,
    form: str | None,
    stored: str,
    size: str | None,
    dynamic: bool,
    with_normalize: bool,
    with_unit_length: bool,
) -> "ExportOptions":
    from dinoseek.export.options import PRECISIONS, ExportOptions, format_of, parse_size

    if size is not None and dynamic:
        reason = "one size is asked for, and all"
        raise UsageError("export.size", "--size and --dynamic", reason, fix="give one of them")
    return ExportOptions(
        format=format_of(target, form),
        precision=PRECISIONS[stored],
        size=parse_size(size) if size is not None else None,
        normalize=with_normalize,
        unit_length=with_unit_length,
    )


def _pictures(images: Path | None, options: "ExportOptions") -> "Iterator[Picture]":
    """Those of a folder or gallery, else drawn ones; many if searches are to be compared."""
    from dinoseek.export.pictures import FEW, MOST, pictures_in

    search = options.precision == "int8"
    if images is not None:
        return pictures_in(images, MOST if search else FEW)
    return _drawn(_OF_EACH_SEARCHED if search else _OF_EACH)


def _drawn(count: int) -> "Iterator[Picture]":
    """Pictures of the demo, `count` of each family, labelled by what they show."""
    from dinoseek.export.pictures import shrunk
    from dinoseek.report.demo_gallery import FAMILIES, draw

    for number, (family, paint) in enumerate(FAMILIES.items()):
        for i in range(count):
            yield shrunk(draw(paint, seed=1000 * number + i), family)


def _watch(batches: Sequence[T], doing: str) -> Iterable[T]:
    return with_progress(batches, lambda: len(batches), f"running {doing}")
