"""What `dinoseek bench` measures, and how: its flags, and what they mean together."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dinoseek.errors import MachineError, UsageError

if TYPE_CHECKING:
    from dinoseek.bench.models import Model
    from dinoseek.bench.plan import Case, Settings

F = TypeVar("F", bound=Callable[..., Any])

ALL = "all"
_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"}
_PICTURES = 64  # of a folder, at most

_OPTIONS = (
    click.option(
        "--engine",
        "--engines",
        "engines",
        multiple=True,
        metavar="NAME",
        help="numpy, onnx, openvino, torch, auto, or all that are installed; repeatable.  "
        "[default: all]",
    ),
    click.option(
        "--precision",
        "precisions",
        multiple=True,
        metavar="NAME",
        help="auto, fp32, bf16, fp16 or int8; repeatable.  [default: auto]",
    ),
    click.option(
        "--model",
        "models",
        multiple=True,
        metavar="MODEL",
        help="A model's name, a weights file or a training run; repeatable.  [default: what is "
        "here, or dinov2-small with random weights]",
    ),
    click.option(
        "--random", is_flag=True, help="Random weights of the models' shapes: needs no files."
    ),
    click.option(
        "--size",
        "sizes",
        multiple=True,
        metavar="SIDE|HxW",
        help="Pixels, multiples of 14; repeatable.  [default: 224]",
    ),
    click.option(
        "--batch",
        "batches",
        multiple=True,
        type=click.IntRange(1, 4096),
        help="Images at once; repeatable.  [default: 1 and 8]",
    ),
    click.option(
        "--threads",
        "thread_counts",
        multiple=True,
        type=click.IntRange(1, 1024),
        help="Cores to use; repeatable.  [default: all]",
    ),
    click.option(
        "--all-tokens", is_flag=True, help="Compute patch tokens too, not the class token alone."
    ),
    click.option("--end-to-end", is_flag=True, help="Also embed picture files, decoding included."),
    click.option(
        "--images",
        type=click.Path(path_type=Path),
        help=f"The folder of pictures for that: the first {_PICTURES}.  [default: drawn ones]",
    ),
    click.option(
        "--seconds",
        type=click.FloatRange(0.01, 3600),
        default=5.0,
        show_default=True,
        help="How long each combination is measured, in all.",
    ),
    click.option(
        "--rounds",
        type=click.IntRange(1, 1000),
        default=7,
        show_default=True,
        help="Turns that each combination has.",
    ),
    click.option(
        "--repeats", type=click.IntRange(1, 100_000), help="Calls in a turn, for --seconds."
    ),
    click.option(
        "--warm-up",
        type=click.IntRange(1, 1000),
        default=3,
        show_default=True,
        help="Calls before the first turn, not counted.",
    ),
    click.option(
        "--percentiles", default="50,90,95,99", show_default=True, help="Of the time of a call."
    ),
)


def bench_options(command: F) -> F:
    """Adds the flags; `settings_of` and `cases` take them as a dictionary."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def engines_of(names: Sequence[str]) -> dict[str, bool]:
    """The engines, and whether each must be there: those of "all" are left out if they are not."""
    from dinoseek.encoders.engines import ENGINES, check_engine

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
        cache_dir=options["cache_dir"],
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


def cases(
    models: "Sequence[Model]",
    engines: dict[str, bool],
    precisions: Sequence[str],
    sizes: "Sequence[tuple[int, int]]",
    options: dict[str, Any],
) -> "list[Case]":
    from dinoseek.bench.plan import cases_of
    from dinoseek.vit.blas import thread_count

    return cases_of(
        models,
        list(engines),
        precisions=precisions,
        sizes=sizes,
        batches=options["batches"] or (1, 8),
        threads=options["thread_counts"] or (thread_count(),),
    )
