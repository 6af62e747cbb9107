"""`dinoseek demo --products`: products drawn as a data set, measured, searched, and shown."""

import csv
import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dinoseek.errors import MachineError, UsageError, printable

if TYPE_CHECKING:
    from dinoseek.evaluation.dataset import Dataset
    from dinoseek.evaluation.result import Evaluation
    from dinoseek.gallery.sqlite_gallery import SqliteGallery
    from dinoseek.ingest.lists import ListSource
    from dinoseek.products.order import Order

F = TypeVar("F", bound=Callable[..., Any])

_FLAGS = ("classes", "size", "seed", "background")

_OPTIONS = (
    click.option(
        "--products",
        is_flag=True,
        help="Draw products instead, as a data set of the layout of Stanford Online Products, into "
        "FOLDER, and measure the model on it.",
    ),
    click.option("--classes", type=int, help="Products to draw.  [default: 120]"),
    click.option("--size", type=int, help="Side of their pictures, in pixels.  [default: 128]"),
    click.option("--seed", type=int, help="Which products: a number.  [default: 0]"),
    click.option(
        "--background",
        type=click.Choice(["plain", "dark", "clutter"]),
        help="What products stand on, and among.  [default: plain]",
    ),
)


def products_options(command: F) -> F:
    """Adds the flags above; the command gets an `order` of products, or None for other pictures."""

    @wraps(command)
    def with_order(**values: Any) -> Any:
        said = {name: values.pop(name) for name in _FLAGS}
        said = {name: value for name, value in said.items() if value is not None}
        if not values.pop("products"):
            if said:
                reason = "only says how --products draws"
                raise UsageError("usage.products", f"--{next(iter(said))}", reason)
            return command(order=None, **values)
        from dinoseek.products.order import Order

        return command(order=Order(**said), **values)

    wrapped: Any = with_order
    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped


def draw_products(folder: Path, order: "Order") -> "Dataset":
    """Draws what is not there yet; returns the test half."""
    from dinoseek.cli.progress import with_progress
    from dinoseek.evaluation.products import load_products
    from dinoseek.products.folder import shots, write_products

    click.echo(f"drawing {order.classes:,} products into {printable(folder)}", err=True)
    files = write_products(folder, order)
    for _ in with_progress(files, lambda: len(shots(order)), "drawing"):
        pass
    return load_products("sop", folder, official=False)


def describe(table: Path, dataset: "Dataset") -> "ListSource":
    """Writes a list of the pictures, with captions and columns to filter by."""
    from dinoseek.ingest.lists import from_table

    try:
        table.parent.mkdir(parents=True, exist_ok=True)
        with table.open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(["path", "caption", "kind", "product"])
            for image, number in zip(dataset.images, dataset.labels, strict=True):
                path = Path(os.path.relpath(dataset.root / image, table.parent)).as_posix()
                kind = image.partition("_final/")[0]
                rows.writerow([path, f"a {kind}", kind, number])
    except OSError as exc:
        raise MachineError("demo.unwritable", table, exc.strerror or str(exc)) from exc
    return from_table(table)


def one_of_each(dataset: "Dataset", count: int) -> list[Path]:
    """A picture of one product of each kind, up to `count` kinds."""
    kinds = {image.partition("/")[0]: dataset.root / image for image in dataset.images}
    return list(kinds.values())[:count]


def measure(gallery: "SqliteGallery", dataset: "Dataset") -> "Evaluation":
    """How well the model finds the other pictures of each product."""
    from dinoseek.evaluation.run import Options, complete, evaluate_labels
    from dinoseek.evaluation.vectors import from_gallery

    vectors = from_gallery(gallery, dataset.root, dataset.images)
    return evaluate_labels(*complete(dataset, vectors, allow_missing=False)[:2], Options())
