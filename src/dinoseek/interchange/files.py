"""Files of vectors by their suffix: what can be read, what can be written, whole or not at all."""

import errno
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from dinoseek.errors import MachineError, UsageError
from dinoseek.gallery.filters import Filter
from dinoseek.gallery.sqlite_gallery import SqliteGallery
from dinoseek.interchange.exporting import Exported, exported
from dinoseek.interchange.feature_files import from_npy, from_npz
from dinoseek.interchange.feature_writers import write_json, write_npy, write_npz
from dinoseek.interchange.given import Given, check_vectors
from dinoseek.interchange.parquet import from_parquet, write_parquet

SUFFIXES = (".parquet", ".npz", ".npy")


def read_vectors(path: Path, metadata: Path | None = None) -> Given:
    """A file of vectors, all of which can be kept; `metadata` says what the rows of a .npy are.

    Raises UsageError import.* for what is something else, MachineError for what cannot be read.
    """
    match _suffix(path, "import"):
        case ".npy":
            given = from_npy(path, metadata)
        case ".npz":
            given = from_npz(path)
        case _:
            given = from_parquet(path)
    check_vectors(given)
    return given


def export_vectors(
    gallery: SqliteGallery,
    target: Path,
    *,
    space: str | None = None,
    where: Filter | None = None,
    force: bool = False,
) -> int:
    """Writes a space's images and vectors to `target`; returns how many.

    Raises UsageError for a suffix that is none of SUFFIXES, a file that is there already unless
    `force`, and nothing to export.
    """
    suffix = _suffix(target, "export")
    beside = [target.with_suffix(".json")] if suffix == ".npy" else []
    for file in [target, *beside]:
        if os.path.lexists(file) and not force:
            fix = "use --force to replace it"
            raise UsageError("file.exists", file, "is there already", fix=fix)
    with gallery.reading():
        found = exported(gallery, space, where)
        with replacing([target, *beside]) as temporary:
            _write(suffix, target, temporary, found)
    return found.rows


def _write(suffix: str, target: Path, temporary: Sequence[Path], found: Exported) -> None:
    match suffix:
        case ".npy":
            write_npy(temporary[0], found)
            write_json(temporary[1], found)
        case ".npz":
            write_npz(temporary[0], found)
        case _:
            write_parquet(temporary[0], target, found)


def _suffix(path: Path, doing: str) -> str:
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        fix = f"name it {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"
        raise UsageError(f"{doing}.suffix", path, "is no file of vectors", fix=fix)
    return suffix


@contextmanager
def replacing(targets: Sequence[Path]) -> Iterator[list[Path]]:
    """Temporary names beside the targets, whose files take their places if the block succeeds."""
    mark = secrets.token_hex(4)
    temporary = [target.with_name(f".{target.name}.{mark}.part") for target in targets]
    try:
        yield temporary
        for file in temporary:
            _flush(file)
        for file, target in zip(temporary, targets, strict=True):
            file.replace(target)
        if os.name == "posix":  # elsewhere a folder cannot be opened to be synced
            _flush(targets[0].parent)
    except OSError as exc:
        full = exc.errno in (errno.ENOSPC, errno.EDQUOT)
        code, fix = ("disk.full", "free some space") if full else ("export.unwritable", "")
        raise MachineError(code, targets[0], exc.strerror or str(exc), fix=fix) from exc
    finally:
        for file in temporary:
            _quietly(file.unlink)


def _quietly(unlink: Callable[[], None]) -> None:
    try:
        unlink()
    except OSError:
        return


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
