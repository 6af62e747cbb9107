"""`dinoseek export`: writes images and vectors for other programs."""

from pathlib import Path

import click


@click.command("export")
@click.argument("gallery", type=click.Path(path_type=Path))
@click.argument("target", metavar="OUT", type=click.Path(path_type=Path))
@click.option("--where", metavar="FILTER", help="Only images that the filter holds for.")
@click.option("--space", metavar="ID", help="Of several models, which: id or name, as info shows.")
@click.option("--force", is_flag=True, help="Replace OUT if it exists.")
def command(
    *, gallery: Path, target: Path, where: str | None, space: str | None, force: bool
) -> None:
    """\b
    Examples:
      dinoseek export photos.dino vectors.parquet
      dinoseek export photos.dino wide.parquet --where 'width > 800'
      dinoseek export photos.dino features.npz

    Writes images and their vectors. OUT's suffix decides how: .parquet has everything, for
    DuckDB, pandas or another gallery (needs dinoseek[parquet]); .npz has features and paths;
    .npy has the vectors, and a .json beside it says what its rows are. The vectors are of unit
    length, ordered by the images' ids.
    """
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
