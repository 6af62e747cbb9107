"""`dinoseek map`: a gallery as points of a plane."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dinoseek.cli.options import setting
from dinoseek.cli.progress import with_progress
from dinoseek.errors import UsageError

if TYPE_CHECKING:
    from dinoseek.gallery.sqlite_gallery import SqliteGallery
    from dinoseek.report.gallery_map import Mapped

_MOST_ON_A_PAGE, _MOST_ROWS = 2_000, 100_000


@click.command("map")
@click.argument("gallery", required=False, type=click.Path(path_type=Path))
@setting("--gallery", "chosen", type=click.Path(path_type=Path), hidden=True)
@click.option("--html", type=click.Path(path_type=Path), help="Write a page to look at.")
@click.option(
    "--parquet", type=click.Path(path_type=Path), help="Write Parquet for Embedding Atlas."
)
@click.option(
    "--method",
    type=click.Choice(["pca", "umap"]),
    default="pca",
    show_default=True,
    help="How images are laid out; umap needs dinoseek[map].",
)
@click.option("--color", metavar="NAME", help="Colour the page's points by this metadata.")
@click.option("--where", metavar="FILTER", help="Only images that the filter holds for.")
@click.option("--space", metavar="ID", help="Of several models, which: id or name, as info shows.")
@click.option(
    "--neighbors", type=click.IntRange(1, 100), default=10, show_default=True, help="Of each image."
)
@click.option(
    "--limit",
    type=click.IntRange(1),
    help="Images at most, evenly spread.  [default: 2000 on a page, 100000 in Parquet]",
)
@click.option("--title", help="The page's title.  [default: the gallery's name]")
def command(
    *,
    gallery: Path | None,
    chosen: Path | None,
    html: Path | None,
    parquet: Path | None,
    where: str | None,
    limit: int | None,
    **options: Any,
) -> None:
    """\b
    Examples:
      dinoseek map photos.dino --html map.html
      dinoseek map photos.dino --html map.html --method umap --color label
      dinoseek map photos.dino --parquet map.parquet

    Lays the images of a gallery out so that those that look alike lie near each other: as a page
    with the pictures, to move and zoom in, and as Parquet with places, vectors and neighbours.
    """
    from dinoseek.gallery.factory import open_gallery
    from dinoseek.gallery.filters import parse

    path = gallery or chosen
    if path is None:
        raise UsageError("map.gallery", "dinoseek map", "name the gallery", fix="photos.dino")
    if html is None and parquet is None:
        fix = "--html map.html, or --parquet map.parquet"
        raise UsageError("map.nothing", "dinoseek map", "say what to write", fix=fix)
    condition = None if where is None else parse(where)
    with open_gallery(path, readonly=True) as opened:
        for text in opened.unknown_names(condition) if condition else ():
            click.echo(f"warning: {text}", err=True)
        options = {**options, "where": condition, "title": options["title"] or path.stem}
        if html:
            _write_page(opened, html, limit or _MOST_ON_A_PAGE, options)
        if parquet:
            _write_parquet(opened, parquet, limit or _MOST_ROWS, options)


def _write_page(gallery: "SqliteGallery", target: Path, most: int, options: dict[str, Any]) -> None:
    from dinoseek.report.gallery_map import pictures
    from dinoseek.report.gallery_map_page import write_map_page

    found = _mapped(gallery, most, options)
    _check_color(found, options["color"])
    shown = f"{len(found.rows):,}"
    if found.found.rows > len(found.rows):
        shown += f" of {found.found.rows:,}"
    facts = {
        "images": shown,
        "model": found.found.fingerprint.describe(),
        "by": options["method"].upper(),
    }
    small = with_progress(pictures(gallery, found), lambda: len(found.rows), "reading pictures")
    write_map_page(
        target,
        found,
        small,
        title=options["title"],
        facts=facts,
        color=options["color"],
        neighbours=options["neighbors"],
    )
    click.echo(f"wrote {target}", err=True)


def _check_color(found: "Mapped", name: str | None) -> None:
    """Refuses a name of metadata that no image on the map has."""
    known = {key for row in found.rows for key in row["metadata"]}
    if name is not None and name not in known:
        fix = f"use one of {', '.join(sorted(known)[:10])}" if known else ""
        raise UsageError("map.color", name, "no image has this metadata", fix=fix)


def _write_parquet(
    gallery: "SqliteGallery", target: Path, most: int, options: dict[str, Any]
) -> None:
    from dinoseek.interchange.map_parquet import write_map_parquet
    from dinoseek.report.gallery_map import nearest, pictures

    found = _mapped(gallery, most, options)
    near = nearest(found.vectors, options["neighbors"])
    small = with_progress(pictures(gallery, found), lambda: len(found.rows), "reading pictures")
    write_map_parquet(
        target, found.found, found.rows, found.vectors, found.points, near, list(small)
    )
    click.echo(f"wrote {target}", err=True)


def _mapped(gallery: "SqliteGallery", most: int, options: dict[str, Any]) -> "Mapped":
    from dinoseek.report.gallery_map import map_of

    return map_of(
        gallery,
        method=options["method"],
        space=options["space"],
        where=options["where"],
        most=most,
    )
