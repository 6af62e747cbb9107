"""The folder of a run: whose it is, what is in it, and whether a new run may begin there."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dinoseek.errors import MachineError, UsageError
from dinoseek.gallery.lock import LOCK, WriterLock
from dinoseek.train import checkpoint, log
from dinoseek.train.config import TrainConfig
from dinoseek.train.data.records import Records

CONFIG, STATE, BEST = "config.yaml", "checkpoints", "checkpoints/best.safetensors"
MODEL, HEAD, ADAPTER = "model.safetensors", "head.safetensors", "adapter"
REPORT, BEFORE, AFTER, CARD = "report.html", "before.json", "after.json", "README.md"
FIRST_BATCH = "first-batch.jpg"

_FILES = (CONFIG, BEST, MODEL, HEAD, REPORT, BEFORE, AFTER, CARD, f"{STATE}/{checkpoint.NAME}",
          f"{STATE}/{checkpoint.BEFORE}", log.LINES, log.TABLE, FIRST_BATCH)  # fmt: skip
_ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")

# What a run may be resumed with although it began with another value.
_FREE = {"output_dir", "num_workers", "device", "report_to", "logging_steps", "save_steps",
         "eval_batch_size"}  # fmt: skip


@contextmanager
def held(folder: Path, *, resume: bool, force: bool) -> Iterator[None]:
    """The folder is this process's alone; MachineError gallery.locked where another trains there.

    UsageError train.exists for one with a run in it, unless that goes on or is to be replaced.
    """
    try:
        (folder / STATE).mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise MachineError("train.unwritable", folder, exc.strerror or str(exc)) from exc
    with WriterLock(folder):
        begun = [name for name in _FILES if name != FIRST_BATCH and (folder / name).exists()]
        if begun and force:
            _clear(folder)
        elif begun and not resume:
            fix = "go on with --resume, begin anew with --force, or name another output_dir"
            raise UsageError("train.exists", folder, f"has a run in it ({begun[0]})", fix=fix)
        elif not begun:
            _refuse_foreign(folder)
        yield


def _clear(folder: Path) -> None:
    """Removes what a run writes, and nothing else."""
    for name in (*_FILES, *(f"{ADAPTER}/{each}" for each in _ADAPTER_FILES)):
        (folder / name).unlink(missing_ok=True)


def _refuse_foreign(folder: Path) -> None:
    others = [each.name for each in folder.iterdir() if each.name not in (LOCK, STATE, FIRST_BATCH)]
    if others:
        fix = "name a new folder as output_dir"
        raise UsageError("train.exists", folder, f"has other files in it ({others[0]})", fix=fix)


def made_from(
    config: TrainConfig, train: Records, held_out: Records, digest: str
) -> dict[str, str]:
    """What a checkpoint belongs to: digests of the settings, the data and the weights."""
    settings = {k: v for k, v in config.as_dict().items() if k not in _FREE}
    settings = {
        k: v for k, v in settings.items() if k not in ("data", "val_data", "image_root", "model")
    }
    return {
        **{f"setting {key}": json.dumps(value) for key, value in settings.items()},
        "training images": _digest(train),
        "held-out images": _digest(held_out),
        "weights": digest,
    }


def _digest(records: Records) -> str:
    text = json.dumps([list(records.images), [str(label) for label in records.labels]])
    return hashlib.sha256(text.encode()).hexdigest()


def refuse_others(saved: checkpoint.Saved, wanted: dict[str, str], folder: Path) -> None:
    """UsageError train.resume for a checkpoint of other settings, data or weights, naming one."""
    for name, value in wanted.items():
        was = saved.made_from.get(name)
        if was != value:
            told = f"({was} then, {value} now)" if name.startswith("setting") else ""
            fix = "resume with what it began with, or begin anew with --force"
            reason = f"the run has another {name.removeprefix('setting ')} {told}".rstrip()
            raise UsageError("train.resume", folder, reason, fix=fix)
