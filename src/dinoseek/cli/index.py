"""`dinoseek index`: brings a gallery up to date with folders, lists and archives of images."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dinoseek.cli.interrupts import stop_requests
from dinoseek.cli.options import ModelChoice, model_options, setting, use_index_key
from dinoseek.cli.progress import with_progress
from dinoseek.cli.sources import (
    ListChoice,
    is_address,
    list_options,
    sources_of,
    web_options,
)
from dinoseek.errors import UsageError

if TYPE_CHECKING:
    from dinoseek.gallery.sqlite_gallery import SqliteGallery
    from dinoseek.ingest.outcomes import Failed, Summary
    from dinoseek.ingest.pipeline import AnySource
    from dinoseek.ingest.web import WebOptions

PARTIAL = 3
_SHOWN = 10
_LARGE = 200_000  # images, from which on there is an index to build


@click.command("index")
@click.argument("words", metavar="[SOURCE]...", nargs=-1)
@setting(
    "--gallery",
    type=click.Path(path_type=Path),
    help="The gallery to fill.  [default: SOURCE's name + .dino, in this folder]",
)
@model_options
@click.option("--verify-files", is_flag=True, help="Read every file again, not only changed ones.")
@click.option(
    "--retry-failed",
    is_flag=True,
    help="Try again what failed before; without a SOURCE, only that.",
)
@click.option(
    "--moved-from",
    metavar="OLD",
    help="FOLDER is the folder OLD, moved: keep what is known of it.",
)
@list_options
@web_options
@click.option(
    "--index",
    "kind",
    type=click.Choice(["auto", "exact", "hnsw", "ivf"]),
    help="How vectors are searched.  [default: as before, or exact up to 200,000, then hnsw]",
)
@setting("--batch-size", type=click.IntRange(1, 4096), help="Images at once.  [default: 16]")
@click.option("--json", "as_json", is_flag=True, help="Write the counts as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="No progress bar, no summary.")
def command(
    *,
    words: tuple[str, ...],
    gallery: Path | None,
    choice: ModelChoice,
    verify_files: bool,
    moved_from: str | None,
    lists: ListChoice,
    web: "Callable[[float | None], WebOptions]",
    kind: str | None,
    batch_size: int | None,
    as_json: bool,
    quiet: bool,
    **options: bool,
) -> int:
    """\b
    Examples:
      dinoseek index photos/
      dinoseek index photos/ more/ --gallery all.dino --model dinov2-base
      dinoseek index products.csv --url-column link --keep-images pictures/
      dinoseek index shards/*.tar --gallery web.dino
      find . -name "*.jpg" | dinoseek index - --gallery found.dino
      dinoseek index --gallery photos.dino --retry-failed

    Puts images into a gallery. A SOURCE is a folder with all folders below it, an image file, a
    list (.csv .tsv .jsonl .parquet, or .txt with one path or address a line), a tar archive, an
    address, or - for a list on stdin. Only what is new, changed, renamed or deleted since the last
    time is looked at; interrupted at any point, the same command goes on. What cannot be read is
    listed and does not stop the run.
    """
    from dinoseek.embedder import BATCH_SIZE
    from dinoseek.gallery.factory import open_gallery

    path = gallery or default_gallery(words)
    sources = sources_of(words, lists, retry=options["retry_failed"])
    if gallery is None and not quiet:
        click.echo(f"gallery: {path}", err=True)
    with open_gallery(path, choice.of_gallery(path).load(gallery=path)) as opened:
        if moved_from is not None:
            opened.relocate(moved_from, words[0] if words else "")
        summary, failures = fill(
            opened,
            sources,
            quiet=quiet,
            verify=verify_files,
            web=web(choice.max_megabytes),
            batch_size=batch_size or BATCH_SIZE,
            **options,
        )
        images = len(opened)
        use_index_key(opened)
        if not quiet and (kind or (images > _LARGE and summary.stored)):
            click.echo("bringing the index up to date: minutes for a million images", err=True)
        opened.build_index(kind)
    if as_json:
        click.echo(json.dumps(as_dict(summary, failures, path, images)))
    if not quiet:
        tell(summary, failures, path, images)
    return PARTIAL if summary.failed else 0


def default_gallery(words: Sequence[str]) -> Path:
    """The gallery of what is not told one: the first source's name + .dino, in this folder."""
    if not words or words[0] == "-" or is_address(words[0]):
        fix = "name it with --gallery photos.dino"
        raise UsageError("index.gallery", "dinoseek index", "which gallery?", fix=fix)
    path = Path(words[0]).resolve()
    name = path.name if path.is_dir() else path.name.partition(".")[0]
    if not name:
        raise UsageError("index.gallery", words[0], "has no name", fix="name one with --gallery")
    return Path(f"{name}.dino")


def fill(
    gallery: "SqliteGallery", sources: "Sequence[AnySource]", *, quiet: bool = False, **options: Any
) -> "tuple[Summary, list[Failed]]":
    """Ingests with a progress bar; Ctrl-C ends it after the batch that is being worked on."""
    from dinoseek.ingest.outcomes import Failed, Removed, Summary
    from dinoseek.ingest.pipeline import ingest

    summary, failures = Summary(), []
    outcomes = ingest(sources, gallery, **options)

    def total() -> int | None:
        counts = [source.count(gallery.path) for source in sources]
        return None if None in counts else sum(filter(None, counts))

    with stop_requests() as stop:
        shown = with_progress(
            outcomes, total, "indexing", quiet=quiet, counts=lambda o: not isinstance(o, Removed)
        )
        for outcome in shown:
            summary = summary.plus(outcome)
            if isinstance(outcome, Failed):
                failures.append(outcome)
            if stop:
                outcomes.close()  # type: ignore[attr-defined]
                stop.obey()
    return summary, failures


def tell(summary: "Summary", failures: "list[Failed]", path: Path, images: int) -> None:
    """The accounting, on stderr: one line, then the first failures."""
    parts = [
        f"{summary.total:,} files",
        f"{summary.stored:,} stored",
        f"{summary.skipped:,} unchanged",
        f"{summary.duplicates:,} duplicates",
        f"{summary.failed:,} failed",
    ]
    removed = f"; {summary.removed:,} removed" if summary.removed else ""
    line = f"{parts[0]}: {', '.join(parts[1:])}{removed}; {path} has {images:,} images"
    click.echo(line, err=True)
    for failure in failures[:_SHOWN]:
        click.echo(f"  {failure.code:<22} {failure.item}: {failure.reason}", err=True)
    if len(failures) > _SHOWN:
        more = len(failures) - _SHOWN
        click.echo(f"  and {more:,} more: dinoseek info {path}", err=True)


def as_dict(
    summary: "Summary", failures: "list[Failed]", path: Path, images: int
) -> dict[str, Any]:
    return {
        "gallery": str(path),
        "images": images,
        "total": summary.total,
        "stored": summary.stored,
        "skipped": summary.skipped,
        "duplicates": summary.duplicates,
        "failed": summary.failed,
        "removed": summary.removed,
        "failures": [
            {"path": str(each.item), "code": each.code, "reason": each.reason} for each in failures
        ],
    }
