"""`dinoseek train distill`: a small model that sees as a large one does."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dinoseek.cli.options import ModelChoice, model_options
from dinoseek.cli.train_needs import need_training
from dinoseek.errors import UsageError

if TYPE_CHECKING:
    from dinoseek.train.distill.events import Distilled


@click.command("distill")
@click.argument(
    "sources", metavar="SOURCE...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder of the run.",
)
@click.option("--embed-dim", default=192, show_default=True, help="How wide the student is.")
@click.option("--depth", default=6, show_default=True, help="How many blocks it has.")
@click.option("--num-heads", default=3, show_default=True, help="How many heads each has.")
@click.option(
    "--size", default=112, show_default=True, help="Pixels a side that it sees; a multiple of 14."
)
@click.option("--epochs", default=20, show_default=True, help="How often each picture comes.")
@click.option(
    "--views",
    default=4,
    show_default=True,
    help="Variations of each picture that the teacher sees.",
)
@click.option("--batch-size", default=128, show_default=True)
@click.option("--learning-rate", default=5e-4, show_default=True)
@click.option(
    "--structure",
    default=1.0,
    show_default=True,
    help="How much it counts in the loss what is near to what, against 1 for the embeddings.",
)
@click.option(
    "--temperature",
    default=0.05,
    show_default=True,
    help="The lower, the more the nearest count in that.",
)
@click.option("--bf16", is_flag=True, help="Learn in bfloat16, as GPUs do best.")
@click.option(
    "--device", default="auto", show_default=True, help="Where the student learns: cpu, cuda, mps."
)
@click.option("--num-workers", default=2, show_default=True, help="Processes that read pictures.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0))
@click.option("--resume", is_flag=True, help="Go on after the last checkpoint.")
@click.option("--force", is_flag=True, help="Begin anew in a folder that has a run in it.")
@click.option("--json", "as_json", is_flag=True, help="Write the result as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@model_options
def distill(
    *,
    sources: Sequence[Path],
    out: Path,
    bf16: bool,
    resume: bool,
    force: bool,
    as_json: bool,
    quiet: bool,
    choice: ModelChoice,
    **shape: Any,
) -> None:
    """\b
    Examples:
      dinoseek train distill photos/ --out runs/small
      dinoseek train distill photos/ products/ --out runs/small --model dinov2-base --bf16
      dinoseek train distill photos/ --out runs/small --depth 9 --size 168 --epochs 100
      dinoseek index photos/ --gallery photos.dino --model runs/small

    Teaches a small ViT to embed pictures as a large model does, from folders of pictures without
    labels. The teacher is what --model and its options say, any embedder there is; what it sees is
    found out once and kept. Pictures that cannot be read are told and left out. Some are held out,
    and the weights that find most of the teacher's nearest neighbours among them are kept. Needs
    dinoseek[train]; docs/training.md says what to expect.
    """
    need_training()
    from dinoseek.cli.train_output import follow
    from dinoseek.train.distill.config import DistillConfig
    from dinoseek.train.distill.events import Distilled
    from dinoseek.train.distill.loop import distill as events_of

    if resume and force:
        raise UsageError("usage.conflict", "--resume and --force", "only one at a time")
    precision: Any = "bf16" if bf16 else "float32"
    config = DistillConfig(output_dir=out, precision=precision, **shape)
    events = events_of(sources, choice.load(), config, resume=resume, force=force)
    write(follow(events, Distilled, quiet=quiet), as_json=as_json)


def write(done: "Distilled", *, as_json: bool) -> None:
    """Writes what came of it to stdout."""
    from dinoseek.cli.train_output import as_model

    if as_json:
        import json

        found = {
            "folder": str(done.folder),
            "parameters": done.parameters,
            "by_chance": done.by_chance,
            **done.figures,
        }
        click.echo(json.dumps(found, indent=2))
        return
    figures, chance = done.figures, 100 * done.by_chance
    click.echo(
        f"agreement   {100 * figures['agreement']:.1f} % of the teacher's nearest neighbours"
        f" are the student's, in pictures held out ({chance:.1f} % by chance)"
    )
    click.echo(f"cosine      {figures['cosine']:.3f} on average to what its embeddings should be")
    click.echo(f"parameters  {done.parameters:,}")
    click.echo(f"use it      --model {as_model(done.folder)}")
