"""How a training run is shown: a live line on a terminal, a line for each validation elsewhere."""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dinoseek.errors import DinoseekError, printable

if TYPE_CHECKING:
    from dinoseek.train.config import TrainConfig
    from dinoseek.train.distill.events import Compared
    from dinoseek.train.events import Event, Finished, Stepped, Validated
    from dinoseek.train.plan import Plan

R = TypeVar("R")

_SHOWN = 3  # of the pictures that cannot be read
_NO_BETTER = (
    "nothing that was learnt did better, so the model is as it was;"
    " try a larger learning_rate, more epochs, or an ema_decay of 0.9 where there are few steps"
)


def write_plan(config: "TrainConfig", plan: "Plan", *, as_json: bool) -> None:
    """Writes the effective configuration, what would be learnt, and what it needs."""
    if as_json:
        found = {
            "config": config.as_dict(),
            "facts": plan.facts,
            "memory_bytes": plan.memory,
            "first_batch": str(plan.picture),
        }
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    from dinoseek.train.config_file import as_yaml

    click.echo(as_yaml(config))
    width = max(map(len, plan.facts))
    for name, value in plan.facts.items():
        click.echo(f"{name:{width}}  {_text(value)}")
    click.echo(f"{'memory':{width}}  about {plan.memory / 1e9:.1f} GB")
    click.echo(f"{'first batch':{width}}  {printable(plan.picture)}")


def show(events: "Iterable[Event]", *, quiet: bool, as_json: bool) -> "Finished":
    """Shows a run as it goes, and writes its result to stdout; returns it."""
    from dinoseek.train.events import Finished

    finished = follow(events, Finished, quiet=quiet)
    _write(finished, as_json=as_json)
    return finished


def follow(events: Iterable[Any], result: type[R], *, quiet: bool) -> R:
    """Shows what happens as it happens; returns the last event, which must be a `result`."""
    last = None
    with _line(quiet=quiet) as line:
        for last in events:
            line.tell(last)
    if not isinstance(last, result):
        raise RuntimeError("the run ended without a result")
    return last


def _write(finished: "Finished", *, as_json: bool) -> None:
    if as_json:
        found = {
            "folder": str(finished.folder),
            "report": str(finished.report),
            "before": finished.before,
            "after": finished.after,
        }
        click.echo(json.dumps(found, indent=2))
        return
    names = ("recall@1", "map@r")
    for name in names:
        before, after = finished.before[name], finished.after[name]
        change = f"{100 * before:.1f} % -> {100 * after:.1f} % ({100 * (after - before):+.1f})"
        click.echo(f"held-out {name:9} {change}")
    if finished.after["map@r"] <= finished.before["map@r"]:
        click.echo(f"note: {_NO_BETTER}", err=True)
    click.echo(f"report            {printable(finished.report)}")
    click.echo(f"use it            --model {as_model(finished.folder)}")


def as_model(folder: Path) -> str:
    """What --model takes for a folder: one that is called as a known model is needs its place."""
    from dinoseek.weights.hub import is_built_in, known_model

    name = str(folder)
    return printable(f"./{name}" if known_model(name) or is_built_in(name) else name)


class _Plain:
    """Lines for those who read them later."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet

    def tell(self, event: Any) -> None:
        from dinoseek.train.distill.events import Compared, LeftOut
        from dinoseek.train.events import Started, Stopped, Validated

        match event:
            case LeftOut():
                self._say(_left_out(event.broken))
            case Compared():
                self._say(_compared(event))
            case Started():
                self._say(_started(event.facts, event.step))
            case Validated():
                self._say(_validated(event))
            case Stopped():
                self._say(f"stopped after step {event.step:,}: {event.reason}")

    def _say(self, text: str) -> None:
        if not self._quiet:
            click.echo(text, err=True)


class _Live(_Plain):
    """The same, above a line that moves."""

    def __init__(self, bar: Any) -> None:
        super().__init__(quiet=False)
        self._bar = bar
        self._task = bar.add_task("checking images", total=None, told="")

    def tell(self, event: Any) -> None:
        from dinoseek.train.distill.events import Taught
        from dinoseek.train.events import Checked, Started, Stepped

        match event:
            case Taught():
                self._bar.update(self._task, description="asking the teacher", total=event.total)
                self._bar.update(self._task, completed=event.done)
            case Checked():
                self._bar.update(self._task, total=event.total, advance=1)
            case Started():
                super().tell(event)
                self._bar.reset(self._task, description="learning", total=event.steps)
                self._bar.update(self._task, completed=event.step)
            case Stepped():
                self._bar.update(self._task, completed=event.step, told=_stepped(event))
            case _:
                super().tell(event)

    def _say(self, text: str) -> None:
        self._bar.console.print(text, highlight=False, markup=False)


@contextmanager
def _line(*, quiet: bool) -> Iterator[_Plain]:
    if quiet or not sys.stderr.isatty():
        yield _Plain(quiet=quiet)
        return
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(bar_width=24),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[told]}"),
        progress.TimeRemainingColumn(compact=True),
    )
    with progress.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield _Live(bar)


def _started(facts: Any, step: int) -> str:
    if "teacher" in facts:
        text = (
            f"{facts['pictures']:,} pictures, {facts['held-out pictures']:,} held out; teacher"
            f" {facts['teacher']}; {facts['parameters']:,} parameters, {facts['preprocess']}"
        )
        return f"{text}; goes on after step {step:,}" if step else text
    text = (
        f"{facts['images']:,} images of {facts['classes']:,} classes,"
        f" {facts['held-out images']:,} of {facts['held-out classes']:,} held out;"
        f" {facts['learnt parameters']:,} of {facts['parameters']:,} parameters"
    )
    return f"{text}; goes on after step {step:,}" if step else text


def _stepped(event: "Stepped") -> str:
    return f"loss {event.loss:.3f}  {event.images_per_second:.0f} images/s"


def _compared(event: "Compared") -> str:
    best = "  best so far" if event.is_best else ""
    scores = f"agreement {100 * event.agreement:5.1f} %  cosine {event.cosine:.3f}"
    return f"epoch {event.epoch:<3} {scores}{best}"


def _left_out(broken: "Sequence[tuple[str, DinoseekError]]") -> str:
    told = "; ".join(f"{printable(name)}: {error.reason}" for name, error in broken[:_SHOWN])
    more = f"; and {len(broken) - _SHOWN:,} more" if len(broken) > _SHOWN else ""
    return f"left out {len(broken):,} that cannot be read ({told}{more})"


def _validated(event: "Validated") -> str:
    name = f"epoch {event.epoch}" if event.epoch else "before"
    best = "  best so far" if event.is_best and event.epoch else ""
    scores = f"MAP@R {100 * event.map_at_r:5.1f} %  Recall@1 {100 * event.recall_at_1:5.1f} %"
    return f"{name:9} {scores}{best}"


def _text(value: str | float) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
