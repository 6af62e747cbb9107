"""`dinoseek fit`: fits on a gallery what better features need."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click

from dinoseek.cli.options import ModelChoice, model_options
from dinoseek.cli.progress import with_progress

F = TypeVar("F", bound=Callable[..., Any])


def _files(command: F) -> F:
    """Adds the gallery, the file to write, and --force."""
    for option in (
        click.option("--force", is_flag=True, help="Replace OUT if it exists."),
        click.argument("target", metavar="OUT", type=click.Path(path_type=Path)),
        click.argument("gallery", type=click.Path(path_type=Path)),
    ):
        command = option(command)
    return command


@click.group("fit")
def command() -> None:
    """\b
    Examples:
      dinoseek fit pca photos.dino pca.safetensors --dim 128
      dinoseek fit vlad photos.dino words.safetensors --clusters 32

    Fits on a gallery what better features need: principal components, for shorter or whitened
    vectors, or a vocabulary of patches, for the pooling vlad. What is written is named to index
    and search with --projection or --vocabulary, and is part of what made a vector.
    """


@command.command("pca")
@_files
@click.option("--dim", type=click.IntRange(1), default=128, show_default=True, help="Components.")
@click.option("--whiten", is_flag=True, help="Let all components weigh the same.")
@click.option("--space", metavar="ID", help="Of several models, which: id or name, as info shows.")
def pca(
    *, gallery: Path, target: Path, dim: int, whiten: bool, space: str | None, force: bool
) -> None:
    """\b
    Examples:
      dinoseek fit pca photos.dino pca.safetensors --dim 128
      dinoseek index photos/ --gallery short.dino --projection pca.safetensors

    Fits principal components on the vectors of a gallery.
    """
    from dinoseek.fitting import fit_pca_on
    from dinoseek.gallery.factory import open_gallery
    from dinoseek.weights.fitted import save_fitted

    with open_gallery(gallery, readonly=True) as opened:
        found = fit_pca_on(opened, dim, whiten=whiten, space=space)
    save_fitted(target, found.fitted, force=force)
    click.echo(f"{dim} components, digest {found.fitted.digest[:16]}", err=True)
    click.echo(target)


@command.command("vlad")
@_files
@click.option("--clusters", type=click.IntRange(1, 4096), default=32, show_default=True)
@click.option("--block", type=int, help="Whose values.  [default: AnyLoc's, 31 of 40]")
@click.option(
    "--images", type=click.IntRange(1), default=500, show_default=True, help="Images to look at."
)
@model_options
def vlad(
    *,
    gallery: Path,
    target: Path,
    clusters: int,
    block: int | None,
    images: int,
    choice: ModelChoice,
    force: bool,
) -> None:
    """\b
    Examples:
      dinoseek fit vlad photos.dino words.safetensors --clusters 32
      dinoseek index photos/ --gallery places.dino --pooling vlad --vocabulary words.safetensors

    Fits a vocabulary on the patches of a gallery's images. The pooling vlad describes an image
    by CLUSTERS times as many numbers as the model's vectors have; a PCA on these makes them fewer.
    """
    from dinoseek.fitting import fit_vocabulary, pictures_of, usual_block, values_of
    from dinoseek.gallery.factory import open_gallery
    from dinoseek.weights.fitted import save_fitted

    if choice.engine == "auto":
        choice = replace(choice, engine="numpy")  # which alone gives values
    embedder = choice.of_gallery(gallery).load()
    depth = embedder.encoder.config.depth if embedder.encoder else 0
    chosen = usual_block(depth) if block is None else _block(block, depth)
    with open_gallery(gallery, embedder, readonly=True) as opened:
        values = values_of(embedder, pictures_of(opened, images), chosen)
        shown = with_progress(values, lambda: min(images, len(opened)), "looking at pictures")
        found = fit_vocabulary(embedder, shown, clusters, chosen)
    save_fitted(target, found.fitted, force=force)
    said = f"{clusters} clusters of block {chosen}, digest {found.fitted.digest[:16]}"
    click.echo(said, err=True)
    click.echo(target)


def _block(block: int, depth: int) -> int:
    from dinoseek.vit.model import block_indices

    try:
        return block_indices([block], depth)[0]
    except ValueError as exc:
        raise click.BadParameter(f"the model has blocks 0 to {depth - 1}") from exc
