"""`dinoseek explain`: why a hit was found."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dinoseek.cli.options import ModelChoice, model_options, setting
from dinoseek.cli.queries import Operand, asked_queries
from dinoseek.errors import MachineError, UsageError, printable

if TYPE_CHECKING:
    from dinoseek.embedder import Embedder
    from dinoseek.explain import Explanation
    from dinoseek.images.region import Region


@click.command("explain")
@click.argument("query")
@click.argument("hit")
@setting("--gallery", type=click.Path(path_type=Path), help="Where the model and ids are from.")
@click.option(
    "--region",
    metavar="X,Y,W,H",
    help="Only this part of the query: in pixels, or as 10%,10%,50%,50%.",
)
@click.option("--png", type=click.Path(path_type=Path), help="Write a picture of the matches.")
@click.option("--html", type=click.Path(path_type=Path), help="Write a page with the matches.")
@click.option(
    "--lines", type=click.IntRange(0, 500), default=24, show_default=True, help="Matches to draw."
)
@click.option(
    "--geometry",
    type=click.Choice(["none", "similarity", "affine"]),
    default="similarity",
    show_default=True,
    help="What kind of map between the pictures matches have to agree on.",
)
@click.option("--json", "as_json", is_flag=True, help="Write JSON, with all matches.")
@model_options
def command(
    *,
    query: str,
    hit: str,
    gallery: Path | None,
    region: str | None,
    png: Path | None,
    html: Path | None,
    lines: int,
    geometry: Any,
    as_json: bool,
    choice: ModelChoice,
) -> None:
    """\b
    Examples:
      dinoseek explain cat.jpg hit.jpg --gallery photos.dino --png why.png
      dinoseek explain cat.jpg id:42 --gallery photos.dino --html why.html
      dinoseek explain cat.jpg id:42 --gallery photos.dino --region 10%,10%,50%,50% --json

    Shows why HIT is found with QUERY: which patches of the two pictures are most like each other,
    as lines and as heat maps, and how many of these lie in the same arrangement. Each is a file,
    an address, - or id:N of the gallery. With --region, what a part of the query has to do with it.
    """
    from dinoseek.explain import explain
    from dinoseek.matching import MatchOptions

    embedder = choice.load(expect="few") if gallery is None else choice.embedder_of(gallery, "few")
    embedder.check_patches()
    first, second = _operand(query, choice), _operand(hit, choice)
    found = explain(
        embedder,
        _source(first, gallery),
        _source(second, gallery),
        region=_region(region, first, second),
        options=MatchOptions(geometry=geometry),
    )
    names = (printable(query), printable(hit))
    click.echo(_as_json(found, names, embedder) if as_json else _as_text(found))
    if png:
        from dinoseek.report.explanation import write_png

        write_png(png, found, lines)
        click.echo(f"wrote {png}", err=True)
    if html:
        from dinoseek.report.explanation_page import write_page

        facts = {"model": embedder.fingerprint.describe()}
        write_page(html, found, names, facts=facts, lines=lines)
        click.echo(f"wrote {html}", err=True)


def _operand(word: str, choice: ModelChoice) -> Operand:
    """The one picture that a word names."""
    asked = list(asked_queries([word], max_bytes=choice.limits().max_bytes))
    if asked[0].error is not None:
        raise asked[0].error
    if len(asked) > 1:
        raise UsageError("explain.folder", word, "is a folder", fix="name one picture of it")
    return asked[0].operands[0]


def _source(operand: Operand, gallery: Path | None) -> Path | bytes:
    """Where the picture of an operand is: its file, or bytes."""
    if not isinstance(operand.means, int):
        return operand.means
    if gallery is None:
        reason = "an id says something in a gallery only"
        raise UsageError("explain.gallery", operand.word, reason, fix="name it with --gallery")
    from dinoseek.gallery.factory import open_gallery

    with open_gallery(gallery, readonly=True) as opened:
        (record,) = opened.get([operand.means])
        file = record.own_file
        if file is not None and file.is_file():
            return file
        small = opened.thumbnail(operand.means)
    if small is None:
        reason = "its picture is not there any more"
        raise MachineError("path.missing", file or operand.word, reason)
    return small


def _region(text: str | None, first: Operand, second: Operand) -> "Region | None":
    from dinoseek.images.region import Region

    if second.region is not None:
        raise UsageError("explain.region", second.word, "only a part of the query can be explained")
    if text is None:
        return first.region
    if first.region is not None:
        raise UsageError("explain.region", "--region", "the query names a region already")
    return Region.parse(text)


def _as_text(found: "Explanation") -> str:
    agree, every = int(found.matches.inliers.sum()), len(found.matches.first)
    rows = [
        ("score", f"{found.score:.4f}"),
        ("local", f"{found.local:.4f}"),
        ("matches", f"{every}, {agree} of them in the same arrangement"),
    ]
    if (region := found.region) is not None:
        parts = f"{region.patches} patches, {region.matched} matched, mean cosine {region.mean:.4f}"
        rows.append(("region", f"{region.score:.4f}, {parts}"))
    return "\n".join(f"{name:<9}{value}" for name, value in rows)


def _as_json(found: "Explanation", names: tuple[str, str], embedder: "Embedder") -> str:
    """Everything in numbers; points are shares of what the model sees of a picture."""
    from dinoseek.report.heat import shares

    starts, ends = shares(found)
    matches = found.matches
    pairs = zip(starts, ends, matches.cosines, matches.inliers, strict=True)
    return json.dumps(
        {
            "query": names[0],
            "hit": names[1],
            "model": embedder.fingerprint.describe(),
            "score": round(found.score, 6),
            "local": round(found.local, 6),
            "region": None if found.region is None else vars(found.region),
            "matches": [
                {
                    "query": [round(float(share), 4) for share in start],
                    "hit": [round(float(share), 4) for share in end],
                    "cosine": round(float(cosine), 6),
                    "agrees": bool(agrees),
                }
                for start, end, cosine, agrees in pairs
            ],
        },
        ensure_ascii=False,
        indent=2,
    )
