"""Clearing duplicates away: what would be done, and doing it, file by file, each checked before."""

import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Literal, TypeAlias

from dinoseek.duplicates import disk
from dinoseek.duplicates.groups import Group
from dinoseek.duplicates.keeper import elsewhere
from dinoseek.errors import DinoseekError, ImageError, UsageError, printable
from dinoseek.gallery.choices import FileKey, discards, key_of, put_choices
from dinoseek.gallery.holdings import Copy, folders, touched
from dinoseek.gallery.roots import slashed
from dinoseek.gallery.sqlite_gallery import SqliteGallery
from dinoseek.gallery.writer import Writer

Kind: TypeAlias = Literal["move", "hardlink", "delete"]
Status: TypeAlias = Literal["planned", "done", "skipped"]


@dataclass(frozen=True, kw_only=True)
class Action:
    """What to do with the files that need not be kept; `folder` is where to move them."""

    kind: Kind
    folder: Path | None = None

    def __post_init__(self) -> None:
        if (self.kind == "move") != (self.folder is not None):
            raise ValueError("a folder is for moving, and moving needs one")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one file, or would: `target` is where it is moved, or what it is linked to.

    If it was skipped, `code` and `reason` say why.
    """

    copy: Copy
    action: Kind
    status: Status
    target: str | None = None
    code: str | None = None
    reason: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The outcome for `--json`."""
        return {
            "path": self.copy.shown,
            "action": self.action,
            "status": self.status,
            "target": self.target,
            "code": self.code,
            "reason": self.reason,
        }


def plan(
    gallery: SqliteGallery, groups: Sequence[Group], action: Action, *, chosen: bool = False
) -> Iterator[Outcome]:
    """What `perform` would do; nothing is touched."""
    _check(gallery, groups, action, chosen=chosen)
    taken: set[Path] = set()
    for group in groups:
        for member in group.spare:
            yield _planned(member.copy, group.keeper.copy, action, taken)


def perform(
    gallery: SqliteGallery, groups: Sequence[Group], action: Action, *, chosen: bool = False
) -> Iterator[Outcome]:
    """Moves, links or deletes what need not be kept of groups; yields what became of each file.

    Right before a file is touched, it and the file to keep are read once more: if either is not
    what the gallery knows, it is skipped. The gallery forgets what is no longer there. If the
    consumer stops early, nothing further is touched. `chosen` says that the groups are of files
    that a person discarded: one that is not discarded any more is skipped, and so is one whose
    keeper is.

    Raises UsageError if the action makes no sense for the groups, MachineError if the gallery
    cannot be written to.
    """
    _check(gallery, groups, action, chosen=chosen)
    with gallery.writing() as writer:
        said = discards(gallery) if chosen else None  # nobody can change them from here on
        try:
            for group in groups:
                for member in group.spare:
                    pair = (member.copy, group.keeper.copy)
                    yield _performed(gallery, writer, *pair, action, said)
        finally:
            writer.prune()


def freed_bytes(groups: Iterable[Group]) -> int:
    """How many bytes the disk gets back when all files go that need not be kept.

    A file with several names on the disk only counts if all of them go.
    """
    names: Counter[tuple[int, int]] = Counter()
    sizes: dict[tuple[int, int], tuple[int, int]] = {}
    for copy in (member.copy for group in groups for member in group.spare):
        try:
            status = os.lstat(copy.file or "")
        except OSError:
            continue
        key = (status.st_dev, status.st_ino)
        names[key] += 1
        sizes[key] = (status.st_size, status.st_nlink)
    return sum(size for key, (size, links) in sizes.items() if names[key] >= links)


def _check(
    gallery: SqliteGallery, groups: Sequence[Group], action: Action, *, chosen: bool
) -> None:
    levels = {group.level for group in groups}
    if action.kind == "hardlink" and levels - {"exact"}:
        fix = "use it with --level exact"
        raise UsageError("dupes.hardlink", "--hardlink", "is for files of the same bytes", fix=fix)
    if action.kind == "delete" and "similar" in levels and not chosen:
        reason = "is not for similar images, which are different pictures"
        raise UsageError("dupes.delete", "--delete", reason, fix="use --move-to")
    if action.folder is not None:
        _check_folder(gallery, action.folder)


def _check_folder(gallery: SqliteGallery, folder: Path) -> None:
    """Refuses a folder that is indexed: what is moved there would come back as a duplicate."""
    path = slashed(folder) + b"/"
    around = [root for root in folders(gallery) if root and path.startswith(root + b"/")]
    if around or path.startswith(slashed(gallery.path) + b"/"):
        inside = printable(os.fsdecode(around[0])) if around else "the gallery"
        reason = f"it is inside {inside}, which is indexed" if around else "it is the gallery's own"
        raise UsageError("dupes.move_to", folder, reason, fix="name a folder outside")
    if folder.exists() and not folder.is_dir():
        raise UsageError("dupes.move_to", folder, "it is a file, not a folder")


def _planned(copy: Copy, keeper: Copy, action: Action, taken: set[Path]) -> Outcome:
    try:
        _keeper_file(keeper)
        target = None
        if action.folder is not None:
            target = disk.free_name(action.folder / _name(copy), taken)
            taken.add(target)
    except DinoseekError as exc:
        return _skipped(copy, action, exc)
    shown = keeper.shown if action.kind == "hardlink" else _shown(target)
    return Outcome(copy=copy, action=action.kind, status="planned", target=shown)


def _performed(
    gallery: SqliteGallery,
    writer: Writer,
    copy: Copy,
    keeper: Copy,
    action: Action,
    said: Collection[FileKey] | None,
) -> Outcome:
    try:
        if said is not None:
            _check_choices(copy, keeper, said)
        target = _act(gallery, writer, copy, keeper, action)
    except DinoseekError as exc:
        return _skipped(copy, action, exc)
    return Outcome(copy=copy, action=action.kind, status="done", target=_shown(target))


def _check_choices(copy: Copy, keeper: Copy, discarded: Collection[FileKey]) -> None:
    if key_of(copy) not in discarded:
        raise ImageError("dupes.kept", copy.shown, "it is not discarded any more")
    if key_of(keeper) in discarded:
        raise ImageError("dupes.keeper", keeper.shown, "the one to keep is discarded too")


def _act(
    gallery: SqliteGallery, writer: Writer, copy: Copy, keeper: Copy, action: Action
) -> Path | None:
    kept = _keeper_file(keeper)
    file = copy.file
    if file is None:
        raise ValueError(f"{copy.shown} is not a file of its own")
    status = disk.verified(file, copy.digest)
    disk.check_time(file, status, copy.mtime_ns)
    if os.path.samestat(status, disk.verified(kept, keeper.digest)):
        raise ImageError("dupes.same_file", file, "it is the file to keep, by another name")
    if action.kind == "hardlink":
        linked = disk.link(file, status, kept)
        touched(gallery, copy, linked.st_size, linked.st_mtime_ns)
        put_choices(gallery, {key_of(copy): None})  # its bytes went, and its name stays
        return kept
    target = None
    if action.folder is not None:
        target = disk.move(file, status, action.folder, _name(copy), copy.digest)
    else:
        disk.delete(file, status)
    writer.forget(copy.root, copy.path)
    return target


def _keeper_file(keeper: Copy) -> Path:
    if keeper.file is None:
        reason = f"the one to keep is {elsewhere(keeper)}, where it cannot be checked"
        raise ImageError("dupes.keeper", keeper.shown, reason)
    return keeper.file


def _shown(target: Path | None) -> str | None:
    return None if target is None else printable(target)


def _name(copy: Copy) -> PurePath:
    """The way from its root to a file, if it stays inside."""
    name = PurePath(os.fsdecode(copy.path))
    if name.is_absolute() or ".." in name.parts or not name.parts:
        raise ImageError("path.outside", copy.shown, "its path leads out of its folder")
    return name


def _skipped(copy: Copy, action: Action, exc: DinoseekError) -> Outcome:
    reason = f"{exc.reason}; {exc.fix}" if exc.fix else exc.reason
    if exc.subject != copy.shown:
        reason = f"{exc.subject}: {reason}"
    return Outcome(copy=copy, action=action.kind, status="skipped", code=exc.code, reason=reason)
