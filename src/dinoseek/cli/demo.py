"""`dinoseek demo`: a small gallery, some searches in it, and a page that shows them."""

import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import click

from dinoseek.cli.demo_products import products_options
from dinoseek.cli.options import ModelChoice, model_options
from dinoseek.errors import DinoseekError, MachineError, UsageError, printable

if TYPE_CHECKING:
    from dinoseek.embedder import Embedder
    from dinoseek.encoders.factory import Work
    from dinoseek.gallery.sqlite_gallery import SqliteGallery
    from dinoseek.ingest.lists import ListSource
    from dinoseek.ingest.pipeline import AnySource
    from dinoseek.ingest.sources import Source
    from dinoseek.products.order import Order
    from dinoseek.report.pictures import Result

QUERIES = 6
HITS = 6
_PAGE = "index.html"
_FIGURES = "evaluation.html"
_GALLERY = "demo.dino"
_COPIED, _SHRUNK = "sunset-03.jpg", "city-05.jpg"
_OURS = b'name="generator" content="dinoseek"'


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The embedder of the demo; `why` it is not the real model, if it is not."""

    embedder: "Embedder"
    why: str = ""


@click.command("demo")
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option(
    "--out",
    default="demo",
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the gallery and the page.",
)
@click.option("--open", "open_page", is_flag=True, help="Show the page in the browser.")
@click.option("--download", is_flag=True, help="Fetch DINOv2-small first if it is not here.")
@products_options
@model_options
def command(
    *,
    folder: Path | None,
    out: Path,
    open_page: bool,
    download: bool,
    order: "Order | None",
    choice: ModelChoice,
) -> int:
    """\b
    Examples:
      dinoseek demo
      dinoseek demo --download --open
      dinoseek demo ~/Pictures --out /tmp/demo
      dinoseek demo --products --size 256 --background clutter

    Draws a small gallery, or takes the pictures of FOLDER, puts them into a gallery, searches with
    some of them, and writes a page with what was found. It uses DINOv2-small if its weights are on
    this machine, else dinoseek-tiny, which is built in and sees less. Nothing is fetched without
    --download. With --products it draws a data set and measures the model too.
    """
    refuse_foreign_page(out / _PAGE)
    many = folder is not None or order is not None
    chosen = choose(choice, download=download, expect="many" if many else "few")
    if order is None:
        page = show_pictures(folder, out, chosen)
    else:
        page = show_products(folder or out / "products", out, chosen, order)
    if open_page and not webbrowser.open(page.as_uri()):
        click.echo("no browser was found to open it in", err=True)
    return 0


def show_pictures(folder: Path | None, out: Path, chosen: Chosen) -> Path:
    """Searches the pictures of a folder, or drawn ones; returns the page."""
    from dinoseek.gallery.factory import open_gallery
    from dinoseek.ingest.sources import from_folder

    source = from_folder(folder or draw(out / "pictures"))
    listed = [source] if folder else [describe(out / "pictures.csv", source.folder)]
    with open_gallery(out / _GALLERY, chosen.embedder) as gallery:
        results = fill_and_search(gallery, source, listed)
        images = len(gallery)
    page = write_page(out, results, chosen.embedder, images)
    tell(results, chosen, page, out / _GALLERY)
    return page


def show_products(folder: Path, out: Path, chosen: Chosen, order: "Order") -> Path:
    """Draws products, searches their test half and measures the model; returns the page."""
    from dinoseek.cli import demo_products as products
    from dinoseek.cli.evaluate_output import write_evaluation
    from dinoseek.cli.index import fill
    from dinoseek.cli.index import tell as tell_filled
    from dinoseek.gallery.factory import open_gallery
    from dinoseek.report.evaluation import write_page as write_evaluation_page

    figures = (out / _FIGURES).absolute()
    refuse_foreign_page(figures)
    dataset = products.draw_products(folder, order)
    path = out / f"{folder.name}.dino"
    with open_gallery(path, chosen.embedder) as gallery:
        filled = fill(gallery, [products.describe(out / "products.csv", dataset)])
        tell_filled(*filled, path, len(gallery))
        results = search_all(gallery, products.one_of_each(dataset, QUERIES))
        found = products.measure(gallery, dataset)
        page = write_page(out, results, chosen.embedder, len(gallery))
    write_evaluation_page(figures, found, dataset.root)
    write_evaluation(found, as_json=False, markdown=False)
    click.echo(f"The page with these figures: {printable(figures)}\n")
    tell(results, chosen, page, path)
    return page


def choose(choice: ModelChoice, *, download: bool, expect: "Work" = "many") -> Chosen:
    """The model that was asked for, else DINOv2-small if it is to be had, else the built-in one."""
    from dinoseek.embedder import DEFAULT_MODEL
    from dinoseek.weights.hub import BUILT_IN, find_weights

    if choice.model is not None:
        return Chosen(embedder=choice.load(expect=expect))
    why = f"the weights of {DEFAULT_MODEL} are not on this machine"
    if find_weights(DEFAULT_MODEL, choice.models_dir) is None and download:
        why = fetch(DEFAULT_MODEL, choice.models_dir) or why
    if find_weights(DEFAULT_MODEL, choice.models_dir) is not None:
        return Chosen(embedder=choice.load(expect=expect))
    return Chosen(embedder=replace(choice, model=BUILT_IN).load(expect=expect), why=why)


def fetch(model: str, models_dir: Path | None) -> str:
    """Downloads a model; returns why it is still not here, if so."""
    from dinoseek.weights.hub import download

    try:
        download(model, models_dir)
    except DinoseekError as exc:
        return f"{exc.subject} {exc.reason}"
    return ""


def draw(folder: Path) -> Path:
    from dinoseek.report.demo_gallery import draw_gallery

    click.echo(f"drawing pictures into {printable(folder)}", err=True)
    draw_twins(draw_gallery(folder), folder / "twins")
    return folder


def draw_twins(files: Sequence[Path], folder: Path) -> None:
    """A copy of one picture and a smaller one of another: something to find duplicates of."""
    from shutil import copyfile

    from PIL import Image

    named = {file.name: file for file in files}
    try:
        folder.mkdir(exist_ok=True)
        copyfile(named[_COPIED], folder / _COPIED)
        with Image.open(named[_SHRUNK]) as image:
            size = (image.width * 3 // 4, image.height * 3 // 4)
            image.resize(size, Image.Resampling.LANCZOS).save(folder / _SHRUNK, quality=85)
    except OSError as exc:
        raise MachineError("demo.unwritable", folder, exc.strerror or str(exc)) from exc


def describe(table: Path, folder: str | Path) -> "ListSource":
    """Writes a list of the drawn pictures, with captions and columns to filter by."""
    from dinoseek.ingest.lists import from_table

    lines = ["path,caption,family,number"]
    for file in sorted(Path(folder).rglob("*.jpg")):
        family, _, number = file.stem.rpartition("-")
        path = file.relative_to(table.parent).as_posix()
        lines.append(f"{path},a drawing of {family},{family},{int(number)}")
    try:
        table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    except OSError as exc:
        raise MachineError("demo.unwritable", table, exc.strerror or str(exc)) from exc
    return from_table(table)


def fill_and_search(
    gallery: "SqliteGallery", source: "Source", listed: "Sequence[AnySource]"
) -> "list[Result]":
    from dinoseek.cli.index import fill, tell

    summary, failures = fill(gallery, listed)
    tell(summary, failures, gallery.path, len(gallery))
    queries = some(pictures_of(source, gallery, {failure.item.file for failure in failures}))
    if not queries:
        fix = "name a folder with JPEG, PNG, WebP, GIF, BMP or TIFF files"
        raise UsageError("demo.empty", source.folder, "has no picture that can be read", fix=fix)
    return search_all(gallery, queries)


def pictures_of(source: "Source", gallery: "SqliteGallery", failed: set[Path]) -> list[Path]:
    from dinoseek.ingest.outcomes import Item
    from dinoseek.ingest.sources import scan

    found = scan(source, str(source.folder), b"", gallery.path)
    files = [item.file for item in found if isinstance(item, Item)]
    return [file for file in files if file not in failed]


def some(files: Sequence[Path], count: int = QUERIES) -> list[Path]:
    """A few of the files, spread evenly over all, away from both ends."""
    count = min(count, len(files))
    return [files[(2 * place + 1) * len(files) // (2 * count)] for place in range(count)]


def search_all(gallery: "SqliteGallery", queries: list[Path]) -> "list[Result]":
    """Searches with each picture for others; one that vanished meanwhile is left out."""
    from dinoseek.report.pictures import Result
    from dinoseek.search import search_many

    answers = search_many(gallery, queries, HITS, exclude_self=True)
    return [
        Result(query=printable(query), source=query, hits=hits)
        for query, hits in zip(queries, (hits for _, hits in answers), strict=True)
        if not isinstance(hits, DinoseekError)
    ]


def write_page(out: Path, results: "list[Result]", embedder: "Embedder", images: int) -> Path:
    from dinoseek.report.html import write_html

    made = embedder.fingerprint
    facts = {"model": made.model, "preprocess": made.preprocess, "images": f"{images:,}"}
    page = (out / _PAGE).absolute()
    write_html(page, results, title="dinoseek: images found by image", facts=facts)
    return page


def refuse_foreign_page(page: Path) -> None:
    """Refuses to write over a page that no demo wrote."""
    try:
        if not page.exists():
            return
        with page.open("rb") as file:
            ours = _OURS in file.read(4096)
    except OSError as exc:
        raise MachineError("path.unreadable", page, exc.strerror or str(exc)) from exc
    if not ours:
        fix = "choose another folder with --out"
        raise UsageError("file.exists", page, "is there already, and not from a demo", fix=fix)


def tell(results: "list[Result]", chosen: Chosen, page: Path, gallery: Path) -> None:
    for result in results:
        nearest = ", ".join(f"{Path(hit.path).name} {hit.score:.3f}" for hit in result.hits[:3])
        click.echo(f"{Path(result.query).name:<20} -> {nearest or 'nothing else'}")
    made = chosen.embedder.fingerprint.describe()
    click.echo(f"\nembedded with {made}")
    if chosen.why:
        click.echo(
            f"This is NOT DINOv2: {chosen.why}, so dinoseek-tiny\n"
            "was used, which comes with dinoseek and sees less.\n"
            "For the real model: dinoseek models download dinov2-small, then run the demo again\n"
            "(or dinoseek demo --download)."
        )
    click.echo(f"\nThe page with all hits: {printable(page)}")
    click.echo(f"Search the gallery in the browser: dinoseek serve {quote(str(gallery))} --open")
