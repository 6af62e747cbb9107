"""WebDataset shards: the images in a tar archive, with the captions and metadata beside them."""

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from dinoseek.errors import ImageError, UsageError
from dinoseek.gallery.base import JSON
from dinoseek.images.limits import DEFAULT_LIMITS, Limits, check_bytes
from dinoseek.ingest.rows import RowError, caption_of, jsonable, number_or_text
from dinoseek.ingest.sources import SUFFIXES
from dinoseek.ingest.streams import open_bytes, unreadable
from dinoseek.ingest.tar import Entry, Tape, TarError, entries

SHARD_SUFFIXES = (".tar", ".tar.gz", ".tgz")

_SIDES = (b"json", b"txt", b"caption", b"cls")  # what follows the key
_MAX_SIDE = 1_048_576  # bytes
_MAX_IMAGES = 100  # of one key; more are taken for another one's
_KEY = re.compile(rb"((?:.*/)?[^./][^./]*)\.([^/]*)", re.DOTALL)  # no key begins with a point


@dataclass(frozen=True, kw_only=True)
class Member:
    """An image in an archive. `read` gives its bytes, in any thread, as long as it is unchanged.

    `key` is its name up to the first point of the last part; `mtime_ns` is the archive's.
    """

    key: bytes
    name: bytes
    size: int
    mtime_ns: int
    caption: str | None
    metadata: Mapping[str, JSON]
    read: Callable[[], bytes] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class BadMember:
    """A member that cannot be had, and why; "./" stands for all that would have followed.

    Codes: shard.truncated, shard.damaged, shard.name, shard.side, path.not_regular, image.empty,
    image.too_large_bytes.
    """

    name: bytes
    code: str
    reason: str


@dataclass
class _Group:
    """The files of one key: its images, with their data if they cannot be read later."""

    key: bytes
    images: list[tuple[Entry, bytes | None]] = field(default_factory=list)
    captions: dict[bytes, str] = field(default_factory=dict)  # by what follows the key
    metadata: dict[str, JSON] = field(default_factory=dict)
    described: int = 0  # bytes of the files that gave captions and metadata

    def is_full(self, limits: Limits) -> bool:
        """Whether it is time to let go of it, whatever comes next."""
        held = sum(len(data or b"") for _, data in self.images)
        return len(self.images) >= _MAX_IMAGES or held > limits.max_bytes


@dataclass(frozen=True)
class Shard:
    """A tar archive of images, plain or packed by gzip. Nothing of it is ever written to disk.

    An image has a name that ends as those of `sources.SUFFIXES`; hidden ones are left out. Of the
    same key, KEY.txt or KEY.caption is the caption, KEY.json an object of metadata (its "caption"
    serves where there is no other), KEY.cls a class; they follow or precede the image directly.
    """

    path: Path
    limits: Limits = DEFAULT_LIMITS

    @property
    def name(self) -> str:
        """What messages call it."""
        return str(self.path)

    @property
    def packed(self) -> bool:
        """Whether it must be unpacked from the beginning to reach any member."""
        return self.path.suffix.lower() in (".gz", ".tgz")

    def check(self) -> None:
        """Raises MachineError path.missing or path.unreadable, UsageError path.not_regular, or
        shard.format if it is no archive.
        """
        if not self.path.name.lower().endswith(SHARD_SUFFIXES):
            fix = f"known are {', '.join(SHARD_SUFFIXES)}"
            raise UsageError("shard.format", self.path, "its name is not an archive's", fix=fix)
        try:
            with self._tape() as tape:
                next(entries(tape), None)
        except TarError as exc:
            if exc.code == "shard.format":
                raise UsageError(exc.code, self.path, exc.reason) from exc

    def members(self) -> Iterator[Member | BadMember]:
        """The images in the order of the archive; where it is cut off, a BadMember is the last.

        Names may repeat: the first counts, here and in `read_member`. Of a packed archive the bytes
        of an image are held until its Member is forgotten.
        """
        with self._tape() as tape:
            state = _state(self.path)
            for group in self._groups(tape):
                if isinstance(group, BadMember):
                    yield group
                else:
                    yield from self._members(group, state)

    def count(self) -> int | None:
        """How many images there are, if that is quickly found."""
        if self.packed:
            return None
        found = 0
        with self._tape() as tape, suppress(TarError):
            for entry in entries(tape):
                found += _is_image(entry.name)
        return found

    def _groups(self, tape: Tape) -> Iterator[_Group | BadMember]:
        group = _Group(b"")
        try:
            for entry in entries(tape):
                if not _is_image(entry.name) and not _is_side(entry.name):
                    continue
                if (key := _key(entry.name)) != group.key or group.is_full(self.limits):
                    yield group
                    group = _Group(key)
                try:
                    self._put(entry, group, tape)
                except (ImageError, RowError) as exc:
                    yield BadMember(name=entry.name, code=exc.code, reason=exc.reason)
        except TarError as exc:
            yield group
            yield BadMember(name=b"./", code=exc.code, reason=exc.reason)
        else:
            yield group

    def _put(self, entry: Entry, group: _Group, tape: Tape) -> None:
        """Adds a file to those of its key; ImageError or RowError if it is no good."""
        if entry.name.startswith(b"/") or b".." in entry.name.split(b"/") or b"\0" in entry.name:
            raise RowError("shard.name", "its name leads out of the archive")
        if entry.kind != "file":
            raise RowError("path.not_regular", "it is a link, a device or has holes")
        if _is_image(entry.name):
            check_bytes(entry.size, entry.name, self.limits)
            group.images.append((entry, _data(tape, entry) if self.packed else None))
        else:
            _describe(group, entry, tape)

    def _members(self, group: _Group, state: tuple[int, int]) -> Iterator[Member]:
        caption = group.captions.get(b"txt") or group.captions.get(b"caption")
        metadata = group.metadata
        if not caption and (caption := caption_of(metadata.get("caption"))):
            metadata = {name: value for name, value in metadata.items() if name != "caption"}
        for entry, data in group.images:
            later = partial(_read_later, self.path, entry, state)
            yield Member(
                key=group.key,
                name=entry.name,
                size=entry.size,
                mtime_ns=state[1],
                caption=caption,
                metadata=metadata,
                read=later if data is None else partial(bytes, data),
            )

    @contextmanager
    def _tape(self) -> Iterator[Tape]:
        with open_bytes(self.path, packed=self.packed) as stream:
            size = None if self.packed else stream.seek(0, os.SEEK_END)
            if not self.packed:
                stream.seek(0)
            yield Tape(stream, size)


def read_member(path: str | Path, name: bytes, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """The bytes of the first member of this name.

    ImageError path.vanished, path.not_regular, image.too_large_bytes, image.empty, shard.truncated,
    shard.damaged; MachineError if the archive cannot be opened.
    """
    shard = Shard(Path(path), limits)
    try:
        with shard._tape() as tape:
            for entry in entries(tape):
                if entry.name == name:
                    return _checked_data(tape, entry, limits)
    except TarError as exc:
        raise ImageError(exc.code, shard.path, exc.reason) from exc
    raise ImageError("path.vanished", os.fsdecode(name), f"it is not in {shard.path}")


def _checked_data(tape: Tape, entry: Entry, limits: Limits) -> bytes:
    if entry.kind != "file":
        reason = "it is a link, a device or has holes"
        raise ImageError("path.not_regular", os.fsdecode(entry.name), reason)
    check_bytes(entry.size, os.fsdecode(entry.name), limits)
    return _data(tape, entry)


def _data(tape: Tape, entry: Entry) -> bytes:
    tape.forward(entry.offset)
    return tape.take(entry.size)


def _read_later(path: Path, entry: Entry, state: tuple[int, int]) -> bytes:
    """The data of a member of a plain archive that has not changed since."""
    with open_bytes(path) as stream:
        stream.seek(entry.offset)
        data = stream.read(entry.size)
    if len(data) < entry.size or _state(path) != state:
        raise ImageError("path.changed", path, "it changed while it was read", fix="try again")
    return data


def _state(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError as exc:
        raise unreadable(path, exc) from exc
    return status.st_size, status.st_mtime_ns


def _describe(group: _Group, entry: Entry, tape: Tape) -> None:
    """Adds what a file beside an image says of it; RowError if it cannot be read."""
    if group.described + entry.size > _MAX_SIDE:
        reason = f"captions and metadata of one key have more than {_MAX_SIDE:,} bytes"
        raise RowError("shard.side", reason)
    group.described += entry.size
    text = _data(tape, entry).decode("utf-8-sig", "replace")
    kind = entry.name.rpartition(b".")[2]
    if kind == b"json":
        group.metadata |= _object(text)
    elif kind == b"cls":
        group.metadata["cls"] = number_or_text(text.strip())
    elif caption := caption_of(text.rstrip("\r\n")):
        group.captions[kind] = caption


def _object(text: str) -> dict[str, JSON]:
    try:
        value = jsonable(json.loads(text))
    except (ValueError, RecursionError) as exc:
        raise RowError("shard.side", f"it is not JSON ({exc})") from None
    if not isinstance(value, dict):
        raise RowError("shard.side", "it is no JSON object")
    return {name: each for name, each in value.items() if each not in (None, "")}


def _key(name: bytes) -> bytes:
    """What the names of an image and of the files beside it have in common."""
    match = _KEY.fullmatch(name)
    return match[1] if match else b""


def _is_image(name: bytes) -> bool:
    return name.lower().endswith(SUFFIXES) and not _is_hidden(name)


def _is_side(name: bytes) -> bool:
    match = _KEY.fullmatch(name)
    return match is not None and match[2] in _SIDES and not _is_hidden(name)


def _is_hidden(name: bytes) -> bool:
    return any(part.startswith(b".") and part.strip(b".") for part in name.split(b"/"))
