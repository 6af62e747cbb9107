"""`dinoseek bench`: how fast engines are on this machine, side by side."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dinoseek.cli.models import models_dir_option
from dinoseek.cli.settings import environment_name
from dinoseek.errors import MachineError, UsageError

if TYPE_CHECKING:
    from dinoseek.bench.models import Model
    from dinoseek.bench.plan import Case, Settings
    from dinoseek.bench.result import Collector

PARTIAL = 3
ALL = "all"
PRECISIONS = {
    "auto": "auto",
    "fp32": "float32",
    "bf16": "bfloat16",
    "fp16": "float16",
    "int8": "int8",
}
_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"}
_PICTURES = 64  # of a folder, at most


@click.command("bench")
@click.option(
    "--engine",
    "--engines",
    "engines",
    multiple=True,
    metavar="NAME",
    help="numpy, onnx, openvino, torch, auto, or all that are installed; repeatable.  "
    "[default: all]",
)
@click.option(
    "--precision",
    "precisions",
    multiple=True,
    type=click.Choice(list(PRECISIONS)),
    help="What it computes in; repeatable.  [default: auto]",
)
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="MODEL",
    help="A model's name, a weights file or a training run; repeatable.  [default: what is here, "
    "or dinov2-small with random weights]",
)
@click.option(
    "--random", is_flag=True, help="Random weights of the models' shapes: needs no files."
)
@click.option(
    "--size",
    "sizes",
    multiple=True,
    metavar="SIDE|HxW",
    help="Pixels, multiples of 14; repeatable.  [default: 224]",
)
@click.option(
    "--batch",
    "batches",
    multiple=True,
    type=click.IntRange(1, 4096),
    help="Images at once; repeatable.  [default: 1 and 8]",
)
@click.option(
    "--threads",
    "thread_counts",
    multiple=True,
    type=click.IntRange(1, 1024),
    help="Cores to use; repeatable.  [default: all]",
)
@click.option(
    "--all-tokens", is_flag=True, help="Compute patch tokens too, not the class token alone."
)
@click.option("--end-to-end", is_flag=True, help="Also embed picture files, decoding included.")
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    help=f"The folder of pictures for that: the first {_PICTURES}.  [default: drawn ones]",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0.01, 3600),
    default=5.0,
    show_default=True,
    help="How long each combination is measured, in all.",
)
@click.option(
    "--rounds",
    type=click.IntRange(1, 1000),
    default=7,
    show_default=True,
    help="Turns that each combination has.",
)
@click.option("--repeats", type=click.IntRange(1, 100_000), help="Calls in a turn, for --seconds.")
@click.option(
    "--warm-up",
    type=click.IntRange(1, 1000),
    default=3,
    show_default=True,
    help="Calls before the first turn, not counted.",
)
@click.option(
    "--percentiles", default="50,90,95,99", show_default=True, help="Of the time of a call."
)
@click.option(
    "--against",
    type=click.Path(path_type=Path),
    help="An earlier run's --json, to draw beside this.",
)
@click.option(
    "--read", type=click.Path(path_type=Path), help="Show a run's --json, instead of measuring."
)
@models_dir_option
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@click.option("--markdown", is_flag=True, help="Write Markdown.")
@click.option("-q", "--quiet", is_flag=True, help="No progress bar, no notes.")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    *,
    against: Path | None,
    read: Path | None,
    as_json: bool,
    markdown: bool,
    quiet: bool,
    **options: Any,
) -> int:
    """\b
    Examples:
      dinoseek bench
      dinoseek bench --engine numpy --engine openvino --batch 1 --batch 16
      dinoseek bench --model small --model base --random --threads 1 --markdown
      dinoseek bench --images photos/ --json > before.json
      dinoseek bench --images photos/ --against before.json

    Measures latency and throughput of engines, models, sizes, batches and threads: every
    combination of what is given, in processes of their own, in turns. docs/bench.md says what the
    columns mean.

    Exit code 0, or 3 if some combination could not be measured to its end.
    """
    from dinoseek.bench.result import read_document
    from dinoseek.cli.bench_output import write_run

    if as_json and markdown:
        raise UsageError("usage.formats", "--json and --markdown", "only one at a time")
    before = read_document(against) if against else None  # a wrong file is told at once
    if read:
        now, partial = read_document(read), False
    else:
        now, partial = run(_with_setting(ctx, options), quiet=quiet)
    write_run(now, before, as_json=as_json, markdown=markdown)
    return PARTIAL if partial else 0


def _with_setting(ctx: click.Context, options: dict[str, Any]) -> dict[str, Any]:
    """The options; the model of the environment or of dinoseek.toml where none is named."""
    import os

    usual = os.environ.get(environment_name("model")) or (ctx.default_map or {}).get("model")
    if options["models"] or options["random"] or not usual or usual == "color-histogram":
        return options
    return {**options, "models": (usual,)}


def run(options: dict[str, Any], *, quiet: bool) -> tuple[dict[str, Any], bool]:
    """Measures; the run as a document, and whether something was left out half-way."""
    from dinoseek.bench.models import find_models
    from dinoseek.bench.plan import parse_size
    from dinoseek.bench.result import document

    engines = engines_of(options["engines"] or (ALL,))
    sizes = [parse_size(text) for text in options["sizes"] or ("224",)]
    settings = settings_of(options, sizes)
    with tempfile.TemporaryDirectory(prefix="dinoseek-bench-") as folder:
        models = find_models(
            options["models"],
            Path(folder),
            random=options["random"],
            models_dir=options["models_dir"],
        )
        if not quiet:
            tell_random(models, options["random"])
        found = measured(cases(models, engines, sizes, options), settings, engines, quiet=quiet)
    if not found.results():
        raise found.left_out[0].error
    return document(found), any(is_fault(each.error.code) for each in found.left_out)


def engines_of(names: Sequence[str]) -> dict[str, bool]:
    """The engines, and whether each must be there: those of "all" are left out if they are not."""
    from dinoseek.encoders.factory import ENGINES, check_engine

    named = [name for name in names if name != ALL]
    for name in named:
        check_engine(name)
    return dict.fromkeys(ENGINES if ALL in names else (), False) | dict.fromkeys(named, True)


def settings_of(options: dict[str, Any], sizes: "Sequence[tuple[int, int]]") -> "Settings":
    """How it is measured. Raises UsageError for what does not go together."""
    from dinoseek.bench.plan import Settings

    folder = options["images"]
    end_to_end = options["end_to_end"] or folder is not None
    for height, width in sizes if end_to_end else ():
        if height != width or height > 518:
            reason = "end to end, sizes are square and at most 518"
            raise UsageError("bench.end_to_end", f"{height}x{width}", reason)
    return Settings(
        rounds=options["rounds"],
        seconds=options["seconds"],
        repeats=options["repeats"],
        warm_up=options["warm_up"],
        all_tokens=options["all_tokens"],
        percentiles=parse_percentiles(options["percentiles"]),
        end_to_end=end_to_end,
        pictures=tuple(pictures_of(folder)) if folder else (),
    )


def parse_percentiles(text: str) -> tuple[float, ...]:
    try:
        found = tuple(float(word) for word in text.split(","))
    except ValueError:
        found = ()
    if not found or not all(0 <= each <= 100 for each in found):
        fix = "write numbers from 0 to 100, as in 50,95"
        raise UsageError("bench.percentiles", text, "these are no percentiles", fix=fix)
    return found


def pictures_of(folder: Path) -> list[Path]:
    """The first pictures of a folder, by name; those of folders below it too."""
    if not folder.is_dir():
        raise MachineError("path.missing", folder, "there is no such folder")
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
    if not found:
        raise MachineError("path.empty", folder, "there are no pictures in it")
    return found[:_PICTURES]


def tell_random(models: "Sequence[Model]", asked: bool) -> None:
    if models[0].is_random and not asked:
        note = "no weights are here, so random ones are measured: they take as long"
        click.echo(f"{models[0].name}: {note}", err=True)


def cases(
    models: "Sequence[Model]",
    engines: dict[str, bool],
    sizes: "Sequence[tuple[int, int]]",
    options: dict[str, Any],
) -> "list[Case]":
    from dinoseek.bench.plan import cases_of
    from dinoseek.vit.blas import thread_count

    return cases_of(
        models,
        list(engines),
        precisions=[PRECISIONS[name] for name in options["precisions"] or ("auto",)],
        sizes=sizes,
        batches=options["batches"] or (1, 8),
        threads=options["thread_counts"] or (thread_count(),),
    )


def measured(
    planned: "Sequence[Case]", settings: "Settings", engines: dict[str, bool], *, quiet: bool
) -> "Collector":
    """Measures with a progress bar. Raises what keeps an engine that was named from starting."""
    from dinoseek.bench.result import Collector
    from dinoseek.bench.rounds import LeftOut, Turn, measure
    from dinoseek.cli.progress import with_progress

    found = Collector(settings)
    total = len(planned) * settings.rounds
    shown = with_progress(
        measure(planned, settings),
        lambda: total,
        "measuring",
        quiet=quiet,
        counts=lambda event: isinstance(event, Turn),
        unit="",
    )
    for event in shown:
        if isinstance(event, LeftOut):
            if engines[event.case.engine] and not is_fault(event.error.code):
                raise event.error
            if not quiet:
                click.echo(f"left out: {event.case.describe()}: {event.error.reason}", err=True)
        found.add(event)
    return found


def is_fault(code: str) -> bool:
    """Whether an engine broke, rather than is not there or cannot do what is asked."""
    return code in ("bench.failed", "bench.crashed", "machine.memory")
