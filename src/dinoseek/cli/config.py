"""`dinoseek config`: which settings are in force, and where each comes from."""

import json
import os

import click

from dinoseek.cli.settings import FILE_NAME, HIDDEN, SETTINGS, environment_name, load_settings


@click.command("config")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def command(*, as_json: bool) -> None:
    """\b
    Examples:
      dinoseek config
      DINOSEEK_MODEL=dinov2-base dinoseek config --json

    Shows the settings that hold here, and where each comes from: the environment
    (DINOSEEK_...), or dinoseek.toml in this folder. Flags beat both. What is not listed has its
    default.
    """
    rows = _settings()
    if as_json:
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    if not rows:
        click.echo("no setting differs from its default", err=True)
    for row in rows:
        click.echo(f"{row['name']:<15} {row['value']!s:<24} {row['source']}")


def _settings() -> list[dict[str, object]]:
    """Every setting with a value, by name."""
    file = load_settings(FILE_NAME)
    rows: list[dict[str, object]] = []
    for name in sorted(SETTINGS):
        variable = environment_name(name)
        if variable in os.environ:
            rows.append(_row(name, os.environ[variable], variable))
        elif name in file:
            rows.append(_row(name, file[name], str(FILE_NAME)))
    return rows


def _row(name: str, value: object, source: str) -> dict[str, object]:
    hidden = SETTINGS[name].is_secret
    return {"name": name, "value": HIDDEN if hidden else value, "source": source}
