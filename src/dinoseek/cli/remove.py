"""`dinoseek remove`: forgets images of a gallery; their files stay where they are."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dinoseek.errors import UsageError

if TYPE_CHECKING:
    from dinoseek.gallery.sqlite_gallery import SqliteGallery

_SHOWN = 20


@click.command("remove")
@click.argument("gallery", type=click.Path(path_type=Path))
@click.argument("names", metavar="[IMAGE]...", nargs=-1)
@click.option("--where", metavar="EXPR", help="All images that this holds for.")
@click.option("--yes", is_flag=True, help="Do it; without this it is only shown.")
def command(*, gallery: Path, names: tuple[str, ...], where: str | None, yes: bool) -> None:
    """\b
    Examples:
      dinoseek remove photos.dino id:42 holiday/blurred.jpg
      dinoseek remove products.dino --where 'label = "sold"' --yes

    Forgets images: their vectors, captions and thumbnails, for every model. An IMAGE is a file
    or id:N. The files themselves are not touched: the next index run of their folder or list
    finds them again.
    """
    from dinoseek.gallery.factory import open_gallery

    if not names and where is None:
        fix = "name images, or say which with --where"
        raise UsageError("remove.nothing", "dinoseek remove", "there is nothing to remove", fix=fix)
    with open_gallery(gallery, create=False) as opened:
        ids = _chosen(opened, names, where)
        for id in ids[:_SHOWN]:
            click.echo(f"id:{id}  {_place(opened, id)}")
        count = opened.remove(ids) if yes else len(ids)
    if len(ids) > _SHOWN:
        click.echo(f"and {len(ids) - _SHOWN:,} more", err=True)
    done = "removed" if yes else "would be removed: --yes does it"
    click.echo(f"{count:,} {'image' if count == 1 else 'images'} {done}", err=True)


def _chosen(gallery: "SqliteGallery", names: tuple[str, ...], where: str | None) -> list[int]:
    """The ids that are meant, ascending."""
    from dinoseek.duplicates.named import digest_of
    from dinoseek.gallery.filters import parse

    found = set(gallery.ids_of(digest_of(gallery, name) for name in names).values())
    if where is not None:
        condition = parse(where)
        found |= set(gallery.matching(condition))
        for hint in gallery.unknown_names(condition) if not found else ():
            click.echo(f"--where: {hint}", err=True)
    return sorted(found)


def _place(gallery: "SqliteGallery", id: int) -> str:
    from dinoseek.ingest.outcomes import Item

    try:
        (record,) = gallery.get([id])
    except UsageError:  # it has lost its last file, and is not yet pruned
        return "(no file)"
    return str(Item(root=record.root, path=record.path))
