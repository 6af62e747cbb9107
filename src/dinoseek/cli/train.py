"""`dinoseek train`: makes a model better at telling one's own things apart."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from dinoseek.cli.models import models_dir_option
from dinoseek.cli.options import model_options
from dinoseek.cli.train_distill import distill
from dinoseek.cli.train_needs import need_training
from dinoseek.errors import UsageError

PARTIAL = 3
_HELP = ("-h", "--help")


class Training(click.Group):
    """A group whose first word may be left out: `train x.yaml` is `train run x.yaml`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and not set(_HELP) & set(args[:1]):
            args = ["run", *args]
        return super().parse_args(ctx, args)


@click.group("train", cls=Training)
def command() -> None:
    """\b
    Examples:
      dinoseek train examples/products_cpu.yaml
      dinoseek train tune.yaml --set epochs=5 --set lora_r=8 --dry-run
      dinoseek train tune.yaml --resume
      dinoseek index photos/ --gallery photos.dino --model runs/tuned

    Fine-tunes a model on your own labelled images, so that it finds what belongs together. The
    first word may be left out: `train CONFIG.yaml` is `train run CONFIG.yaml`. Needs
    dinoseek[train]; docs/training.md has all keys, and what to expect.
    """


@command.command("run")
@click.argument("config", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Set a key anew.")
@click.option("--resume", is_flag=True, help="Go on after the last checkpoint.")
@click.option("--force", is_flag=True, help="Begin anew in a folder that has a run in it.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and draw the first batch.")
@models_dir_option
@click.option("--json", "as_json", is_flag=True, help="Write the result as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def run(
    *,
    config: Path,
    settings: Sequence[str],
    resume: bool,
    force: bool,
    dry_run: bool,
    models_dir: Path | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """\b
    Examples:
      dinoseek train tune.yaml
      dinoseek train tune.yaml --set learning_rate=1e-4 --dry-run

    Trains as a YAML file says. The result is a folder: --model takes it in index, search, serve,
    evaluate and export. A run that was stopped goes on with --resume and ends as if it had not
    been. Exit code 3 if the best that was learnt is no better than the model as it was.
    """
    need_training()
    from dinoseek.cli.train_output import show, write_plan
    from dinoseek.train.config_file import load_config
    from dinoseek.train.loop import train
    from dinoseek.train.plan import plan

    if resume and force:
        raise UsageError("usage.conflict", "--resume and --force", "only one at a time")
    asked = load_config(config, settings)
    if dry_run:
        write_plan(asked, plan(asked, models_dir=models_dir), as_json=as_json)
        return 0
    events = train(asked, resume=resume, force=force, models_dir=models_dir)
    finished = show(events, quiet=quiet, as_json=as_json)
    return 0 if finished.after["map@r"] > finished.before["map@r"] else PARTIAL


@command.command("prepare")
@click.argument("_name", metavar="sop", type=click.Choice(["sop"]))
@click.option(
    "--data",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder with Ebay_train.txt and the pictures.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where train.jsonl and val.jsonl go.  [default: the data's folder]",
)
@click.option("--val-share", default=0.1, show_default=True, help="Share of classes held out.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0))
def prepare(*, _name: str, data: Path, out: Path | None, val_share: float, seed: int) -> None:
    """\b
    Examples:
      dinoseek train prepare sop --data Stanford_Online_Products/

    Writes lists of pairs to learn from, as vembed-factory has them: train.jsonl and val.jsonl. Both
    are of the training classes; test images are in none. `data` in a configuration also takes the
    folder itself, and then no lists are needed.
    """
    from dinoseek.train.data.prepare import prepare_sop

    found = prepare_sop(data, out, share=val_share, seed=seed)
    for part in found:
        click.echo(f"{part.lines:,} images of {part.classes:,} classes", err=True)
        click.echo(part.path)


@command.command("merge")
@click.argument("adapter", type=click.Path(path_type=Path, file_okay=False))
@click.argument("target", metavar="OUT", type=click.Path(path_type=Path))
@click.option("--model", required=True, help="The model that the adapter was trained on.")
@click.option("--force", is_flag=True, help="Replace OUT if it exists.")
@models_dir_option
def merge(*, adapter: Path, target: Path, model: str, force: bool, models_dir: Path | None) -> None:
    """\b
    Examples:
      dinoseek train merge runs/tuned/adapter tuned.safetensors --model dinov2-small
      dinoseek train merge their-adapter/ theirs.safetensors --model dinov2-base

    Puts a LoRA adapter in peft's format into a model's weights, its own or one of others, trained
    on transformers' Dinov2. Needs neither PyTorch nor peft.
    """
    from dinoseek.train.merge import merge_adapter

    merge_adapter(adapter, target, model, force=force, models_dir=models_dir)
    click.echo(target)


@command.command("mine")
@click.argument("data", type=click.Path(path_type=Path))
@click.argument("target", metavar="OUT.jsonl", type=click.Path(path_type=Path))
@click.option("--image-root", type=click.Path(path_type=Path, file_okay=False))
@click.option("--count", default=10, show_default=True, type=click.IntRange(1, 1000))
@click.option(
    "--too-alike",
    default=0.98,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="Cosine from which two pictures are taken to show one thing, whatever their labels say.",
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0))
@model_options
def mine(**values: Any) -> None:
    """\b
    Examples:
      dinoseek train mine products/ products.jsonl --model runs/tuned

    Finds, for each image, those of other labels that a model takes for the same, and writes them as
    negatives into a list of pairs that `data` takes. Near-duplicates are left out: they are most
    likely one thing under two labels.
    """
    from dinoseek.cli.train_mine import write_mined

    write_mined(**values)


command.add_command(distill)
