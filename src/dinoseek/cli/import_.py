"""`dinoseek import`: puts vectors that were made elsewhere into a gallery."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dinoseek.cli.interrupts import stop_requests
from dinoseek.cli.options import ModelChoice, model_options, setting
from dinoseek.cli.progress import with_progress
from dinoseek.errors import DinoseekError, UsageError, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dinoseek.embedder import Embedder
    from dinoseek.gallery.sqlite_gallery import SqliteGallery
    from dinoseek.interchange.given import Given
    from dinoseek.interchange.importing import Batch

PARTIAL = 3
_SHOWN = 10


@click.command("import")
@click.argument("source", metavar="FILE", type=click.Path(path_type=Path))
@setting(
    "--gallery", required=True, type=click.Path(path_type=Path), help="The gallery to put it into."
)
@click.option(
    "--metadata",
    type=click.Path(path_type=Path),
    help="What the rows of a .npy are.  [default: FILE.json or metadata.json beside it]",
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where relative paths start.  [default: the folder of FILE]",
)
@model_options
@click.option("--json", "as_json", is_flag=True, help="Write the counts as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="No progress bar, no summary.")
def command(
    *,
    source: Path,
    gallery: Path,
    metadata: Path | None,
    folder: Path | None,
    choice: ModelChoice,
    as_json: bool,
    quiet: bool,
) -> int:
    """\b
    Examples:
      dinoseek import vectors.parquet --gallery photos.dino
      dinoseek import gallery_features.npz --gallery x.dino
      dinoseek import gallery_features.npy --metadata metadata.json --gallery x.dino \\
        --model vit-dinov2-base.npz --preprocess crop224

    Puts vectors into a gallery without embedding anything. FILE is an export of dinoseek, or any
    .parquet with vector and path or url; a .npy (images, dim) with a JSON list beside it; or an
    .npz with features and paths. --model, --preprocess and --pooling say what made the vectors:
    only then can pictures be searched for. Run again, it goes on with what is missing.

    Exit code 0, or 3 if some rows name no image.
    """
    from dinoseek.gallery.factory import open_gallery
    from dinoseek.interchange.files import read_vectors

    given = read_vectors(source, metadata)
    embedder = _embedder(given, choice)
    with open_gallery(gallery, embedder) as opened:
        counts, failed = _fill(opened, given, folder, quiet=quiet or as_json)
        images = len(opened)
    if as_json:
        rows = [{"row": row, **error.as_dict()} for row, error in failed]
        facts = {"gallery": str(gallery), "images": images, **counts, "failures": rows}
        click.echo(json.dumps(facts))
    elif not quiet:
        _tell(gallery, images, counts, failed, named=embedder.fingerprint.model)
    return PARTIAL if failed else 0


def _embedder(given: "Given", choice: ModelChoice) -> "Embedder":
    """What is said to have made the vectors: by the user, by the file, or nobody."""
    from dinoseek.interchange.given import imported_fingerprint
    from dinoseek.interchange.importing import check_dim, embedder_of

    if choice.model is None:
        if choice.preprocess or choice.pooling:
            fix = "name the model that made the vectors with --model"
            reason = "--preprocess and --pooling say nothing without a model"
            raise UsageError("import.model", given.source, reason, fix=fix)
        return embedder_of(given.fingerprint or imported_fingerprint(given))
    embedder = choice.load(expect="few")
    check_dim(given, embedder.fingerprint)
    if given.fingerprint is not None and given.fingerprint.family == embedder.fingerprint.family:
        return embedder_of(given.fingerprint)  # in the precision that it says
    if given.fingerprint is not None:
        reason = f"its vectors were made by {given.fingerprint.describe()}, as it says itself"
        raise UsageError("import.model", given.source, reason, fix="leave --model out")
    return embedder


def _fill(
    gallery: "SqliteGallery", given: "Given", folder: Path | None, *, quiet: bool
) -> tuple[dict[str, int], list[tuple[int, DinoseekError]]]:
    """Imports with a progress bar; Ctrl-C ends it after the batch that is being kept."""
    from dinoseek.ingest.address import normalised
    from dinoseek.interchange.given import ROWS_AT_ONCE
    from dinoseek.interchange.importing import import_vectors

    counts = {"rows": given.rows, "stored": 0, "skipped": 0, "failed": 0}
    failed: list[tuple[int, DinoseekError]] = []
    batches: Iterator[Batch] = import_vectors(gallery, given, normalised, folder)
    with stop_requests() as stop:
        steps = -(-given.rows // ROWS_AT_ONCE)
        for batch in with_progress(batches, lambda: steps, "importing", quiet=quiet):
            counts["stored"] += batch.stored
            counts["skipped"] += batch.skipped
            counts["failed"] += len(batch.failed)
            failed += batch.failed
            if stop:
                batches.close()  # type: ignore[attr-defined]
                stop.obey()
    return counts, failed


def _tell(
    gallery: Path,
    images: int,
    counts: dict[str, int],
    failed: list[tuple[int, DinoseekError]],
    *,
    named: str,
) -> None:
    from dinoseek.interchange.given import IMPORTED

    line = (
        f"{counts['rows']:,} rows: {counts['stored']:,} stored, {counts['skipped']:,} there"
        f" already, {counts['failed']:,} failed; {printable(gallery)} has {images:,} images"
    )
    click.echo(line, err=True)
    for row, error in failed[:_SHOWN]:
        click.echo(f"  row {row:,}: {error}", err=True)
    if len(failed) > _SHOWN:
        click.echo(f"  and {len(failed) - _SHOWN:,} more", err=True)
    if named == IMPORTED:
        text = "nobody said which model made the vectors: search by id, not with pictures"
        click.echo(f"{text}; --model says it", err=True)
