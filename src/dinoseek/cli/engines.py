"""What the command line says of engines: which are here, which is taken, and why."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from dinoseek.cli.doctor import Status
    from dinoseek.encoders.factory import Wish


def tell_measuring(wish: "Wish") -> None:
    """Says why nothing seems to happen for some seconds, the first time on a machine."""
    from dinoseek.encoders.factory import must_measure

    if must_measure(wish):
        click.echo("timing the engines that are here, this once", err=True)


def facts(threads: int | None, cache_dir: Path | None, *, measure: bool = False) -> dict[str, Any]:
    """For `--json`: the engine that "auto" takes for many images, and all that were considered."""
    from dataclasses import asdict

    from dinoseek.encoders.automatic import Wish, considered
    from dinoseek.encoders.speeds import forget

    wish = Wish(threads=threads, cache_dir=cache_dir)
    if measure:
        forget(threads, cache_dir)
    tell_measuring(wish)
    rows = considered(wish)
    taken = next((row for row in rows if not row.why_not), rows[0])
    return {
        "engine": taken.engine,
        "precision": taken.precision,
        "considered": [asdict(row) for row in rows],
    }


def show(found: dict[str, Any]) -> None:
    """The same as lines; the first is what is taken."""
    from dinoseek.encoders.precision import short_of

    click.echo(f"{'auto':<12} {found['engine']} in {short_of(found['precision'])}")
    for row in found["considered"]:
        name = f"{row['engine']} in {short_of(row['precision'])}"
        ms = "" if row["ms"] is None else f"{row['ms']:.1f} ms"
        click.echo(f"  {name:<18} {ms:>9}  {row['why_not'] or 'taken'}".rstrip())
    if any(row["ms"] for row in found["considered"]):
        click.echo("  (for an image of 224 x 224, batches of 8, a third of ViT-S's blocks)")


def states(cache_dir: Path | None) -> Iterator[tuple[str, "Status", str, str]]:
    """Each engine, how it is, what was found, and what to do: the lines of `dinoseek doctor`."""
    from dinoseek.encoders.engines import ENGINES, installed_version, is_installed
    from dinoseek.encoders.speeds import recalled

    faults = {each.engine: each.fault for each in recalled(None, cache_dir) or () if each.fault}
    for engine, about in ENGINES.items():
        version = f"{about.packages[0]} {installed_version(engine)}"
        if not is_installed(engine):
            yield engine, "info", f"not here: pip install 'dinoseek[{engine}]' brings it", ""
        elif engine in faults:
            fix = "reinstall it, then dinoseek info --measure"
            yield engine, "warning", f"{version}, which failed: {faults[engine]}", fix
        else:
            yield engine, "good", version, ""
