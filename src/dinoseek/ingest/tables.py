"""Tables that name images, a row each: CSV, TSV, JSON Lines and Parquet, read as a stream."""

import io
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path

from dinoseek.errors import UsageError
from dinoseek.ingest import parquet_rows
from dinoseek.ingest.csv_rows import csv_rows
from dinoseek.ingest.json_rows import json_rows
from dinoseek.ingest.lines import EncodingErrors, Lines
from dinoseek.ingest.rows import BadRow, Columns, Row
from dinoseek.ingest.streams import GZIP_FAULTS, open_bytes

_DELIMITERS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
_JSON_LINES = (".jsonl", ".ndjson")
_PARQUET = (".parquet", ".pq")
_TEXTS = (*_DELIMITERS, *_JSON_LINES)

# How the names of tables end; texts may also be packed.
TABLE_SUFFIXES = (*_TEXTS, *(f"{suffix}.gz" for suffix in _TEXTS), *_PARQUET)

_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_NAMED_DELIMITERS = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";"}
_SAMPLE = 1_000_000  # bytes, to estimate how many rows there are

# How files begin that are no text, and what to do with them.
_FOREIGN = (
    (b"PK\x03\x04", "an Excel workbook or a zip file", "save the sheet as CSV, or unpack it"),
    (b"\xd0\xcf\x11\xe0", "an Excel workbook", "save the sheet as CSV"),
    (b"\x1f\x8b", "a gzip file", "its name should end in .gz, as in .csv.gz"),
    (b"PAR1", "a Parquet file", "its name should end in .parquet"),
    (b"(\xb5/\xfd", "a zstd file", "unpack it"),
    (b"BZh", "a bzip2 file", "unpack it"),
    (b"\xfd7zXZ", "an xz file", "unpack it"),
    (b"%PDF", "a PDF file", "save the table as CSV"),
)


@dataclass(frozen=True)
class Table:
    """A table whose rows name images. Its kind is that of its name: see TABLE_SUFFIXES.

    `delimiter` separates the cells of CSV; None: a comma for .csv, a tab for .tsv and .tab.
    `encoding_errors` says what is done about bytes that are no text: "strict" stops, "skip" makes a
    BadRow, "replace" puts U+FFFD into captions and metadata (an address with one is a BadRow).
    """

    path: Path
    columns: Columns = field(default_factory=Columns)
    delimiter: str | None = None
    encoding: str = "utf-8-sig"
    encoding_errors: EncodingErrors = "strict"

    def __post_init__(self) -> None:
        separator = self._separator
        if len(separator) != 1 or separator in '"\r\n':
            reason = "cells are separated by a single character, and no quote"
            raise UsageError("csv.delimiter", self.delimiter, reason, fix="--delimiter tab, say")
        if self.encoding_errors not in ("strict", "skip", "replace"):
            reason = "known are strict, skip and replace"
            raise UsageError("csv.encoding", self.encoding_errors, reason)
        if not _is_text_encoding(self.encoding):
            fix = "utf-8, utf-16, cp1252, latin-1 and gb18030 are some"
            raise UsageError("csv.encoding", self.encoding, "no such encoding", fix=fix)

    @property
    def name(self) -> str:
        """What messages call it."""
        return str(self.path)

    def check(self) -> None:
        """Reads as far as the first row, and raises what `rows` would raise until there.

        MachineError: path.missing, path.unreadable. UsageError: path.not_regular, csv.format,
        csv.column, csv.delimiter, csv.syntax, csv.encoding.
        """
        rows = self.rows()
        next(rows, None)
        rows.close()

    def rows(self) -> Generator[Row | BadRow, None, None]:
        """Its rows in order, good ones and bad ones; memory does not grow with their number.

        Where the table itself is broken, UsageError or MachineError is raised when that place is
        reached.
        """
        if self._kind in _PARQUET:
            yield from parquet_rows.parquet_rows(self.path, self.columns)
            return
        with self._open() as stream:
            self._check_kind(stream)
            lines = Lines(
                stream,
                self.path,
                encoding=self.encoding,
                errors=self.encoding_errors,
                reopen=self._open,
            )
            if self._kind in _JSON_LINES:
                yield from json_rows(lines, self.columns)
            else:
                guessed = self.delimiter is None
                yield from csv_rows(lines, self.columns, self._separator, guessed=guessed)

    def count(self) -> int | None:
        """About how many rows there are, if that is quickly found: for a progress bar."""
        if self._kind in _PARQUET:
            return parquet_rows.parquet_count(self.path)
        if self._packed:
            return None
        with open_bytes(self.path) as stream:
            size = stream.seek(0, 2)
            stream.seek(0)
            sample = stream.read(_SAMPLE)
        ends = sample.count(b"\n") + (len(sample) == size and not sample.endswith(b"\n"))
        headers = int(self.columns.header and self._kind in _DELIMITERS)
        return max(0, round(ends * size / max(1, len(sample))) - headers)

    @property
    def _packed(self) -> bool:
        return self.path.suffix.lower() == ".gz"

    @property
    def _kind(self) -> str:
        """The suffix that says what it is, without .gz."""
        plain = self.path.with_suffix("") if self._packed else self.path
        return plain.suffix.lower()

    @property
    def _separator(self) -> str:
        if self.delimiter is None:
            return _DELIMITERS.get(self._kind, ",")
        return _NAMED_DELIMITERS.get(self.delimiter.lower(), self.delimiter)

    def _open(self) -> io.BufferedReader:
        return open_bytes(self.path, packed=self._packed)

    def _check_kind(self, stream: io.BufferedReader) -> None:
        """Refuses what is no text, whatever its name says."""
        if not self.path.name.lower().endswith(TABLE_SUFFIXES):
            fix = f"known are {', '.join(TABLE_SUFFIXES)}"
            raise UsageError("csv.format", self.path, "its name does not say what it is", fix=fix)
        try:
            start = stream.peek(16)
        except GZIP_FAULTS as exc:
            reason = f"it is no gzip file that can be read ({exc})"
            raise UsageError("csv.format", self.path, reason) from exc
        for magic, kind, fix in _FOREIGN:
            if start.startswith(magic):
                raise UsageError("csv.format", self.path, f"it is {kind}, not text", fix=fix)
        if start.startswith(_UTF16) and self.encoding == "utf-8-sig":
            fix = "--encoding utf-16 reads it"
            raise UsageError("csv.encoding", self.path, "byte 0 and row 1 are UTF-16", fix=fix)


def _is_text_encoding(name: str) -> bool:
    try:
        io.TextIOWrapper(io.BytesIO(), name).read()
    except LookupError:  # also for encodings that are not of text, such as hex
        return False
    return True
