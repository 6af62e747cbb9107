"""What is measured: the combinations of models, sizes, batches, threads, engines, precisions."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, product
from pathlib import Path

from dinoseek.bench.flops import Size, flops_per_image
from dinoseek.bench.models import Model
from dinoseek.encoders.engines import ENGINES, check_ability, is_installed, not_installed
from dinoseek.encoders.precision import AUTO
from dinoseek.errors import UsageError
from dinoseek.images.geometry import PATCH
from dinoseek.vit.check import MAX_PATCHES

USUAL_PERCENTILES = (50.0, 90.0, 95.0, 99.0)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One combination: an engine with a model, and what it is given. `size` is (height, width)."""

    engine: str
    precision: str
    model: Model
    size: Size
    batch: int
    threads: int

    @property
    def flops(self) -> int:
        """The operations that one image takes."""
        return flops_per_image(self.model.config, self.size)

    def describe(self) -> str:
        """The combination for people: "numpy fp32, dinov2-small, 224 x 224, batch 8, 2 threads"."""
        height, width = self.size
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        return (
            f"{self.engine} {self.precision}, {self.model.name}, {height} x {width}, "
            f"batch {self.batch}, {threads}"
        )


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How it is measured: for each combination `seconds` in all, in so many `rounds`.

    With `repeats` each round has so many calls instead. `warm_up` calls come before the first
    round. `all_tokens` asks for patch tokens too, where an embedding needs the class token alone.
    With `end_to_end` embedding picture files is measured as well: `pictures`, or drawn ones.
    `cache_dir` keeps what is found out about engines, as for other commands.
    """

    rounds: int = 7
    seconds: float = 5.0
    repeats: int | None = None
    warm_up: int = 3
    all_tokens: bool = False
    percentiles: tuple[float, ...] = USUAL_PERCENTILES
    end_to_end: bool = False
    pictures: tuple[Path, ...] = ()
    cache_dir: Path | None = None


def cases_of(
    models: Sequence[Model],
    engines: Sequence[str],
    *,
    precisions: Sequence[str] = (AUTO,),
    sizes: Sequence[Size] = ((224, 224),),
    batches: Sequence[int] = (1,),
    threads: Sequence[int] = (1,),
) -> list[Case]:
    """Every combination once; those that differ only in engine and precision follow each other."""
    combinations = product(models, sizes, batches, threads, engines, precisions)
    return [
        Case(engine=e, precision=p, model=m, size=s, batch=b, threads=t)
        for m, s, b, t, e, p in dict.fromkeys(combinations)
    ]


def lack_of(case: Case) -> UsageError | None:
    """What keeps an engine from it, as far as that can be told without loading it."""
    if case.engine not in ENGINES:
        return None  # "auto", or a name that the factory will not know
    try:
        if case.precision != AUTO:
            check_ability(case.engine, case.precision)
    except UsageError as exc:
        return exc
    return None if is_installed(case.engine) else not_installed(case.engine)


def parse_size(text: str) -> Size:
    """The (height, width) of "224" or "224x448". UsageError bench.size for what no model takes."""
    found = re.fullmatch(r"([1-9][0-9]{0,5})(?:x([1-9][0-9]{0,5}))?", text.lower())
    if found is None:
        reason = "it is no size in pixels"
        raise UsageError("bench.size", text, reason, fix="write 224, or 224x448")
    sides = [int(side) for side in found.groups() if side]
    if any(side % PATCH for side in sides):
        near = "x".join(str(max(1, round(side / PATCH)) * PATCH) for side in sides)
        reason = f"both sides must be multiples of {PATCH}"
        raise UsageError("bench.size", text, reason, fix=f"the nearest is {near}")
    height, width = sides[0], sides[-1]
    if (patches := height * width // PATCH**2) > MAX_PATCHES:
        reason = f"that makes {patches:,} patches, at most {MAX_PATCHES:,}"
        raise UsageError("bench.size", text, reason)
    return height, width


def groups_of(cases: Sequence[Case], room: int) -> Iterator[list[Case]]:
    """The combinations that are measured in turns: as many at once as `room` bytes hold.

    What differs only in engine and precision stays together as long as there is room.
    """
    group: list[Case] = []
    for _, compared in groupby(cases, key=lambda c: (c.model.path, c.size, c.batch, c.threads)):
        members = list(compared)
        if group and not _fit([*group, *members], room):
            yield group
            group = []
        for case in members:
            if group and not _fit([*group, case], room):
                yield group
                group = []
            group.append(case)
    if group:
        yield group


_MOST = 8  # processes at once
# An engine lays weights out in its own way beside the file's, and brings its library.
_COPIES, _LIBRARY = 3, 500_000_000


def _fit(cases: Sequence[Case], room: int) -> bool:
    needed = sum(_COPIES * case.model.path.stat().st_size + _LIBRARY for case in cases)
    return len(cases) <= _MOST and needed <= room
