"""`dinoseek evaluate sweep`: which pooling, scales and re-ranking are worth their time."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dinoseek.cli.evaluate_options import Wanted, watching
from dinoseek.cli.evaluate_output import tell_failures
from dinoseek.cli.options import ModelChoice, model_options
from dinoseek.cli.progress import with_progress
from dinoseek.cli.sweep_output import keep_sweep, write_sweep
from dinoseek.errors import UsageError

if TYPE_CHECKING:
    from dinoseek.embedder import Embedder
    from dinoseek.evaluation.dataset import Dataset
    from dinoseek.evaluation.kinds import Kind
    from dinoseek.evaluation.reordered import PatchesOf
    from dinoseek.matching import Patches
    from dinoseek.rerank.options import Rerank

PARTIAL = 3
POOLINGS = ("cls", "mean", "gem", "cls+mean")
SCALES = ("1", "1,0.7071")
RERANKS = ("alpha-qe", "dba", "k-reciprocal", "superglobal")
METRICS = ("recall@1", "map@r", "r-precision", "map", "precision@5", "precision@10")


@click.command("sweep")
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--split", help="Which split to take.  [default: test, or val]")
@click.option(
    "--rerank",
    "reranks",
    multiple=True,
    metavar="NAME",
    help="Try this way of re-ranking, also with settings; may be repeated. local compares patches, "
    f"which takes long.  [default: {', '.join(RERANKS)}]",
)
@click.option("--metric", type=click.Choice(METRICS), default="map@r", show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True,
              help="Which half of the images is chosen by.")  # fmt: skip
@click.option("--gallery", type=click.Path(path_type=Path),
              help="Take this gallery's vectors, and try only re-ranking.")  # fmt: skip
@click.option("--features", type=click.Path(path_type=Path),
              help="Take the vectors of this file, and try only re-ranking.")  # fmt: skip
@click.option("--allow-missing", is_flag=True,
              help="Try although stored vectors of some images are missing.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@click.option("--markdown", is_flag=True, help="Write a table in Markdown.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE.json",
              help="Keep what was found as JSON.")  # fmt: skip
@model_options
def sweep(
    *,
    data: Path,
    split: str | None,
    reranks: tuple[str, ...],
    metric: str,
    seed: int,
    gallery: Path | None,
    features: Path | None,
    allow_missing: bool,
    as_json: bool,
    markdown: bool,
    out: Path | None,
    choice: ModelChoice,
) -> int:
    """Say which pooling, scales and re-ranking are better than the usual ones, and what they cost.

    DATA is as for labels. Combinations are chosen by one half of the images, and the chosen one is
    shown on the other half. Nothing is recommended that may be luck. --pooling and --scales, where
    given, are the only ones that are tried.
    """
    from dinoseek.evaluation.labels import load_labels
    from dinoseek.evaluation.run import complete
    from dinoseek.evaluation.sweep import SweepOptions
    from dinoseek.evaluation.sweep import sweep as swept
    from dinoseek.rerank.options import find_rerank

    if as_json and markdown:
        reason = "only one output format at a time"
        raise UsageError("usage.formats", "--json and --markdown", reason)
    ways: list[Rerank | None] = [None, *map(find_rerank, reranks or RERANKS)]
    dataset = load_labels(data, split)
    wanted = Wanted(choice=choice, gallery=gallery, features=features)
    kinds, embedder = _kinds(dataset, wanted, ways)
    allowed = allow_missing or embedder is not None
    smaller, _, notes = complete(dataset, kinds[0].vectors, allow_missing=allowed)
    kinds = [
        replace(each, vectors=complete(dataset, each.vectors, allow_missing=True)[1])
        for each in kinds
    ]
    patches = None if embedder is None else _patches_of(smaller, embedder)
    found = swept(
        smaller, kinds, ways, SweepOptions(metric=metric, seed=seed), patches=patches,
        watched=watching("combinations", len(kinds) * len(ways)),
    )  # fmt: skip
    if out is not None:
        keep_sweep(out, found)
    write_sweep(found, notes, as_json=as_json, markdown=markdown)
    return PARTIAL if notes else 0


def _kinds(
    dataset: "Dataset", wanted: Wanted, ways: "Sequence[Rerank | None]"
) -> "tuple[list[Kind], Embedder | None]":
    """The vectors to try, and the embedder that made them; those that are stored are one kind."""
    from dinoseek.evaluation.kinds import Kind
    from dinoseek.rerank.options import Local

    local = any(isinstance(each, Local) for each in ways)
    if wanted.stored:
        if local:
            reason = "stored vectors have no patches"
            raise UsageError(
                "usage.vectors", "--rerank local", reason, fix="let images be embedded"
            )
        vectors = wanted.vectors(dataset.root, dataset.images, dataset.boxes)
        return [Kind(vectors=vectors)], None
    return _embedded(dataset, wanted.choice, patches=local)


def _embedded(
    dataset: "Dataset", choice: ModelChoice, *, patches: bool
) -> "tuple[list[Kind], Embedder]":
    from dinoseek.embedder import COLOR_HISTOGRAM
    from dinoseek.evaluation.kinds import kinds_of
    from dinoseek.evaluation.parts import joint_of
    from dinoseek.images.scales import ONE, parse_scales

    plain = choice.model == COLOR_HISTOGRAM  # it has neither poolings nor scales
    poolings = (choice.pooling or "cls",) if plain or choice.pooling else POOLINGS
    sets = [parse_scales(text) for text in ((choice.scales,) if choice.scales else SCALES)]
    joint = poolings[0] if len(poolings) == 1 else joint_of(poolings)
    embedder = replace(choice, pooling=joint, scales=None).load()
    if patches:
        embedder.check_patches()
    if plain:
        poolings, sets = ("",), [ONE]
    files = [(position, dataset.root / image) for position, image in enumerate(dataset.images)]
    kinds = kinds_of(
        embedder, poolings, sets, files, dataset.boxes,
        watched=lambda outcomes: with_progress(outcomes, lambda: len(files), "embedding"),
    )  # fmt: skip
    tell_failures(kinds[0].vectors, dataset.images)
    return kinds, embedder


def _patches_of(dataset: "Dataset", embedder: "Embedder") -> "PatchesOf":
    """What gives the patches of an image, made anew each time, as a search makes them."""
    from dinoseek.evaluation.embedding import opened

    def patches(position: int) -> "Patches | None":
        file = position, dataset.root / dataset.images[position]
        prepared = opened(file, embedder=embedder, boxes=dataset.boxes).prepared
        return None if prepared is None else embedder.patches(prepared)

    return patches
