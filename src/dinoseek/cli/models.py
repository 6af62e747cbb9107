"""`dinoseek models`: the official models, which of them are here, and how to get them."""

import sys
from pathlib import Path
from typing import Any

import click

models_dir_option = click.option(
    "--models-dir",
    envvar="DINOSEEK_MODELS_DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of downloaded weights.  [default: the user's cache; env: DINOSEEK_MODELS_DIR]",
)


@click.group("models")
def command() -> None:
    """\b
    Examples:
      dinoseek models list
      dinoseek models download dinov2-small
      dinoseek models path dinov2-small

    Lists, downloads and locates the official DINOv2 models, and the small one that comes with
    dinoseek.
    """


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@models_dir_option
def list_models(*, as_json: bool, models_dir: Path | None) -> None:
    """Show the models that are known by name, and where their weights are."""
    from dinoseek.weights.hub import KNOWN, find_weights

    rows = [describe(model, find_weights(model.name, models_dir)) for model in KNOWN.values()]
    rows.append(describe_built_in())
    if as_json:
        import json

        click.echo(json.dumps(rows, indent=2))
    else:
        print_table(rows)


def describe(model: Any, path: Path | None) -> dict[str, Any]:
    return {
        "name": model.name,
        "aliases": list(model.aliases),
        "bytes": model.bytes,
        "parameters": model.parameters,
        "licence": model.licence,
        "path": str(path) if path else None,
    }


def describe_built_in() -> dict[str, Any]:
    from dinoseek.weights.hub import BUILT_IN, built_in_weights
    from dinoseek.weights.load import summarise

    path = built_in_weights()
    return {
        "name": BUILT_IN,
        "aliases": [],
        "bytes": path.stat().st_size,
        "parameters": summarise(path).parameters,
        "licence": "Apache-2.0",
        "path": str(path),
    }


def print_table(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    from dinoseek.weights.hub import megabytes

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("name", "also called", "size", "parameters", "licence", "weights"):
        right = column in ("size", "parameters")
        table.add_column(column, justify="right" if right else "left", overflow="fold")
    for row in rows:
        size, parameters = megabytes(row["bytes"]), f"{row['parameters'] / 1e6:.0f} M"
        where = row["path"] or "not here"
        table.add_row(
            row["name"], ", ".join(row["aliases"]), size, parameters, row["licence"], where
        )
    # Long paths stay whole in a file or a pipe, which are of no width.
    Console(width=None if sys.stdout.isatty() else 1000).print(table)


@command.command("download")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@models_dir_option
def download_models(names: tuple[str, ...], *, models_dir: Path | None) -> None:
    """Download models from the Hugging Face hub and print where they are.

    An interrupted download goes on where it stopped. HF_ENDPOINT names a mirror, HF_HUB_OFFLINE=1
    forbids the network. Files are checked by SHA-256.
    """
    from dinoseek.weights.hub import (
        built_in_weights,
        download,
        find_model,
        is_built_in,
        megabytes,
    )

    # A wrong name is told before anything is fetched.
    models = [None if is_built_in(name) else find_model(name) for name in names]
    for name, model in zip(names, models, strict=True):
        if model is None:
            click.echo(f"{name} comes with dinoseek", err=True)
            click.echo(built_in_weights())
            continue
        size = megabytes(model.bytes)
        click.echo(f"{model.name}: {size} from {model.repo}, licence {model.licence}", err=True)
        click.echo(download(model.name, models_dir))


@command.command("path")
@click.argument("name")
@models_dir_option
def model_path(name: str, *, models_dir: Path | None) -> None:
    """Print the file of a model's weights: NAME is a model, a file or a folder."""
    from dinoseek.weights.hub import resolve

    click.echo(resolve(name, models_dir))
