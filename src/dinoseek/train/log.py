"""What a run tells of itself: a line of JSON for each step and validation, and the same as CSV."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dinoseek.errors import DinoseekError, MachineError, UsageError
from dinoseek.train.config import Tracker
from dinoseek.weights.save import replacing

LINES, TABLE = "log.jsonl", "log.csv"
COLUMNS = ("step", "epoch", "loss", "learning_rate", "gradient_norm", "images_per_second",
           "map_at_r", "recall_at_1")  # fmt: skip

Values = Mapping[str, float | int]


class Log:
    """The log of the run in `folder`; it forgets steps after `step`, validations after `validated`.

    Those come again, once a run goes on after a checkpoint. The table has `columns`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        step: int,
        validated: int,
        trackers: Sequence[Tracker] = (),
        columns: Sequence[str] = COLUMNS,
    ) -> None:
        self._columns = columns
        self._path = folder / LINES
        self._table = folder / TABLE
        kept = [
            line
            for line in read_log(folder)
            if line["step"] <= (step if "loss" in line else validated)
        ]
        self._write(self._path, "".join(f"{json.dumps(line)}\n" for line in kept))
        self._others = [_tracker(name, folder) for name in trackers]

    def add(self, values: Values) -> None:
        """Adds a line, which is on the disk when it returns, whatever becomes of the process."""
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(dict(values)) + "\n")
        except OSError as exc:
            raise _unwritable(self._path, exc) from exc
        for tracker in self._others:
            tracker(values)

    def tabulate(self) -> None:
        """Writes the table anew."""
        text = io.StringIO()
        writer = csv.DictWriter(text, self._columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(read_log(self._path.parent))
        self._write(self._table, text.getvalue())

    @staticmethod
    def _write(path: Path, text: str) -> None:
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's log; a last one that was cut off is left out."""
    path = folder / LINES
    if not path.exists():
        return []
    lines = []
    for text in path.read_text("utf-8").splitlines():
        try:
            lines.append(json.loads(text))
        except ValueError:
            break
    return [line for line in lines if isinstance(line, dict) and "step" in line]


def _tracker(name: Tracker, folder: Path) -> Any:
    """A function that takes the values of a step; DinoseekError where the tracker is not here."""
    if name == "tensorboard":
        return _tensorboard(folder)
    return _wandb(folder)


def _tensorboard(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415  an extra
    except ImportError as exc:
        raise _missing("tensorboard") from exc
    writer = SummaryWriter(str(folder / "tensorboard"))

    def add(values: Values) -> None:
        for key, value in values.items():
            if key not in ("step", "epoch"):
                writer.add_scalar(f"train/{key}", value, values["step"])
        writer.flush()

    return add


def _wandb(folder: Path) -> Any:
    try:
        import wandb  # noqa: PLC0415  an extra
    except ImportError as exc:
        raise _missing("wandb") from exc
    run = wandb.init(dir=str(folder), name=folder.name)

    def add(values: Values) -> None:
        run.log({k: v for k, v in values.items() if k != "step"}, step=int(values["step"]))

    return add


def _missing(name: str) -> DinoseekError:
    fix = f"pip install 'dinoseek[{name}]', or leave it out of report_to"
    return UsageError("train.tracker", name, "is not installed", fix=fix)


def _unwritable(path: Path, exc: OSError) -> MachineError:
    fix = "check the folder and the space on the disk, then run the same command with --resume"
    return MachineError("train.unwritable", path, exc.strerror or str(exc), fix=fix)
