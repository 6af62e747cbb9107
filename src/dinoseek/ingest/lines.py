"""The lines of a text that may be anything: endless, damaged, or in another encoding."""

import codecs
import gzip
import io
import re
from collections.abc import Callable, Iterator
from typing import BinaryIO, Literal, TypeAlias

from dinoseek.errors import UsageError
from dinoseek.ingest.rows import RowError
from dinoseek.ingest.streams import GZIP_FAULTS, unreadable

EncodingErrors: TypeAlias = Literal["strict", "skip", "replace"]
Opener: TypeAlias = Callable[[], io.BufferedReader]

MAX_CELL = 131_072  # characters; what Python's csv module allows too
MAX_ROW = 1_048_576  # characters, quotes and delimiters included
_BLOCK = 65_536
_UNDECODED = re.compile("[\udc80-\udcff]")  # what "surrogateescape" makes of a byte


class RowTooLongError(Exception):
    """A row has more than MAX_ROW characters."""


class Lines:
    """The lines of a text with their ends, for a reader that takes one or several for each row.

    The reader calls `begin` before each row. Then `pieces` has the lines of the row so far, and
    `undecoded` says whether a byte in them is no text. Lines end in LF, CR or both. `reopen` opens
    the same bytes once more, so that an error can say where the first such byte is.
    """

    def __init__(
        self,
        stream: BinaryIO | io.BufferedReader,
        subject: object,
        *,
        encoding: str = "utf-8-sig",
        errors: EncodingErrors = "strict",
        reopen: Opener | None = None,
    ) -> None:
        self.subject = subject
        self.row = 1
        self.number = 0
        self.pieces: list[str] = []
        self.undecoded = False
        self._length = 0  # of the pieces together
        self._encoding = encoding.removesuffix("-sig")
        self._errors, self._reopen = errors, reopen
        self._text = io.TextIOWrapper(stream, encoding, errors="surrogateescape", newline="")

    def begin(self, row: int) -> None:
        """What follows is the row with this number."""
        self.row, self.pieces, self.undecoded = row, [], False
        self._length = 0

    @property
    def first(self) -> int:
        """The number of the line in which the row began, counted from 1."""
        return self.number + 1 - sum(_is_whole(piece) for piece in self.pieces)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        """The next line; RowTooLongError if with it, or a piece of it, the row is too long."""
        line = self.more()
        if not line:
            raise StopIteration
        self.pieces.append(line)
        self._length += len(line)
        if self._length > MAX_ROW:
            raise RowTooLongError
        return line

    def more(self) -> str:
        """A line, or of a very long one the next piece; "" at the end."""
        try:
            line = self._text.readline(MAX_ROW + 1)
        except UnicodeDecodeError as exc:
            raise self._foreign() from exc
        except GZIP_FAULTS as exc:
            raise self._damaged(exc) from exc
        except OSError as exc:
            raise unreadable(self.subject, exc) from exc
        if not self.number:
            line = line.removeprefix("\ufeff")
        self.number += _is_whole(line)
        self.undecoded = self.undecoded or not (line.isascii() or not _UNDECODED.search(line))
        return line

    def check_decoded(self) -> None:
        """Raises for a row with bytes that are no text, as the user chose.

        strict: UsageError, as the encoding is probably another; skip: RowError; replace: nothing.
        """
        if self.undecoded and self._errors == "strict":
            raise self._foreign()
        if self.undecoded and self._errors == "skip":
            raise RowError("csv.encoding", f"it has bytes that are not {self._encoding}")

    def _foreign(self) -> UsageError:
        where = f"row {self.row:,} (line {self.first:,})"
        if self._reopen:
            with self._reopen() as stream:
                where += f", byte {first_undecodable(stream, self._encoding):,}"
        fix = "--encoding names another (cp1252, utf-16, gb18030); --encoding-errors skip goes on"
        raise UsageError("csv.encoding", self.subject, f"{where} is not {self._encoding}", fix=fix)

    def _damaged(self, exc: Exception) -> UsageError:
        if isinstance(exc, gzip.BadGzipFile) and "unpacks" in str(exc):
            fix = "unpack it, if it is what you think"
            return UsageError("csv.format", self.subject, str(exc), fix=fix)
        reason = f"the gzip file is damaged after row {self.row - 1:,} ({exc})"
        return UsageError("csv.format", self.subject, reason, fix="get it again")


def _is_whole(line: str) -> bool:
    return line.endswith(("\n", "\r"))


def first_undecodable(stream: io.BufferedReader, encoding: str) -> int:
    """Where the first byte is that cannot be decoded, counted from 0."""
    decoder = codecs.getincrementaldecoder(encoding)()
    position, block = 0, b"-"
    while block:
        block = stream.read(_BLOCK)
        waiting = len(decoder.getstate()[0])
        try:
            decoder.decode(block, final=not block)
        except UnicodeDecodeError as exc:
            return position - waiting + exc.start
        position += len(block)
    return position
