"""The pictures and pages that a search writes besides its list."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from dinoseek.cli.queries import Asked
    from dinoseek.gallery.base import Hit
    from dinoseek.gallery.sqlite_gallery import SqliteGallery
    from dinoseek.images.region import Region
    from dinoseek.report.pictures import Result


@dataclass(frozen=True, kw_only=True)
class Reports:
    """What was asked for."""

    montage: Path | None
    html: Path | None
    output_root: Path | None
    size: int
    margin: int
    labels: bool

    def __bool__(self) -> bool:
        return bool(self.montage or self.html or self.output_root)


def write_reports(
    gallery: "SqliteGallery",
    groups: "Sequence[tuple[Asked, list[Hit]]]",
    reports: Reports,
    region: "Region | None",
    searched: Path,
) -> None:
    """Writes the reports on queries and their hits, and names the files on stderr."""
    from dinoseek.report.montage import MontageStyle, write_montages
    from dinoseek.report.pictures import Result

    results = [
        Result(
            query=query.name,
            source=[operand.shown(gallery, region) for operand in query.operands],
            hits=hits,
        )
        for query, hits in groups
    ]
    style = MontageStyle(size=reports.size, margin=reports.margin, labels=reports.labels)
    folders = [reports.montage] if reports.montage else []
    if reports.output_root:
        folders.append(reports.output_root / searched.resolve().stem / _model(gallery))
    for folder in folders:
        for file in write_montages(results, folder, style, gallery.thumbnail):
            click.echo(f"wrote {file}", err=True)
    if reports.html:
        _write_page(gallery, results, reports.html, searched)


def _write_page(
    gallery: "SqliteGallery", results: "Sequence[Result]", page: Path, searched: Path
) -> None:
    from dinoseek.report.html import write_html

    facts = {
        "searched": searched,
        "images": f"{len(gallery):,}",
        "model": gallery.embedder.fingerprint.describe() if gallery.embedder else "",
    }
    title = "Images that look alike"
    write_html(page, results, title=title, facts=facts, thumbnail_of=gallery.thumbnail)
    click.echo(f"wrote {page}", err=True)


def _model(gallery: "SqliteGallery") -> str:
    return gallery.embedder.fingerprint.model if gallery.embedder else "model"
