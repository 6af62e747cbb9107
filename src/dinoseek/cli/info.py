"""`dinoseek info`: what is in a gallery, or what this installation has."""

import json
import platform
from pathlib import Path
from typing import Any

import click

from dinoseek.cli import engines
from dinoseek.cli.models import models_dir_option
from dinoseek.cli.options import setting, use_index_key

_SHOWN = 20


@click.command("info")
@click.argument("gallery", required=False, type=click.Path(path_type=Path))
@setting("--gallery", "chosen", type=click.Path(path_type=Path), hidden=True)
@models_dir_option
@setting("--threads", type=click.IntRange(1, 1024), hidden=True)
@setting("--cache-dir", type=click.Path(path_type=Path, file_okay=False), hidden=True)
@click.option("--measure", is_flag=True, help="Time the engines anew.")
@click.option("--check", is_flag=True, help="Read everything, and say what is damaged.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON, with every failure.")
def command(
    *,
    gallery: Path | None,
    chosen: Path | None,
    models_dir: Path | None,
    threads: int | None,
    cache_dir: Path | None,
    measure: bool,
    check: bool,
    as_json: bool,
) -> int:
    """\b
    Examples:
      dinoseek info photos.dino
      dinoseek info photos.dino --json
      dinoseek info photos.dino --check
      dinoseek info

    Shows what is in a gallery: images, spaces (one per model), folders, and the files that could
    not be read, with the reason. Without a gallery: the version and models here, the engines,
    which of them --engine auto takes for many images, and why not the others.
    """
    path = gallery or chosen
    if path:
        facts = _of_gallery(path, check=check)
    else:
        facts = _of_installation(models_dir)
        facts["auto"] = engines.facts(threads, cache_dir, measure=measure)
    if as_json:
        click.echo(json.dumps(facts, indent=2, ensure_ascii=False))
    elif path:
        _show_gallery(facts)
    else:
        auto = facts.pop("auto")
        for name, value in facts.items():
            click.echo(f"{name:<12} {', '.join(value) if isinstance(value, list) else value}")
        engines.show(auto)
    return 5 if facts.get("problems") else 0


def _of_gallery(path: Path, *, check: bool) -> dict[str, Any]:
    from dinoseek.gallery.factory import open_gallery

    with open_gallery(path, readonly=True) as opened:
        use_index_key(opened)
        facts = opened.info()
        return {**facts, "problems": opened.verify()} if check else facts


def _of_installation(models_dir: Path | None) -> dict[str, Any]:
    from importlib.metadata import version

    from dinoseek.encoders.speeds import installed
    from dinoseek.weights.hub import BUILT_IN, KNOWN, default_models_dir, find_weights

    here = [name for name in KNOWN if find_weights(name, models_dir)]
    return {
        "dinoseek": version("dinoseek"),
        "python": platform.python_version(),
        "engines": list(installed()),
        "models": [*here, BUILT_IN, "color-histogram"],
        "models_dir": str(models_dir or default_models_dir()),
    }


def _show_gallery(facts: dict[str, Any]) -> None:
    size = sum(facts["bytes"].values()) / 1e6
    click.echo(f"{facts['path']}: {facts['images']:,} images in {facts['files']:,} files")
    click.echo(f"  on disk   {size:,.1f} MB")
    _show_roots(facts)
    _show_spaces(facts)
    failures = facts["failures"]
    if failures:
        click.echo(f"  {len(failures):,} files failed")
    for failure in failures[:_SHOWN]:
        click.echo(f"    {failure['code']:<22} {failure['path']}: {failure['reason']}")
    if len(failures) > _SHOWN:
        click.echo(f"    and {len(failures) - _SHOWN:,} more: --json lists all")
    if "problems" in facts:
        for problem in facts["problems"] or ["nothing is damaged"]:
            click.echo(f"  check     {problem}")


def _show_roots(facts: dict[str, Any]) -> None:
    from dinoseek.gallery.base import WEB

    for root in facts["roots"]:
        if root["path"] == WEB:
            click.echo(f"  web       {root['files']:,} addresses")
            continue
        missing = "  (not there)" if root["missing"] else ""
        kind = "archive" if root["path"].lower().endswith((".tar", ".tar.gz", ".tgz")) else "folder"
        click.echo(f"  {kind:<9} {root['path']}: {root['files']:,} files{missing}")


def _show_spaces(facts: dict[str, Any]) -> None:
    for space in facts["spaces"]:
        parts = [space[key] for key in ("model", "preprocess", "pooling") if space[key]]
        if space["precision"] != "float32":
            parts.append(space["precision"])
        if space["scales"]:
            parts.append(f"scales {space['scales']}")
        if space["projection"]:
            parts.append(f"projection {space['projection'][:8]}")
        made = ", ".join(parts)
        click.echo(f"  space     {made}: {space['vectors']:,} vectors of {space['dim']} numbers")
        index = space.get("index") or {}
        if index.get("kind", "exact") != "exact":
            said = f"{index['kind']}, recall {index['recall']:.3f}, {index['tail']:,} beside it"
            click.echo(f"  index     {said}")
