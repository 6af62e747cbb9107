"""Indexing runs that were started from the page: how the present one goes, how the last ended."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from django.utils import timezone

from dinoseek.web.finder import shown
from dinoseek.web.finder.models import IndexingRun
from dinoseek.web.now import service

if TYPE_CHECKING:
    from dinoseek.web.live.jobs import JobState

_KEPT = 50


def start(source: Path) -> None:
    """Starts a run; UsageError if one goes on."""
    service().jobs.start(source)
    IndexingRun.objects.create(source=str(source), state="running", started=timezone.now())
    for run in IndexingRun.objects.order_by("-started")[_KEPT:]:
        run.delete()


def now_running() -> shown.Job | None:
    """The run that goes on, or the last one since the server was started."""
    state = service().jobs.state()
    run = IndexingRun.objects.order_by("-started").first()
    if state is None or run is None:
        return None
    if state.finished is not None and run.finished is None:
        _settle(run, state)
    return _job(run, state)


def latest(count: int) -> list[IndexingRun]:
    """The last runs, the latest first."""
    return list(IndexingRun.objects.order_by("-started")[:count])


def interrupt_old() -> None:
    """What was running when the server ended was interrupted: running it again goes on."""
    IndexingRun.objects.filter(state="running").update(state="interrupted", finished=timezone.now())


def _settle(run: IndexingRun, state: "JobState") -> None:
    run.state, run.error = state.state, state.error
    run.finished = datetime.fromtimestamp(state.finished or 0, UTC)
    run.counts = _counts(state)
    run.save()


def _counts(state: "JobState") -> dict[str, int]:
    summary = state.summary
    return {
        "done": summary.total,
        "stored": summary.stored,
        "skipped": summary.skipped,
        "duplicates": summary.duplicates,
        "failed": summary.failed,
    }


def as_shown(run: IndexingRun) -> shown.Job:
    """A run of the past."""
    counts = dict.fromkeys(("done", "stored", "skipped", "duplicates", "failed"), 0)
    return shown.Job(
        number=run.pk,
        source=run.source,
        state=run.state,
        started=run.started,
        finished=run.finished,
        total=None,
        error=run.error,
        **{**counts, **run.counts},
    )


def _job(run: IndexingRun, state: "JobState") -> shown.Job:
    done, total = state.summary.total, state.total
    return shown.Job(
        number=run.pk,
        source=run.source,
        state=state.state,
        started=run.started,
        finished=run.finished,
        total=total,
        failures=tuple(state.failures),
        error=state.error,
        percent=min(100, 100 * done // total) if total else None,
        **_counts(state),
    )
