"""vembed-factory's list: a line of JSON for each query, with its positive and perhaps negatives.

Keys are query_image, positive, label, negatives and super_label; image stands for query_image, and
class_id or id for label. Without labels, images that are joined by pairs show one thing.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dinoseek.errors import DataError, MachineError, printable
from dinoseek.weights.save import replacing

_QUERY = ("query_image", "image")
_LABEL = ("label", "class_id", "id")
_FIRST = 1_000_000  # bytes within which the first line must end to be looked at


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """n images, each once, with labels (n,); `negatives` of a row are rows of other labels."""

    images: list[str]
    labels: list[str]
    super_labels: list[str] | None
    negatives: Mapping[int, Sequence[int]]


@dataclass(kw_only=True)
class _Reading:
    """What was found in the lines so far."""

    path: Path
    rows: dict[str, int] = field(default_factory=dict)
    labels: dict[int, str] = field(default_factory=dict)
    supers: dict[int, str] = field(default_factory=dict)
    negatives: dict[int, list[int]] = field(default_factory=dict)
    joined: list[tuple[int, int, int]] = field(default_factory=list)  # two rows, by which line

    def row(self, image: str) -> int:
        return self.rows.setdefault(image, len(self.rows))

    def put(self, into: dict[int, str], row: int, text: str, number: int) -> None:
        """Gives an image a label; DataError where another line gave it another."""
        if into.setdefault(row, text) != text:
            name = next(image for image, each in self.rows.items() if each == row)
            reason = f"line {number}: {printable(name)} is {text}, and {into[row]} in a line before"
            raise _conflict(self.path, reason)


def is_pairs_file(path: Path) -> bool:
    """Whether a file is such a list: JSON lines, the first of which has a positive."""
    if path.suffix.lower() != ".jsonl" or not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            lines = iter(lambda: file.readline(_FIRST), b"")
            found = json.loads(next((line for line in lines if line.strip()), b""))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and "positive" in found


def read_pairs(path: Path) -> Pairs:
    """The images of a list; a negative that has the label of its query is left out.

    Raises DataError train.data.row and train.data.conflict that name the line.
    """
    reading = _Reading(path=path)
    for number, line in _lines(path):
        _add(reading, number, line)
    labels = _labels(reading)
    supers = [reading.supers.get(row, "") for row in range(len(labels))]
    return Pairs(
        images=list(reading.rows),
        labels=labels,
        super_labels=supers if reading.supers else None,
        negatives=_negatives(reading, labels),
    )


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, by number; a file is split where JSON ends lines, at \\n."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            yield from ((i, line) for i, line in enumerate(file, start=1) if line.strip())
    except UnicodeDecodeError as exc:
        fix = "save it as UTF-8"
        raise DataError("train.data.format", path, "it is no text in UTF-8", fix=fix) from exc
    except OSError as exc:
        reason = exc.strerror or str(exc)
        fix = "check its permissions"
        raise MachineError("train.data.missing", path, reason, fix=fix) from exc


def _add(reading: _Reading, number: int, line: str) -> None:
    record = _parsed(reading.path, number, line)
    query = _image(reading.path, number, record, _QUERY)
    positive = _image(reading.path, number, record, ("positive",))
    rows = [reading.row(query), reading.row(positive)]
    label = _text(reading.path, number, record, _LABEL)
    kind = _text(reading.path, number, record, ("super_label",))
    if label is None:
        reading.joined.append((rows[0], rows[1], number))
    for row in rows:
        if label is not None:
            reading.put(reading.labels, row, label, number)
        if kind is not None:
            reading.put(reading.supers, row, kind, number)
    negatives = record.get("negatives") or []
    if not isinstance(negatives, list):
        raise _bad(reading.path, number, "negatives is no list", "write [] where there are none")
    for name in negatives:
        other = reading.row(_image(reading.path, number, {"negatives": name}, ("negatives",)))
        reading.negatives.setdefault(rows[0], []).append(other)


def _parsed(path: Path, number: int, line: str) -> dict[str, Any]:
    fix = "each line is a JSON object with query_image and positive"
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as exc:
        raise _bad(path, number, "it is no JSON", fix) from exc
    if not isinstance(record, dict):
        raise _bad(path, number, "it is no object", fix)
    return record


def _first(record: Mapping[str, Any], keys: Sequence[str]) -> Any:
    return next((record[key] for key in keys if record.get(key) is not None), None)


def _text(path: Path, number: int, record: Mapping[str, Any], keys: Sequence[str]) -> str | None:
    """A label as text; None where there is none."""
    found = _first(record, keys)
    if found is not None and (isinstance(found, bool) or not isinstance(found, str | int)):
        reason = f"{keys[0]} is {str(found)[:40]!r}"
        raise _bad(path, number, reason, "a label is a text or a whole number")
    return None if found is None else str(found)


def _image(path: Path, number: int, record: Mapping[str, Any], keys: Sequence[str]) -> str:
    """An image's path as it is always written, so that ./a.jpg and a.jpg are one image."""
    found = _first(record, keys)
    if not isinstance(found, str) or not found:
        raise _bad(path, number, f"it has no {keys[0]}", f"{keys[0]} is the path of an image")
    image = Path(found)
    if ".." in image.parts:  # whole paths are fine: the list is the user's own
        fix = "paths are relative to image_root, and below it"
        raise _bad(path, number, f"{printable(found)} leads out of the folder", fix)
    return image.as_posix()


def _labels(reading: _Reading) -> list[str]:
    """A label for each row: the given one, or that of the images it is joined with."""
    parents = list(range(len(reading.rows)))

    def top(row: int) -> int:
        while parents[row] != row:
            parents[row] = parents[parents[row]]  # halves the way for the next one
            row = parents[row]
        return row

    given = dict(reading.labels)
    for one, other, number in reading.joined:
        first, second = sorted((top(one), top(other)))
        label = given.get(second)
        if label is not None and given.setdefault(first, label) != label:
            reason = f"line {number}: it joins images of the labels {given[first]} and {label}"
            raise _conflict(reading.path, reason)
        parents[second] = first
    alone = "alone"
    while any(label.startswith(alone) for label in given.values()):
        alone = f"_{alone}"  # so that no one's own label is taken
    return [given.get(top(row), f"{alone} {top(row)}") for row in range(len(parents))]


def _negatives(reading: _Reading, labels: Sequence[str]) -> dict[int, list[int]]:
    """Each once, and only those of other labels."""
    found = {
        row: [other for other in dict.fromkeys(others) if labels[other] != labels[row]]
        for row, others in reading.negatives.items()
    }
    return {row: others for row, others in found.items() if others}


def write_pairs(
    path: Path,
    images: Sequence[str],
    labels: Sequence[str],
    super_labels: Sequence[str] | None = None,
    *,
    negatives: Sequence[Sequence[int]] = (),
    root: Path | None = None,
    seed: int = 0,
) -> int:
    """Writes a list: each image with another of its label by chance; returns how many lines.

    An image that is alone has no line. `negatives` are rows for each row. Paths are as they are, or
    absolute where the images' `root` is not the list's folder. MachineError where the disk refuses.
    """
    if root is not None and root.resolve() != path.parent.resolve():
        images = [str((root / image).resolve()) for image in images]
    rng, lines = np.random.default_rng(seed), []
    for row, positive in _partners(labels, rng):
        record: dict[str, Any] = {"query_image": images[row], "positive": images[positive]}
        record["label"] = labels[row]
        if super_labels is not None:
            record["super_label"] = super_labels[row]
        if negatives:
            record["negatives"] = [images[each] for each in negatives[row]]
        lines.append(json.dumps(record) + "\n")  # ASCII: a name may have bytes that are no text
    _write(path, lines)
    return len(lines)


def _partners(labels: Sequence[str], rng: np.random.Generator) -> Iterator[tuple[int, int]]:
    """Each row that is not alone with another of its label."""
    members: dict[str, list[int]] = {}
    places = []
    for row, label in enumerate(labels):
        own = members.setdefault(label, [])
        places.append(len(own))
        own.append(row)
    for row, (label, place) in enumerate(zip(labels, places, strict=True)):
        if len(members[label]) > 1:
            drawn = int(rng.integers(len(members[label]) - 1))
            yield row, members[label][drawn + (drawn >= place)]  # all but itself


def _write(path: Path, lines: Sequence[str]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise MachineError("train.unwritable", path, exc.strerror or str(exc)) from exc
    with replacing(path) as temporary:
        temporary.write_text("".join(lines), encoding="utf-8")


def _bad(path: Path, number: int, reason: str, fix: str) -> DataError:
    return DataError("train.data.row", path, f"line {number}: {reason}", fix=fix)


def _conflict(path: Path, reason: str) -> DataError:
    return DataError("train.data.conflict", path, reason, fix="give each image one label")
