"""`dinoseek check`: proves that a gallery is whole, or says what is wrong and what to do."""

import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dinoseek.cli.options import use_index_key
from dinoseek.cli.progress import with_progress
from dinoseek.errors import GalleryError, MachineError, printable

if TYPE_CHECKING:
    from dinoseek.gallery.checkup import Problem
    from dinoseek.gallery.sqlite_gallery import SqliteGallery

_SHOWN = 20


@click.command("check")
@click.argument("gallery", type=click.Path(path_type=Path))
@click.option("--files", is_flag=True, help="Read the photographs too, and compare their bytes.")
@click.option("--repair", is_flag=True, help="Make again what follows from the rest of the record.")
@click.option(
    "--salvage",
    metavar="NEW",
    type=click.Path(path_type=Path),
    help="Copy what can be read into the new gallery NEW.",
)
@click.option("--json", "as_json", is_flag=True, help="Write JSON, with every problem.")
@click.option("-q", "--quiet", is_flag=True, help="No progress bar.")
def command(
    *,
    gallery: Path,
    files: bool,
    repair: bool,
    salvage: Path | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """\b
    Examples:
      dinoseek check photos.dino
      dinoseek check photos.dino --files
      dinoseek check photos.dino --repair
      dinoseek check photos.dino --salvage rescued.dino

    Reads all of a gallery: the record's pages, references, counts, vectors by their checksums and
    lengths, what filters look up, thumbnails. Derived files that are damaged are removed; the
    next search makes them again.

    Exit code 0: nothing is wrong, or no longer; 5: something is, and what to do is said.
    """
    if salvage is not None:
        return _salvage(gallery, salvage, as_json=as_json)
    from dinoseek.gallery.checkup import problems
    from dinoseek.gallery.factory import open_gallery
    from dinoseek.gallery.repair import repair as make_again

    with open_gallery(gallery, create=False) as opened:
        use_index_key(opened)
        with opened.reading():
            found = problems(opened._connection)
        repaired = make_again(opened, found) if repair else []
        removed = _clear(opened)
        left = [problem for problem in found if problem not in repaired]
        left += _photographs(opened, quiet=quiet or as_json) if files else []
    if as_json:
        click.echo(json.dumps(_as_dict(gallery, left, repaired, removed)))
    else:
        _show(gallery, left, repaired, removed)
    return GalleryError.exit_code if left else 0


def _clear(gallery: "SqliteGallery") -> list[Path]:
    """Removes derived files that are damaged, where that can be done now."""
    from dinoseek.gallery.repair import remove_unproven

    try:
        return remove_unproven(gallery)
    except MachineError as exc:
        click.echo(f"derived files were not looked at: {exc.reason}", err=True)
        return []


def _photographs(gallery: "SqliteGallery", *, quiet: bool) -> "list[Problem]":
    from dinoseek.gallery.originals import changed_files

    def total() -> int:
        return int(gallery.info()["files"])

    seen: Iterator[Problem | None] = changed_files(gallery)
    shown = with_progress(seen, total, "reading", quiet=quiet)
    return [problem for problem in shown if problem]


def _salvage(gallery: Path, target: Path, *, as_json: bool) -> int:
    from dinoseek.gallery.salvage import salvage

    saved = asdict(salvage(gallery, target))
    if as_json:
        click.echo(json.dumps({"gallery": str(target), **saved}))
        return 0
    counts = ", ".join(f"{count:,} {name}" for name, count in saved.items())
    click.echo(f"{printable(target)} has {counts}; index its folders again for what is missing")
    return 0


def _as_dict(
    gallery: Path,
    left: "Sequence[Problem]",
    repaired: "Sequence[Problem]",
    removed: Sequence[Path],
) -> dict[str, object]:
    return {
        "gallery": str(gallery),
        "good": not left,
        "problems": [{**asdict(each), "repairable": each.repairable} for each in left],
        "repaired": [asdict(each) for each in repaired],
        "removed": [str(file) for file in removed],
    }


def _show(
    gallery: Path,
    left: "Sequence[Problem]",
    repaired: "Sequence[Problem]",
    removed: Sequence[Path],
) -> None:
    for problem in left[:_SHOWN]:
        click.echo(f"{problem.code:<20} {printable(problem.text)}")
    if len(left) > _SHOWN:
        click.echo(f"and {len(left) - _SHOWN:,} more: --json lists all")
    for problem in repaired:
        click.echo(f"{'repaired':<20} {printable(problem.text)}")
    for file in removed:
        click.echo(f"{'removed':<20} {printable(file)}, which was damaged; it is made again")
    for line in _advice(gallery, left) or [f"{printable(gallery)}: nothing is damaged"]:
        click.echo(line)


def _advice(gallery: Path, left: "Sequence[Problem]") -> list[str]:
    name = shlex.quote(str(gallery))
    lines = []
    if any(problem.repairable for problem in left):
        lines.append(f"what can be made again: dinoseek check {name} --repair")
    damaged = [each for each in left if not each.repairable and not each.code.startswith("file.")]
    if damaged:
        lines.append(
            "the record is damaged: restore a backup, or save what can be read:"
            f" dinoseek check {name} --salvage NEW.dino"
        )
    if any(problem.code.startswith("file.") for problem in left):
        lines.append("photographs changed: index their folders again, or restore them")
    return lines
