"""`dinoseek search`: the images that look most like a picture."""

import hashlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dinoseek.cli.index import fill
from dinoseek.cli.options import ModelChoice, model_options, setting, use_index_key
from dinoseek.cli.output import chosen_format, format_options, write_hits
from dinoseek.cli.progress import with_progress
from dinoseek.cli.queries import Asked, Combine, asked_queries
from dinoseek.cli.reports import Reports, write_reports
from dinoseek.errors import DinoseekError, UsageError, printable

if TYPE_CHECKING:
    from dinoseek.encoders.factory import Work
    from dinoseek.gallery.base import Hit
    from dinoseek.gallery.filters import Filter
    from dinoseek.gallery.sqlite_gallery import SqliteGallery

PARTIAL = 3
_MANY = 48  # queries


@click.command("search")
@click.argument("words", metavar="[QUERY]...", nargs=-1)
@setting("--gallery", type=click.Path(path_type=Path), help="The gallery to search.")
@click.option("-q", "--query", "more", multiple=True, metavar="QUERY", help="A query, as a flag.")
@click.option(
    "-d",
    "--database",
    type=click.Path(path_type=Path),
    help="Search this folder instead of a gallery. What is known of it is kept in your cache.",
)
@click.option(
    "-k",
    "-n",
    "--num",
    "k",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="Hits for each query.",
)
@click.option(
    "--min-score",
    metavar="COSINE|auto",
    help="Leave out hits with a lower cosine; auto: no higher than random pairs have.",
)
@click.option(
    "--where",
    metavar="CONDITION",
    help='Search only these: \'width >= 800 and label in ("cat", "dog")\'.',
)
@click.option(
    "--region",
    metavar="X,Y,W,H",
    help="Look at this part of each query only: in pixels, or as 10%,10%,50%,50%.",
)
@click.option(
    "--combine",
    type=click.Choice(["average", "best"]),
    default="average",
    show_default=True,
    help="What joined queries mean: like their average, or like any of them.",
)
@click.option("--collapse", is_flag=True, help="Fold near-duplicates of a hit into it.")
@click.option(
    "--collapse-score",
    type=click.FloatRange(-1, 1),
    metavar="COSINE",
    help="Fold hits that are as alike as this; implies --collapse.  [default: 0.95]",
)
@click.option("--exclude-self", is_flag=True, help="Leave out the images that the query is.")
@click.option("--l2", is_flag=True, help="Rank by Euclidean distance, and show it.")
@click.option(
    "--rerank",
    metavar="WAY",
    help="Put the first hits in another order: alpha-qe, dba, k-reciprocal, superglobal or local, "
    "with settings as in alpha-qe:neighbors=5.  [default: off]",
)
@format_options
@click.option("--long", is_flag=True, help="Add addresses and metadata to the table.")
@click.option("--html", type=click.Path(path_type=Path), help="Write a page with the pictures.")
@click.option(
    "--montage", type=click.Path(path_type=Path), help="Write a strip per query into this folder."
)
@click.option(
    "-o",
    "--output-root",
    type=click.Path(path_type=Path),
    help="Write strips into this folder/DATABASE/MODEL, named QUERY_output.jpg.",
)
@click.option("--size", type=int, default=224, show_default=True, help="Side of a strip's tiles.")
@click.option("-m", "--margin", type=int, default=10, show_default=True, help="Between tiles.")
@click.option("--labels", is_flag=True, help="Write rank and score under a strip's tiles.")
@model_options
@click.option(
    "-s",
    "--model-size",
    type=click.Choice(["small", "base", "large", "largest"]),
    help="Short for --model dinov2-small, ... dinov2-giant.",
)
@click.option(
    "-p",
    "--model-path",
    type=click.Path(path_type=Path),
    help="A weights file, or the folder that weights are in.",
)
@click.option("--disable-cache", is_flag=True, help="With -d: keep nothing, look at every file.")
def command(
    *,
    words: tuple[str, ...],
    more: tuple[str, ...],
    gallery: Path | None,
    database: Path | None,
    choice: ModelChoice,
    model_size: str | None,
    model_path: Path | None,
    disable_cache: bool,
    combine: Combine,
    long: bool,
    **options: Any,
) -> int:
    """\b
    Examples:
      dinoseek search cat.jpg --gallery photos.dino
      dinoseek search cat.jpg dogs/ id:42 --gallery photos.dino -k 5 --json
      dinoseek search cat.jpg + 2:id:42 - dog.jpg --gallery photos.dino --html hits.html
      dinoseek search cat.jpg@10%,10%,50%,50% --where 'width >= 800' --min-score auto --collapse
      cat cat.jpg | dinoseek search - -d photos/

    Finds the images that look most like each QUERY: an image file, a folder of them, an address,
    - for a picture on stdin, or id:N for an image of the gallery. + and - between two make them one
    query: like the first, and like or unlike the second. With -d no index is needed first.
    """
    form = chosen_format(**{name: options.pop(name) for name in _FORMAT_FLAGS})
    if not words and not more:
        raise UsageError("search.query", "dinoseek search", "name a picture to search with")
    reports = Reports(**{name: options.pop(name) for name in Reports.__annotations__})
    keywords = _keywords(options)
    choice = _as_named(choice, model_size, model_path)
    expect: Work = "many" if _are_many([*words, *more]) else "few"
    with _opened(gallery, database, choice, expect, disable_cache=disable_cache) as opened:
        most = choice.limits().max_bytes
        queries = list(asked_queries(words, more, combine=combine, max_bytes=most))
        groups, failed = _answers(opened, queries, keywords)
        if where := keywords["where"]:
            _tell_condition(opened, where, found=any(hits for _, hits in groups))
        write_hits([(query.name, hits) for query, hits in groups], form, long=long)
        if reports:
            write_reports(opened, groups, reports, keywords["region"], database or opened.path)
    return PARTIAL if failed else 0


_FORMAT_FLAGS = ("json", "jsonl", "csv", "paths", "print0")


def _keywords(options: dict[str, Any]) -> dict[str, Any]:
    """The options as `search_many` takes them."""
    from dinoseek.gallery.filters import parse
    from dinoseek.images.region import Region
    from dinoseek.rerank.options import find_rerank

    score, region, where = (options[name] for name in ("collapse_score", "region", "where"))
    rerank = options["rerank"]
    return {
        **{name: value for name, value in options.items() if name != "collapse_score"},
        **({} if score is None else {"collapse": True, "collapse_score": score}),
        "min_score": _score(options["min_score"]),
        "region": None if region is None else Region.parse(region),
        "rerank": None if rerank is None else find_rerank(rerank),
        "where": None if where is None else parse(where),
    }


def _score(text: str | None) -> float | str | None:
    if text in (None, "auto"):
        return text
    try:
        return float(text)
    except ValueError as exc:
        fix = "give a cosine, as in --min-score 0.6, or auto"
        raise UsageError("usage.min_score", "--min-score", f"is {text}", fix=fix) from exc


def _as_named(choice: ModelChoice, size: str | None, path: Path | None) -> ModelChoice:
    """--model-size and --model-path as the --model and --models-dir that they mean."""
    if size and choice.model:
        raise UsageError("usage.model", "--model and --model-size", "only one of them, please")
    if path and path.is_dir() and not (path / "model.safetensors").exists():
        return replace(choice, model=size or choice.model, models_dir=path)
    if path and size:
        raise UsageError("usage.model", "--model-path", "is a file: leave --model-size out")
    return replace(choice, model=str(path) if path else size or choice.model)


def _are_many(words: Sequence[str]) -> bool:
    """Whether there are so many queries that an engine may take a second to start."""
    return len(words) > _MANY or any(map(os.path.isdir, words))


@contextmanager
def _opened(
    gallery: Path | None,
    database: Path | None,
    choice: ModelChoice,
    expect: "Work",
    *,
    disable_cache: bool,
) -> "Iterator[SqliteGallery]":
    from dinoseek.gallery.factory import open_gallery

    if database is None:
        path = gallery or _only_gallery()
        with open_gallery(path, choice.embedder_of(path, expect), readonly=True) as opened:
            use_index_key(opened)
            yield opened
        return
    if gallery is not None:
        raise UsageError("usage.gallery", "--gallery and -d", "only one of them, please")
    from dinoseek.ingest.sources import from_folder

    source = from_folder(database)
    with tempfile.TemporaryDirectory(prefix="dinoseek-") as folder:
        kept = _cached_gallery(database, choice.cache_dir)
        path = Path(folder) / "folder.dino" if disable_cache else kept
        path.parent.mkdir(parents=True, exist_ok=True)
        # what was kept has few new files, and what is in float32 can be kept up by any engine
        if choice.precision == "auto":
            choice = replace(choice, precision="fp32")
        with open_gallery(path, choice.load(expect=expect if path.exists() else "many")) as opened:
            _, failures = fill(opened, [source])
            for failure in failures:
                click.echo(f"skipped {failure.item}: {failure.reason}", err=True)
            yield opened


def _tell_condition(gallery: "SqliteGallery", where: "Filter", *, found: bool) -> None:
    """Says what may be wrong with --where: names that no image has, and that nothing is left."""
    if not found:
        click.echo(f"--where holds for {len(gallery.matching(where)):,} images", err=True)
    for sentence in gallery.unknown_names(where):
        click.echo(f"--where: {sentence}", err=True)


def _only_gallery() -> Path:
    """The gallery in the current folder, if there is exactly one."""
    found = sorted(path for path in Path().glob("*.dino") if (path / "gallery.sqlite").exists())
    if len(found) == 1:
        return found[0]
    reason = "say which gallery to search" if found else "there is no gallery to search here"
    fix = "--gallery photos.dino, or -d FOLDER to search a folder without one"
    raise UsageError("search.gallery", "dinoseek search", reason, fix=fix)


def _cached_gallery(database: Path, cache_dir: Path | None) -> Path:
    """The gallery kept for a folder: by its real path, so that two of one name never meet."""
    import platformdirs

    real = database.resolve()
    key = hashlib.sha256(str(real).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    base = cache_dir or platformdirs.user_cache_path("dinoseek")
    return base / "galleries" / f"{key}.dino"


def _answers(
    gallery: "SqliteGallery", queries: Sequence[Asked], options: dict[str, Any]
) -> "tuple[list[tuple[Asked, list[Hit]]], int]":
    """The hits of each query that could be answered, and how many could not, told on stderr."""
    from dinoseek.search import search_many

    known = [query.means() for query in queries if query.error is None]
    answers = (answer for _, answer in search_many(gallery, known, **options))
    found = ((query, query.error or next(answers)) for query in queries)
    groups, failed = [], 0
    shown = with_progress(found, lambda: len(queries), "searching", quiet=len(queries) < 20)
    for query, answer in shown:
        if isinstance(answer, DinoseekError):
            if len(queries) == 1:
                raise answer
            click.echo(f"error: {answer}", err=True)
            failed += 1
        else:
            name = printable(query.name)
            groups.append((query, [replace(hit, query=name) for hit in answer]))
    return groups, failed
