"""The secret by which this user's index files are told from those that others made.

The code that reads an index believes every number in it, so it must only get bytes that this user
wrote. The secret is a file of 32 random bytes outside of all galleries.
"""

import contextlib
import logging
import os
import secrets
import tempfile
from pathlib import Path

import platformdirs

logger = logging.getLogger(__name__)

_LENGTH = 32
_OTHERS_MAY_WRITE = 0o022


def default_path() -> Path:
    """Where the secret of this user is kept; nowhere for a user without a home."""
    try:
        return platformdirs.user_data_path("dinoseek") / "index.key"
    except RuntimeError:
        return Path(os.devnull, "index.key")


def read(path: Path) -> bytes | None:
    """The secret in a file; None if there is none, or if others could have put it there."""
    try:
        with path.open("rb") as file:
            mode, key = os.fstat(file.fileno()).st_mode, file.read(_LENGTH + 1)
    except OSError as exc:
        logger.debug("no key for indexes: %s", exc)
        return None
    if len(key) != _LENGTH or (os.name == "posix" and mode & _OTHERS_MAY_WRITE):
        logger.warning("%s is not used: not %d bytes, or others may write it", path, _LENGTH)
        return None
    return key


def make(path: Path) -> bytes | None:
    """The secret in a file, made if there is none; None where that cannot be done."""
    if not path.exists():
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _create(path)
        except OSError as exc:
            logger.warning("no key for indexes can be kept in %s: %s", path, exc)
            return None
    return read(path)


def _create(path: Path) -> None:
    """Puts a new secret there at once and whole, unless another process is quicker."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(_LENGTH))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(temporary)
    finally:
        temporary.unlink(missing_ok=True)
