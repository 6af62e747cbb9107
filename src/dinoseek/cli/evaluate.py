"""`dinoseek evaluate`: how good a model is on labelled pictures, by the literature's protocols."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dinoseek.cli.evaluate_options import (
    Wanted,
    distractors_of,
    evaluation_options,
    watching,
)
from dinoseek.cli.evaluate_output import (
    keep,
    tell_failures,
    write_checks,
    write_comparison,
    write_evaluation,
)
from dinoseek.cli.sweep import sweep

if TYPE_CHECKING:
    from dinoseek.evaluation.dataset import Dataset
    from dinoseek.evaluation.result import Evaluation
    from dinoseek.evaluation.vectors import Vectors

PARTIAL = 3

_PROTOCOL = click.option(
    "--protocol",
    type=click.Choice(["official-crop", "dino-nocrop"]),
    default="official-crop",
    show_default=True,
    help="Cut queries to their box, as published, or not, as the DINO family most likely does.",
)


@click.group("evaluate")
def command() -> None:
    """\b
    Examples:
      dinoseek evaluate labels photos/ --html report.html
      dinoseek evaluate roxford5k --data roxford5k/ --protocol dino-nocrop --out base.json
      dinoseek evaluate sop --data Stanford_Online_Products/ --gallery sop.dino
      dinoseek evaluate compare small.json base.json
      dinoseek evaluate sweep photos/
      dinoseek evaluate prepare sop --data Stanford_Online_Products/

    Measures how good a model is at finding what belongs together: each number with its interval,
    under a name that says how it was made. Protocols: docs/evaluation.md.
    """


@command.command("labels")
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--split", help="Which split to measure.  [default: test, or val]")
@evaluation_options
def labels(*, data: Path, split: str | None, wanted: Wanted) -> int:
    """Measure your own labelled images: a folder of folders, or a table with path and label.

    Each image is a query against all others, and should find those of its label. A table (.csv
    .tsv .jsonl .parquet) may also have split, is_query, is_gallery, x1, y1, x2 and y2. Images that
    cannot be read are left out and counted; the exit code is then 3.
    """
    from dinoseek.evaluation.labels import load_labels

    dataset = load_labels(data, split)
    return _labelled(dataset, wanted, lenient=not wanted.stored)


def _labelled(dataset: "Dataset", wanted: Wanted, *, lenient: bool) -> int:
    """Measures a data set of labels; `lenient` where unreadable images may be left out."""
    from dinoseek.evaluation.run import complete, evaluate_labels

    vectors = wanted.vectors(dataset.root, dataset.images, dataset.boxes)
    tell_failures(vectors, dataset.images)
    allowed = lenient or wanted.allow_missing
    smaller, kept, notes = complete(dataset, vectors, allow_missing=allowed)
    watched = watching("ranking", len(smaller.queries))
    found = evaluate_labels(smaller, kept, wanted.options, notes=notes, watched=watched)
    _report(found, smaller.root, wanted)
    return PARTIAL if notes else 0


def _report(found: "Evaluation", root: Path, wanted: Wanted) -> None:
    if wanted.out is not None:
        keep(wanted.out, found)
    if wanted.html is not None:
        from dinoseek.report.evaluation import write_page

        write_page(wanted.html, found, root)
        click.echo(wanted.html, err=True)
    write_evaluation(found, as_json=wanted.as_json, markdown=wanted.markdown)


def _add_products(name: str, title: str) -> None:
    """Adds the command of one benchmark of metric learning."""

    @evaluation_options
    def measure(*, data: Path, unofficial: bool, wanted: Wanted) -> int:
        from dinoseek.evaluation.products import load_products

        dataset = load_products(name, data, official=not unofficial)
        return _labelled(dataset, wanted, lenient=False)

    about = f"Measure {title}. `evaluate prepare {name}` says where to get it."
    decorated = click.option(
        "--unofficial", is_flag=True, help="Take lists of another length; the name says so."
    )(measure)
    decorated = click.option(
        "--data", type=click.Path(path_type=Path), required=True, help="The data set's folder."
    )(decorated)
    command.command(name, help=about)(decorated)


for _name, _title in {
    "sop": "Stanford Online Products: every test image against all others",
    "inshop": "DeepFashion In-shop: queries against a gallery apart",
    "cub": "CUB-200-2011: the last 100 species, every image against all others",
    "cars": "Cars-196: the last 98 models, every image against all others",
}.items():
    _add_products(_name, _title)


def _add_revisited(name: str, title: str) -> None:
    """Adds the command of revisited Oxford or Paris."""

    @evaluation_options
    def measure(*, wanted: Wanted, **values: Any) -> int:
        return _revisited(name, wanted=wanted, **values)

    decorated: Any = click.option(
        "--rankings",
        type=click.Path(path_type=Path),
        metavar="FILE.npz",
        help="Measure a ranking made elsewhere: ranks (gallery, queries), whole.",
    )(measure)
    decorated = click.option(
        "--distractors",
        type=click.Path(path_type=Path),
        help="A gallery, or a file of vectors, that is nobody's answer: +1M.",
    )(decorated)
    decorated = _PROTOCOL(decorated)
    decorated = click.option(
        "--data",
        type=click.Path(path_type=Path),
        required=True,
        help=f"The folder with gnd_{name}.pkl and jpg/.",
    )(decorated)
    about = f"Measure {title}: mAP and mP@k, easy, medium and hard. Needs gnd_{name}.pkl and jpg/."
    command.command(name, help=about)(decorated)


def _revisited(
    name: str,
    *,
    data: Path,
    protocol: Any,
    distractors: Path | None,
    rankings: Path | None,
    wanted: Wanted,
) -> int:
    from dinoseek.evaluation.ground_truth import load_ground_truth
    from dinoseek.evaluation.run_revisited import FOLDER, check_data_set, evaluate_revisited

    gnd = load_ground_truth(data / f"gnd_{name}.pkl")
    notes = check_data_set(gnd, name)
    if rankings is not None:
        return _ranking(name, gnd, rankings, notes, data, wanted)
    crop = protocol == "official-crop"
    images = [f"{FOLDER}/{each}.jpg" for each in (*gnd.names, *gnd.queries)]
    boxes = {len(gnd.names) + i: box for i, box in enumerate(gnd.boxes)} if crop else {}
    more = distractors_of(distractors, wanted.choice) if distractors else None
    vectors = wanted.vectors(data, images, boxes)
    tell_failures(vectors, images)
    found = evaluate_revisited(
        name,
        gnd,
        vectors,
        wanted.options,
        protocol=protocol,
        allow_missing=wanted.allow_missing,
        distractors=more,
        notes=notes,
    )
    _report(found, data, wanted)
    return PARTIAL if vectors.missing.any() else 0


def _ranking(
    name: str, gnd: Any, path: Path, notes: Sequence[str], data: Path, wanted: Wanted
) -> int:
    from dinoseek.evaluation.rankings import load_ranking
    from dinoseek.evaluation.run_revisited import evaluate_ranking

    ranking = load_ranking(path, len(gnd.names), len(gnd.queries))
    found = evaluate_ranking(name, gnd, ranking, wanted.options, source=path.name, notes=notes)
    _report(found, data, wanted)
    return 0


_add_revisited("roxford5k", "revisited Oxford")
_add_revisited("rparis6k", "revisited Paris")


@command.command("knn")
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--temperature", type=click.FloatRange(0.001, 10), default=0.07, show_default=True)
@evaluation_options
def knn(*, data: Path, temperature: float, wanted: Wanted) -> int:
    """Measure classification by nearest neighbours, as DINOv2 evaluates itself.

    DATA is as for labels. With the splits train and test (or val) the test images are classified
    by the training images; without, each image by all others.
    """
    from dinoseek.evaluation.labels import load_labels, load_splits
    from dinoseek.evaluation.run import complete
    from dinoseek.evaluation.run_knn import evaluate_knn

    splits = load_splits(data)
    sets = list(splits) if splits else [load_labels(data)]
    parts: list[tuple[Dataset, Vectors]] = []
    notes: list[str] = []
    for each in sets:
        vectors = wanted.vectors(each.root, each.images, each.boxes)
        tell_failures(vectors, each.images)
        allowed = not wanted.stored or wanted.allow_missing
        smaller, kept, told = complete(each, vectors, allow_missing=allowed)
        parts.append((smaller, kept))
        notes += told
    (train, train_vectors), (test, test_vectors) = parts[0], parts[-1]
    found = evaluate_knn(
        test, test_vectors, train, train_vectors, wanted.options, temperature=temperature,
        leave_one_out=splits is None, notes=notes,
    )  # fmt: skip
    _report(found, test.root, wanted)
    return PARTIAL if notes else 0


command.add_command(sweep)


@command.command("compare")
@click.argument("first", metavar="A.json", type=click.Path(path_type=Path))
@click.argument("second", metavar="B.json", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def compare(*, first: Path, second: Path, as_json: bool) -> None:
    """Say whether B is better than A, or only luckier, from files that --out wrote.

    Each query's values are compared in pairs. B is only called better or worse where exchanging
    them at random would seldom (p < 0.05, corrected for the number of metrics) give as much.
    """
    from dinoseek.evaluation.compare import compare as compared
    from dinoseek.evaluation.result import load_saved

    one, two = load_saved(first), load_saved(second)
    write_comparison(one, two, compared(one, two), as_json=as_json)


@command.command("prepare")
@click.argument("name", metavar="DATASET")
@click.option("--data", type=click.Path(path_type=Path), help="The folder to look at.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def prepare(*, name: str, data: Path | None, as_json: bool) -> int:
    """Say where DATASET is to be had and under which terms, and check a download.

    DATASET: roxford5k, rparis6k, revisitop1m, sop, inshop, cub or cars. Nothing is fetched. Exit
    code 3 if something is missing or not as published.
    """
    from dinoseek.evaluation.prepare import check_download, source_of

    source = source_of(name)
    checks = check_download(name, data) if data else []
    write_checks(source, checks, as_json=as_json)
    return 0 if all(check.good for check in checks) else PARTIAL
