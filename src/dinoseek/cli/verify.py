"""`dinoseek verify`: how far features of images are from reference features."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dinoseek.cli.options import ModelChoice, model_options
from dinoseek.cli.reference import check_dim, check_rows, read_reference
from dinoseek.errors import DinoseekError, MachineError, UsageError, printable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dinoseek.embedder import Embedder

FAILED = 3
_MANY = 48  # images, for which an engine may take a second to start
_PREVIEWED = 5  # values shown where there is nothing to compare with


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How far one image's features are from its reference row."""

    image: str
    max_abs: float
    mean_abs: float
    mse: float
    rmse: float
    cosine: float
    passed: bool


@dataclass(frozen=True, kw_only=True)
class Preview:
    """One image's features at a glance."""

    image: str
    dim: int
    norm: float
    first: list[float]


@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """An image that has no features to compare."""

    image: str
    code: str
    error: str
    passed: bool = False


Row = Comparison | Preview | Unreadable


@click.command("verify")
@click.argument("paths", metavar="REFERENCE IMAGE...", nargs=-1, required=True)
@model_options
@click.option(
    "--threshold",
    type=click.FloatRange(-1, 1),
    default=0.99,
    show_default=True,
    help="The least cosine that passes.",
)
@click.option("--no-reference", is_flag=True, help="All files are images: show their features.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def command(
    *,
    paths: tuple[str, ...],
    choice: ModelChoice,
    threshold: float,
    no_reference: bool,
    as_json: bool,
) -> int:
    """\b
    Examples:
      dinoseek verify reference.npy cat.jpg dog.jpg
      dinoseek verify demo_feats.npy cat_dog/*.jpg --preprocess crop224
      dinoseek verify --no-reference cat.jpg --pooling mean --json

    Compares features with reference features. REFERENCE is a .npy file, or an .npz file with one
    array, of floats (images, dim): a row for each IMAGE, in the order given. Features are
    compared before they are scaled to unit length; an image passes if its cosine reaches the
    threshold.

    Exit code 0: all pass; 3: some do not. A reference that is not there gives a preview of the
    features and exit code 4; --no-reference asks for just that.
    """
    images = paths if no_reference else paths[1:]
    reference = None if no_reference else read_reference(Path(paths[0]))
    if not images:
        reason = "there are no images to compare with it"
        raise UsageError("verify.no_images", paths[0], reason, fix="name the images after it")
    if reference is not None:
        check_rows(paths[0], reference, len(images))
    if choice.precision == "auto":
        choice = replace(choice, precision="fp32")  # as references are
    embedder = choice.load(expect="few" if len(images) < _MANY else "many")
    if reference is not None:
        check_dim(paths[0], reference, embedder)
    rows = [
        measure(image, embedder, None if reference is None else reference[place], threshold)
        for place, image in enumerate(images)
    ]
    show(rows, embedder, threshold, as_json=as_json)
    return exit_code(rows, paths[0], asked=no_reference, compared=reference is not None)


def measure(
    image: str, embedder: "Embedder", expected: "NDArray[np.floating] | None", threshold: float
) -> Row:
    """What there is to say about one image; `expected` is its reference row (dim,)."""
    name = printable(image)
    try:
        found = embedder.features([embedder.open(image)])[0]
    except DinoseekError as exc:
        return Unreadable(image=name, code=exc.code, error=str(exc))
    return preview(name, found) if expected is None else compare(name, found, expected, threshold)


def compare(
    image: str, found: "NDArray[np.floating]", expected: "NDArray[np.floating]", threshold: float
) -> Comparison:
    """Compares features (dim,) in float64, so that the measure adds no error of its own."""
    import numpy as np

    ours, theirs = found.astype(np.float64), expected.astype(np.float64)
    gap = np.abs(ours - theirs)
    lengths = float(np.linalg.norm(ours) * np.linalg.norm(theirs))
    cosine = float(ours @ theirs) / lengths if lengths else 0.0
    mse = float(np.mean(gap**2))
    return Comparison(
        image=image,
        max_abs=float(gap.max()),
        mean_abs=float(gap.mean()),
        mse=mse,
        rmse=math.sqrt(mse),
        cosine=cosine,
        # A cosine of equal vectors may fall short of 1 by the last bits.
        passed=cosine >= threshold - 1e-12,
    )


def preview(image: str, found: "NDArray[np.floating]") -> Preview:
    import numpy as np

    norm = float(np.linalg.norm(found.astype(np.float64)))
    return Preview(
        image=image, dim=len(found), norm=norm, first=[float(v) for v in found[:_PREVIEWED]]
    )


def exit_code(rows: Sequence[Row], reference: str, *, asked: bool, compared: bool) -> int:
    failed = any(not getattr(row, "passed", True) for row in rows)
    if compared or asked:
        return FAILED if failed else 0
    line = f"nothing was compared: {printable(reference)} is not there; this is only a preview"
    click.echo(line, err=True)
    return MachineError.exit_code


def show(rows: Sequence[Row], embedder: "Embedder", threshold: float, *, as_json: bool) -> None:
    made = embedder.fingerprint
    if as_json:
        head = {"model": made.model, "preprocess": made.preprocess, "pooling": made.pooling}
        compared = any(isinstance(row, Comparison) for row in rows)
        limit = {"threshold": threshold} if compared else {}
        click.echo(json.dumps({**head, **limit, "images": [asdict(row) for row in rows]}))
        return
    for text in table(rows):
        click.echo(text)
    judged = [row for row in rows if not isinstance(row, Preview)]
    if judged:
        passed = sum(row.passed for row in judged)
        click.echo(f"{passed} of {len(judged)} pass at cosine >= {threshold:g}; {made.describe()}")


def table(rows: Sequence[Row]) -> list[str]:
    """A line for each image, under the names of the numbers."""
    if any(isinstance(row, Preview) for row in rows):
        return [f"{'dim':>5}  {'norm':>9}  first values", *map(line, rows)]
    names = ("max abs", "mean abs", "mse", "rmse")
    heads = "".join(f"{name:>11}" for name in names)
    return [f"{'':5}{heads}  {'cosine':>9}  image", *map(line, rows)]


def line(row: Row) -> str:
    match row:
        case Comparison():
            numbers = (row.max_abs, row.mean_abs, row.mse, row.rmse)
            verdict = "PASS " if row.passed else "FAIL "
            shown = "".join(f"{number:11.3e}" for number in numbers)
            return f"{verdict}{shown}  {row.cosine:9.6f}  {row.image}"
        case Preview():
            first = " ".join(f"{value:.5f}" for value in row.first)
            return f"{row.dim:5}  {row.norm:9.4f}  {first}  {row.image}"
        case Unreadable():
            return f"FAIL   {row.error}"
