"""`dinoseek bench`: how fast engines are on this machine, side by side."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dinoseek.cli.bench_options import ALL, bench_options, cases, engines_of, settings_of
from dinoseek.cli.models import models_dir_option
from dinoseek.cli.options import setting
from dinoseek.cli.settings import environment_name
from dinoseek.errors import UsageError

if TYPE_CHECKING:
    from dinoseek.bench.plan import Case, Settings
    from dinoseek.bench.result import Collector
    from dinoseek.bench.rounds import LeftOut

PARTIAL = 3


@click.command("bench")
@bench_options
@click.option(
    "--against",
    type=click.Path(path_type=Path),
    help="An earlier run's --json, to draw beside this.",
)
@click.option(
    "--read", type=click.Path(path_type=Path), help="Show a run's --json, instead of measuring."
)
@models_dir_option
@setting("--cache-dir", type=click.Path(path_type=Path, file_okay=False), hidden=True)
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
    from dinoseek.encoders.precision import find_precision

    engines = engines_of(options["engines"] or (ALL,))
    precisions = [find_precision(name) for name in options["precisions"] or ("auto",)]
    sizes = [parse_size(text) for text in options["sizes"] or ("224",)]
    settings = settings_of(options, sizes)
    with tempfile.TemporaryDirectory(prefix="dinoseek-bench-") as folder:
        models = find_models(
            options["models"],
            Path(folder),
            random=options["random"],
            models_dir=options["models_dir"],
        )
        planned = cases(models, engines, precisions, sizes, options)
        if models[0].is_random and not options["random"]:
            note = "no weights are here, so random ones are measured: they take as long"
        else:
            note = ""
        found = measured(planned, settings, engines, note, quiet=quiet)
    if not found.results():
        raise found.left_out[0].error
    return document(found), any(is_fault(each.error.code) for each in found.left_out)


def measured(
    planned: "Sequence[Case]",
    settings: "Settings",
    engines: dict[str, bool],
    note: str,
    *,
    quiet: bool,
) -> "Collector":
    """Measures with a progress bar, and tells the note when the first engine is ready.

    Raises what keeps an engine that was named from starting.
    """
    from dinoseek.bench.result import Collector
    from dinoseek.bench.rounds import LeftOut, Started, Turn, measure
    from dinoseek.cli.progress import with_progress

    found = Collector(settings)
    total = len(planned) * settings.rounds
    events = with_progress(
        measure(planned, settings),
        lambda: total,
        "measuring",
        quiet=quiet,
        counts=lambda event: isinstance(event, Turn),
        unit="",
    )
    for event in events:
        if isinstance(event, LeftOut):
            if engines[event.case.engine] and is_refusal(event, planned):
                raise event.error
            if not quiet:
                click.echo(f"left out: {event.case.describe()}: {event.error.reason}", err=True)
        if isinstance(event, Started) and note and not quiet:
            click.echo(note, err=True)
            note = ""
        found.add(event)
    return found


def is_refusal(left_out: "LeftOut", planned: "Sequence[Case]") -> bool:
    """Whether an engine cannot do anything of what is asked, rather than not in one precision."""
    from dinoseek.bench.plan import lack_of

    if left_out.error.code == "engine.precision":
        return all(lack_of(case) for case in planned if case.engine == left_out.case.engine)
    return not is_fault(left_out.error.code)


def is_fault(code: str) -> bool:
    """Whether an engine broke, rather than is not there or cannot do what is asked."""
    return code in ("bench.failed", "bench.crashed", "machine.memory")
