"""The images of a tar archive as steps: read in the archive's order, never unpacked."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from dinoseek.gallery.descriptions import Description
from dinoseek.gallery.writer import Writer
from dinoseek.images.limits import Limits
from dinoseek.ingest.lists import decided, described_by, grouped
from dinoseek.ingest.outcomes import Failed, Item, Outcome
from dinoseek.ingest.plan import Options
from dinoseek.ingest.prepare import isolated
from dinoseek.ingest.shards import BadMember, Member, Shard
from dinoseek.ingest.steps import Read, Step, Task


@dataclass(frozen=True)
class ArchiveSource:
    """The images of a WebDataset shard, or of any tar archive."""

    shard: Shard

    def check(self) -> None:
        """Raises MachineError or UsageError if the archive cannot be read."""
        self.shard.check()

    def count(self, _exclude: Path | None = None) -> int | None:
        """How many images there are, if that is quickly found."""
        return self.shard.count()


def from_archive(path: str | Path) -> ArchiveSource:
    """The images in a tar archive, .tar .tar.gz or .tgz, with what lies beside them in it.

    KEY.json beside KEY.jpg is its metadata, KEY.txt its caption. Raises MachineError or UsageError
    for an archive that cannot be read.
    """
    source = ArchiveSource(Shard(Path(path)))
    source.check()
    return source


def archive_steps(
    source: ArchiveSource, writer: Writer, limits: Limits, options: Options
) -> Iterator[Step]:
    """What is to be done for each image of an archive: what must be read comes read."""
    shard = replace(source.shard, limits=limits)
    root = str(shard.path.resolve())
    return grouped(
        _of_member(member, row, root, writer, options)
        for row, member in enumerate(shard.members(), 1)
    )


def _of_member(
    member: Member | BadMember, row: int, root: str, writer: Writer, options: Options
) -> Step | Outcome:
    if isinstance(member, BadMember):
        return Failed(Item(root=root, path=member.name), member.code, member.reason)
    said = Description(caption=member.caption, metadata=member.metadata, row=row)
    item = Item(root=root, path=member.name, size=member.size, mtime_ns=member.mtime_ns)
    step = decided(described_by(item, said), writer, options)
    if not isinstance(step, Task):
        return step
    return isolated(step, None, lambda: _read(step, member))


def _read(task: Task, member: Member) -> Read:
    data = member.read()
    return Read(task=task, digest=hashlib.sha256(data).hexdigest(), size=len(data), data=data)
