"""Images that a list names, one row each: which of them must be fetched or read."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Protocol

from dinoseek.errors import FetchError
from dinoseek.gallery.base import WEB
from dinoseek.gallery.descriptions import Description
from dinoseek.gallery.roots import slashed
from dinoseek.gallery.writer import Writer
from dinoseek.ingest.address import normalised
from dinoseek.ingest.lines import EncodingErrors
from dinoseek.ingest.listing import Listing
from dinoseek.ingest.outcomes import Failed, Item, Outcome, Skipped
from dinoseek.ingest.plan import Options, of_address, of_file
from dinoseek.ingest.rows import BadRow, Columns, Row
from dinoseek.ingest.steps import Described, Settled, Step, Task
from dinoseek.ingest.streams import open_bytes
from dinoseek.ingest.tables import TABLE_SUFFIXES, Table

LIST_SUFFIXES = (*TABLE_SUFFIXES, ".txt")

_SETTLED_AT_ONCE = 256


class Rows(Protocol):
    """A list that can be read row by row; `name` is what messages call it."""

    @property
    def name(self) -> str: ...
    def check(self) -> None:
        """Raises MachineError or UsageError if it cannot be read."""

    def rows(self) -> Iterable[Row | BadRow]: ...
    def count(self) -> int | None:
        """How many rows there are, if that is quickly found."""


@dataclass(frozen=True)
class ListSource:
    """The images of a list. Relative paths in it are relative to `folder`."""

    list: Rows
    folder: Path

    def check(self) -> None:
        """Raises MachineError or UsageError if the list cannot be read."""
        self.list.check()

    def count(self, _exclude: Path | None = None) -> int | None:
        """How many rows there are, if that is quickly found."""
        return self.list.count()


@dataclass(frozen=True)
class FailedBefore:
    """What could not be embedded in earlier runs, wherever it came from."""

    def check(self) -> None:
        """Nothing can be wrong with it."""

    def count(self, _exclude: Path | None = None) -> int | None:
        return None


@dataclass(frozen=True)
class _Addresses:
    """Addresses that were named one by one."""

    urls: Sequence[str]
    name: str = "addresses"

    def check(self) -> None:
        """Each is checked when its turn comes."""

    def rows(self) -> Iterable[Row | BadRow]:
        return (Row(number=number, url=url) for number, url in enumerate(self.urls, 1))

    def count(self) -> int | None:
        return len(self.urls)


def from_table(
    path: str | Path,
    *,
    columns: Columns | None = None,
    delimiter: str | None = None,
    encoding: str | None = None,
    encoding_errors: EncodingErrors = "strict",
) -> ListSource:
    """The images that a table names: .csv .tsv .jsonl .parquet, or .txt with one a line.

    See `Columns` for which column is what. Paths are relative to the table's folder. Raises
    MachineError or UsageError for a table that cannot be read.
    """
    file = Path(path)
    rows: Rows
    if file.name.lower().endswith(".txt"):
        rows = Listing(open_bytes(file), str(file), columns or Columns(), encoding_errors)
    else:
        rows = Table(
            file,
            columns or Columns(),
            delimiter,
            encoding or "utf-8-sig",
            encoding_errors,
        )
    source = ListSource(rows, file.absolute().parent)
    source.check()
    return source


def from_stream(
    stream: BinaryIO, folder: str | Path = ".", *, columns: Columns | None = None
) -> ListSource:
    """The images that a stream of bytes names: a path or an address a line, or JSON lines.

    It can be read once. Relative paths are relative to `folder`.
    """
    return ListSource(Listing(stream, columns=columns or Columns()), Path(folder))


def from_addresses(urls: Iterable[str]) -> ListSource:
    """The images at these addresses."""
    return ListSource(_Addresses(tuple(urls)), Path())


def list_steps(source: ListSource, writer: Writer, options: Options) -> Iterator[Step]:
    """What is to be done for each row of a list, in its order."""
    places = _Places(source.folder, writer)
    return grouped(_of_row(row, source, places, writer, options) for row in source.list.rows())


def failed_steps(writer: Writer) -> Iterator[Step]:
    """What is to be done for everything that failed in earlier runs: all of it once more."""
    for root, path, said in writer.failed():
        item = Item(root=root, path=path) if root == WEB else file_item(root, path)
        yield Task(item=described_by(item, said), state=writer.state(root, path))


def grouped(steps: Iterable[Step | Outcome]) -> Iterator[Step]:
    """Outcomes among the steps, many at a time."""
    settled: list[Outcome] = []
    for step in steps:
        if isinstance(step, Skipped | Failed):
            settled.append(step)
        if settled and (step is not settled[-1] or len(settled) == _SETTLED_AT_ONCE):
            yield Settled(outcomes=settled)
            settled = []
        if not isinstance(step, Skipped | Failed):
            yield step  # type: ignore[misc]
    if settled:
        yield Settled(outcomes=settled)


def described_by(item: Item, said: Description | None) -> Item:
    """The item with what a list says of it."""
    if said is None:
        return item
    return replace(item, caption=said.caption, metadata=said.metadata, row=said.row)


def file_item(root: str, path: bytes) -> Item:
    """A file with its size and time; zero if it cannot be asked: reading it will say why."""
    try:
        status = Path(root, os.fsdecode(path)).stat()
    except (OSError, ValueError):  # ValueError: a null byte
        return Item(root=root, path=path)
    return Item(root=root, path=path, size=status.st_size, mtime_ns=status.st_mtime_ns)


class _Places:
    """Which root and path a row's path means: the innermost root around it.

    Where there is none it is the list's folder, or else the whole file system; they become roots
    with the first file that needs them.
    """

    def __init__(self, folder: Path, writer: Writer) -> None:
        self._folder = slashed(folder)
        self._roots = sorted(writer.roots(), key=len, reverse=True)

    def of(self, path: str) -> tuple[str, bytes]:
        joined = os.path.join(os.fsdecode(self._folder), path)  # noqa: PTH118
        full = os.fsencode(Path(os.path.normpath(joined)).as_posix())
        anchor = os.fsencode(Path(os.fsdecode(full)).anchor).rstrip(b"/")
        for root in (*self._roots, self._folder, anchor):
            if full.startswith(root + b"/"):
                return os.fsdecode(root or b"/"), full[len(root) + 1 :]
        raise ValueError(f"{path} is nowhere")


def _of_row(
    row: Row | BadRow, source: ListSource, places: _Places, writer: Writer, options: Options
) -> Step | Outcome:
    if isinstance(row, BadRow):
        item = Item(root=source.list.name, path=b"row %d" % row.number)
        return Failed(item, row.code, row.reason)
    said = Description(caption=row.caption, metadata=row.metadata, row=row.number)
    if row.url is not None:
        try:
            item = Item(root=WEB, path=normalised(row.url).encode())
        except FetchError as exc:
            raw = row.url.encode("utf-8", "backslashreplace")
            return Failed(Item(root=WEB, path=raw), exc.code, exc.reason)
        return decided(described_by(item, said), writer, options)
    return decided(described_by(file_item(*places.of(row.path or "")), said), writer, options)


def decided(item: Item, writer: Writer, options: Options) -> Step | Outcome:
    """What to do with an item of a list, by what the gallery knows of it."""
    state = writer.state(item.root, item.path)
    step = (of_address if item.url else of_file)(item, state, options)
    if isinstance(step, Task) and not writer.offer(item.root, item.path):
        return Skipped(item, "repeated")
    if isinstance(step, Skipped) and step.reason == "unchanged":
        said = Description(caption=item.caption, metadata=item.metadata, row=item.row)
        if writer.is_news(item.root, item.path, said):
            return Described(task=Task(item=item, state=state))
    return step
