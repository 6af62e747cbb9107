"""How a long run is shown: a bar on a terminal, nothing in a pipe."""

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def with_progress(
    items: Iterable[T],
    total: Callable[[], int | None] | None,
    label: str,
    *,
    quiet: bool = False,
    counts: Callable[[T], bool] = lambda _: True,
    unit: str = "images/s",
) -> Iterator[T]:
    """Passes `items` on and draws a bar of them on stderr, if that is a terminal.

    `total` is only asked where a bar is drawn; items for which `counts` is false do not move it.
    Without a `unit` it does not say how fast it goes.
    """
    if quiet or not sys.stderr.isatty():
        yield from items
        return
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[rate]}"),
        progress.TimeRemainingColumn(compact=True),
    )
    console = Console(stderr=True)
    with progress.Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(label, total=total() if total else None, rate="")
        for item in items:
            if counts(item):
                bar.advance(task)
                speed = bar.tasks[0].finished_speed or bar.tasks[0].speed
                bar.update(task, rate=f"{speed:.0f} {unit}" if speed and unit else "")
            yield item
