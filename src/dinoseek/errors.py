"""What can go wrong that a user can cause, as one tree of exceptions.

    DinoseekError
    ├── UsageError        a flag, a setting or a name that makes no sense         (exit code 2)
    ├── ImageError        one picture that cannot be read                         (3)
    ├── FetchError        one address that cannot be fetched                      (3)
    ├── TrainingError     a run that cannot go on; what it saved is kept          (3)
    ├── MachineError      the machine: a missing file, permission, disk, network  (4)
    ├── WeightsError      a checkpoint that is damaged, incomplete or foreign     (5)
    ├── GalleryError      a gallery that is damaged, newer, or of another model   (5)
    └── DataError         an evaluation's data: damaged, incomplete, or foreign   (5)

Each error has a stable `code` ("image.truncated") for programs, and reads as one line that says
what, why and what to do.
"""

from functools import partial
from typing import Any, ClassVar


class DinoseekError(Exception):
    """Base of all: `subject` is the thing at fault, `reason` why, `fix` what to do about it."""

    exit_code: ClassVar[int] = 2

    def __init__(self, code: str, subject: object, reason: str, *, fix: str = "") -> None:
        self.code = code
        self.subject = printable(subject)
        self.reason = reason
        self.fix = fix
        super().__init__(code, self.subject, reason, fix)

    def __reduce__(self) -> tuple[Any, ...]:
        """How it goes from one process to another, `fix` being given by name."""
        return partial(type(self), fix=self.fix), (self.code, self.subject, self.reason)

    def __str__(self) -> str:
        line = f"{self.subject}: {self.reason}"
        return f"{line}; {self.fix}" if self.fix else line

    def as_dict(self) -> dict[str, str]:
        """The error for `--json`: code, subject, reason, fix."""
        return {
            "code": self.code,
            "subject": self.subject,
            "reason": self.reason,
            "fix": self.fix,
        }


class UsageError(DinoseekError):
    """A flag, setting or name that makes no sense."""

    exit_code = 2


class ImageError(DinoseekError):
    """A picture that cannot be read; the run goes on without it."""

    exit_code = 3


class FetchError(DinoseekError):
    """A picture that cannot be had from the web; the run goes on without it."""

    exit_code = 3


class TrainingError(DinoseekError):
    """A training run that cannot go on by itself; what it saved is kept."""

    exit_code = 3


class MachineError(DinoseekError):
    """Something that the machine lacks or refuses: a file, permission, disk space, a lock."""

    exit_code = 4


class WeightsError(DinoseekError):
    """A checkpoint that is missing tensors, damaged, or of an unknown kind."""

    exit_code = 5


class GalleryError(DinoseekError):
    """A gallery that is damaged, written by a newer version, or made by another model."""

    exit_code = 5


class DataError(DinoseekError):
    """An evaluation's data that is damaged, incomplete, or of another data set."""

    exit_code = 5


def printable(subject: object) -> str:
    """`subject` on one line: control characters and undecodable bytes in names are escaped."""
    text = str(subject)
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode()
        for c in text
    )
