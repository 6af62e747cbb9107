"""`dinoseek backup`: copies a gallery while others go on using it."""

from pathlib import Path

import click


@click.command("backup")
@click.argument("gallery", type=click.Path(path_type=Path))
@click.argument("target", metavar="NEW", type=click.Path(path_type=Path))
def command(*, gallery: Path, target: Path) -> None:
    """\b
    Examples:
      dinoseek backup photos.dino photos-monday.dino
      dinoseek backup photos.dino /backups/photos.dino

    Copies a gallery to NEW, which must not be there yet. Others may go on searching and indexing;
    NEW is the gallery at one moment, and verified. It is a gallery like any other: to restore it,
    copy it back (cp -r). The photographs are not part of it.
    """
    from dinoseek.gallery.backup import back_up
    from dinoseek.gallery.factory import open_gallery

    with open_gallery(gallery, readonly=True) as opened:
        back_up(opened, target)
    click.echo(target)
