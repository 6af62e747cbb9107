"""`dinoseek export`: a gallery's vectors, or a model, for other programs."""

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from dinoseek.cli.export_model import MODEL_FLAGS, export_options, write_model
from dinoseek.errors import UsageError

_GALLERY_FLAGS = ("where", "space")
_TWO_WAYS = (
    "`dinoseek export GALLERY OUT` writes a gallery's vectors,"
    " `dinoseek export --model NAME OUT` a model"
)


@click.command("export")
@click.argument("paths", metavar="[GALLERY] OUT", nargs=-1, type=click.Path(path_type=Path))
@click.option("--where", metavar="FILTER", help="Vectors: only images that the filter holds for.")
@click.option(
    "--space", metavar="ID", help="Vectors: of several models, which: id or name, as info shows."
)
@export_options
@click.option("--force", is_flag=True, help="Replace OUT if it exists.")
@click.pass_context
def command(ctx: click.Context, /, *, paths: tuple[Path, ...], force: bool, **values: Any) -> None:
    """\b
    Examples:
      dinoseek export photos.dino vectors.parquet
      dinoseek export photos.dino wide.parquet --where 'width > 800'
      dinoseek export photos.dino features.npz
      dinoseek export --model dinov2-small small.onnx
      dinoseek export --model dinov2-small small.xml --precision fp16 --size 224
      dinoseek export --model tuned.safetensors tuned.onnx --with-normalize --with-unit-length

    With GALLERY it writes images and their vectors. OUT's suffix decides how: .parquet has
    everything, for DuckDB, pandas or another gallery (needs dinoseek[parquet]); .npz has features
    and paths; .npy has the vectors, and a .json beside it says what its rows are. The vectors are
    of unit length, ordered by the images' ids.

    With --model it writes a model: .onnx (needs dinoseek[onnx]), .xml and .bin of OpenVINO (needs
    dinoseek[openvino]), or weights alone as .safetensors or .npz. What was written is loaded anew
    and run on pictures beside the NumPy engine; OUT.report.json says how they compare. A file that
    differs by more than its precision explains is not kept, and the exit code is 5.
    """
    said = [name for name in values if _was_said(ctx, name)]
    if len(paths) == 2:
        _refuse(ctx, said, MODEL_FLAGS, "it is about models, and two paths export a gallery")
        _write_vectors(*paths, where=values["where"], space=values["space"], force=force)
        return
    if len(paths) != 1:
        reason = f"expected GALLERY and OUT, or --model and OUT, not {len(paths)} paths"
        raise UsageError("export.paths", "dinoseek export", reason, fix=_TWO_WAYS)
    if values["source"] is None:
        reason = "it stands alone, without a gallery or --model"
        raise UsageError("export.paths", paths[0], reason, fix=_TWO_WAYS)
    _refuse(ctx, said, _GALLERY_FLAGS, "it is about vectors, and there is no gallery")
    write_model(paths[0], force=force, **{name: values[name] for name in MODEL_FLAGS})


def _was_said(ctx: click.Context, name: str) -> bool:
    """Whether a flag stands on the command line; settings may be there for other commands."""
    return ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE


def _refuse(ctx: click.Context, said: list[str], names: tuple[str, ...], reason: str) -> None:
    for param in ctx.command.params:
        if param.name in said and param.name in names:
            raise UsageError("export.flag", param.opts[0], reason, fix=_TWO_WAYS)


def _write_vectors(
    gallery: Path, target: Path, *, where: str | None, space: str | None, force: bool
) -> None:
    from dinoseek.gallery.factory import open_gallery
    from dinoseek.gallery.filters import parse
    from dinoseek.interchange.files import export_vectors

    chosen = parse(where) if where is not None else None
    with open_gallery(gallery, readonly=True) as opened:
        for text in opened.unknown_names(chosen) if chosen else ():
            click.echo(f"warning: {text}", err=True)
        count = export_vectors(opened, target, space=space, where=chosen, force=force)
    click.echo(f"{count:,} images", err=True)
    click.echo(target)
