"""`dinoseek dupes`: images that are the same, nearly the same, or alike, and clearing them away."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dinoseek.cli.dupes_found import Found, Wanted, found_in
from dinoseek.cli.options import setting
from dinoseek.errors import UsageError

if TYPE_CHECKING:
    from dinoseek.embedder import Embedder, Fingerprint
    from dinoseek.gallery.sqlite_gallery import SqliteGallery

PARTIAL = 3
FOUND = 10


@click.command("dupes")
@click.argument("gallery", required=False, type=click.Path(path_type=Path))
@setting("--gallery", "chosen", type=click.Path(path_type=Path), hidden=True)
@click.option(
    "--level",
    type=click.Choice(["exact", "near", "similar"]),
    help="The same bytes; also the same picture in other bytes; also pictures that are alike."
    "  [default: near; exact with --hardlink]",
)
@click.option(
    "--min-score",
    type=click.FloatRange(-1, 1),
    metavar="COSINE",
    help="What is similar.  [default: chosen for the gallery]",
)
@click.option(
    "--prefer",
    multiple=True,
    metavar="FOLDER",
    help="Rather keep files of this folder; the first that is named most.",
)
@click.option(
    "--reference", multiple=True, metavar="FOLDER", help="Never touch files of this folder."
)
@click.option("--model", "space", metavar="MODEL", help="Whose vectors, if there are several.")
@click.option("--move-to", type=click.Path(path_type=Path), help="Move what can go to this folder.")
@click.option("--hardlink", is_flag=True, help="Make one file on the disk of those that are equal.")
@click.option("--delete", is_flag=True, help="Delete what can go; only with --yes.")
@click.option("--yes", is_flag=True, help="Yes, delete.")
@click.option("-n", "--dry-run", is_flag=True, help="Only show what would be done.")
@click.option(
    "--not-duplicate",
    nargs=2,
    multiple=True,
    metavar="A B",
    help="Remember that two images (files or ids) are different.",
)
@click.option(
    "--keep-both", nargs=2, multiple=True, metavar="A B", help="Remember to keep both of two."
)
@click.option(
    "--discarded",
    is_flag=True,
    help="Of the files that were discarded on the web page, and of no others.",
)
@click.option(
    "--forget-decisions", is_flag=True, help="Forget what was said by these, and on the web page."
)
@click.option("--all", "decided", is_flag=True, help="Also show what is to be kept.")
@click.option("--exit-code", is_flag=True, help="End with 10 if there are duplicates.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@click.option("--html", type=click.Path(path_type=Path), help="Write a page with the pictures.")
def command(
    *,
    gallery: Path | None,
    chosen: Path | None,
    space: str | None,
    not_duplicate: Sequence[tuple[str, str]],
    keep_both: Sequence[tuple[str, str]],
    forget_decisions: bool,
    exit_code: bool,
    as_json: bool,
    html: Path | None,
    **options: Any,
) -> int:
    """\b
    Examples:
      dinoseek dupes photos.dino
      dinoseek dupes photos.dino --level similar --html dupes.html
      dinoseek dupes photos.dino --move-to spare/ --prefer photos/best -n
      dinoseek dupes photos.dino --not-duplicate photos/a.jpg photos/b.jpg
      dinoseek dupes photos.dino --discarded --move-to spare/

    Finds images that are the same, says which file of each group to keep and why, and moves, links
    or deletes the others if it is told to. Without that nothing is changed. A file that changed
    since it was indexed is never touched.
    """
    path = gallery or chosen
    if path is None:
        raise UsageError("dupes.gallery", "dinoseek dupes", "name the gallery", fix="photos.dino")
    said = {"not-duplicate": not_duplicate, "keep-both": keep_both}
    if forget_decisions or any(said.values()):
        return _decide(path, said, forget=forget_decisions)
    wanted = Wanted(**options)
    with _opened(path, space) as opened:
        found = found_in(opened, wanted)
        _show(opened, found, wanted, as_json=as_json, html=html)
    if any(outcome.status == "skipped" for outcome in found.outcomes):
        return PARTIAL
    return FOUND if exit_code and found.groups else 0


def _show(
    gallery: "SqliteGallery", found: Found, wanted: Wanted, *, as_json: bool, html: Path | None
) -> None:
    from dinoseek.cli.dupes_output import tell, write_groups, write_json

    if as_json:
        write_json(gallery.path, wanted.level, found)
    else:
        write_groups(found, wanted)
    if html:
        from dinoseek.report.duplicates import write_duplicates

        facts = {"searched": gallery.path, "images": f"{found.images:,}"}
        write_duplicates(html, found.groups, facts=facts, thumbnail_of=gallery.thumbnail)
        click.echo(f"wrote {html}", err=True)
    tell(found, wanted)


@contextmanager
def _opened(path: Path, space: str | None) -> "Iterator[SqliteGallery]":
    """The gallery, in the space that is meant; no weights are needed to compare its vectors."""
    from dinoseek.gallery.factory import open_gallery

    with open_gallery(path, create=False) as opened:
        if space is None:
            yield opened
            return
        made = _space(opened, space)
    with open_gallery(path, _stand_in(made), create=False) as opened:
        yield opened


def _space(gallery: "SqliteGallery", name: str) -> "Fingerprint":
    from dinoseek.embedder import Fingerprint

    names = [field.name for field in fields(Fingerprint)]
    spaces = [Fingerprint(**{key: each[key] for key in names}) for each in gallery.info()["spaces"]]
    found = [each for each in spaces if name in (each.model, each.id)]
    if len(found) != 1:
        known = "; ".join(f"{each.describe()} ({each.id})" for each in spaces) or "none"
        reason = "several models of this name made vectors" if found else "it made no vectors here"
        raise UsageError("dupes.model", f"--model {name}", reason, fix=f"known: {known}")
    return found[0]


def _stand_in(made: "Fingerprint") -> "Embedder":
    """An embedder that names a space, and never embeds."""
    from dinoseek.embedder import Embedder
    from dinoseek.images.preprocess import find_preset

    def refuse(_prepared: Any) -> Any:
        raise ValueError("only vectors that are there are compared")

    return Embedder(refuse, find_preset(made.preprocess), made)


def _decide(path: Path, said: dict[str, Sequence[tuple[str, str]]], *, forget: bool) -> int:
    """Remembers, or forgets, what a person says of pairs."""
    from dinoseek.duplicates.named import digest_of
    from dinoseek.gallery import decisions
    from dinoseek.gallery.choices import forget_choices
    from dinoseek.gallery.factory import open_gallery

    with open_gallery(path, create=False) as opened:
        if forget:
            count, files = decisions.forget_decisions(opened), forget_choices(opened)
            told = f"{count:,} {'decision' if count == 1 else 'decisions'}"
            click.echo(f"forgot {told} about pairs, {files:,} about files", err=True)
        for verdict, pairs in said.items():
            for first, second in pairs:
                digests = digest_of(opened, first), digest_of(opened, second)
                decisions.decide(opened, *digests, verdict)  # type: ignore[arg-type]
                click.echo(f"{verdict}: {first} and {second}", err=True)
    return 0
