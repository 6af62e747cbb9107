"""Which images make a batch: some of each of some classes, as losses over pairs need them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dinoseek.errors import UsageError

Ids = NDArray[np.int64]

SUPER_CLASSES = 4  # in a batch of look-alikes


@dataclass(kw_only=True)
class Sampler:
    """P x K batches: `classes_per_batch` classes, `images_per_class` images of each.

    `labels` (n,) are any values; a class with one image has no positive, and is never drawn. Where
    `super_labels` (n,) say which kind each image is of, a share `super_share` of the batches has
    classes of a few kinds only: negatives that look alike, for nothing. Of several processes
    (`world`) each makes the batches of its `rank`: they have classes of their own in each step.
    Raises UsageError train.batch for what cannot be filled.
    """

    labels: Sequence[object]
    classes_per_batch: int
    images_per_class: int
    super_labels: Sequence[object] | None = None
    super_share: float = 0.5
    seed: int = 0
    rank: int = 0
    world: int = 1
    _members: list[Ids] = field(init=False, repr=False)
    _kinds: list[object] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        rows: dict[object, list[int]] = {}
        for row, label in enumerate(self.labels):
            rows.setdefault(label, []).append(row)
        self._members = [np.array(each, np.int64) for each in rows.values() if len(each) > 1]
        kinds = self.super_labels or [None] * len(self.labels)
        self._kinds = [kinds[each[0]] for each in self._members]
        self._check()

    def __len__(self) -> int:
        """How many batches an epoch has."""
        return -(-len(self._members) // (self.classes_per_batch * self.world))

    def epoch(self, number: int) -> Iterator[Ids]:
        """Batches of rows (p k,), class by class; each class comes at least once in an epoch.

        The same seed and number give the same batches. A class with fewer than K images gives some
        of them twice.
        """
        rng = np.random.default_rng([self.seed, number])
        for classes in self._steps(rng):
            drawn = [self._some_of(self._members[each], rng) for each in classes]
            yield np.concatenate(drawn[self.rank :: self.world])

    def _steps(self, rng: np.random.Generator) -> Iterator[Ids]:
        """The classes of each step, those of all processes together."""
        size = self.classes_per_batch * self.world
        order = rng.permutation(len(self._members))
        missing = len(self) * size - len(order)
        order = np.concatenate([order, self._again(order, missing, size, rng)])
        alike = round(len(self) * self.super_share) if self.super_labels else 0
        alike = min(alike, len(self) - 1)  # the last step has the classes that come again
        steps = [
            *self._alike(order[: alike * size], size, rng),
            *self._mixed(order[alike * size :]),
        ]
        for place in rng.permutation(len(steps)):
            yield steps[place]

    def _again(self, order: Ids, missing: int, size: int, rng: np.random.Generator) -> Ids:
        """Classes that come a second time, so that the last step is full; none twice in it."""
        in_last = order[len(order) - (size - missing) :] if missing else order[:0]
        return rng.permutation(np.setdiff1d(order, in_last))[:missing]

    def _mixed(self, order: Ids) -> list[Ids]:
        size = self.classes_per_batch * self.world
        return [order[start : start + size] for start in range(0, len(order), size)]

    def _alike(self, order: Ids, size: int, rng: np.random.Generator) -> list[Ids]:
        """Steps of classes of few kinds, until the given ones are used up."""
        left: dict[object, list[int]] = {}
        for each in order.tolist():
            left.setdefault(self._kinds[each], []).append(each)
        steps = []
        for _ in range(len(order) // size):
            kinds = list(left)
            shares = np.array([len(left[kind]) for kind in kinds], np.float64)
            by_chance = rng.choice(len(kinds), len(kinds), replace=False, p=shares / shares.sum())
            steps.append(
                np.array(_taken(left, [kinds[each] for each in by_chance], size), np.int64)
            )
        return steps

    def _some_of(self, members: Ids, rng: np.random.Generator) -> Ids:
        some = rng.permutation(members)[: self.images_per_class]
        more = self.images_per_class - len(some)
        return np.concatenate([some, rng.choice(members, more)]) if more else some

    def _check(self) -> None:
        wanted = self.classes_per_batch * self.world
        if self.classes_per_batch < 2 or self.images_per_class < 2:
            reason = (
                "needs two classes and two images of each at least, to have something to compare"
            )
            raise _refused(f"{self.classes_per_batch} x {self.images_per_class}", reason)
        if len(self._members) < wanted:
            reason = f"there are only {len(self._members):,} classes with two images or more"
            raise _refused(f"{wanted:,} classes in a batch", reason)
        if not 0 <= self.super_share <= 1:
            raise _refused(f"super_share {self.super_share}", "must be from 0 to 1")


def _taken(left: dict[object, list[int]], kinds: Sequence[object], size: int) -> list[int]:
    """So many classes of the first few kinds, in turns; of more kinds where these have too few."""
    found: list[int] = []
    chosen = list(kinds[:SUPER_CLASSES])
    further = list(kinds[SUPER_CLASSES:])
    while len(found) < size:
        if not chosen:
            chosen = [further.pop(0)]
        for kind in list(chosen):
            if len(found) < size:
                found.append(left[kind].pop())
            if not left[kind]:
                del left[kind]
                chosen.remove(kind)
    return found


def _refused(subject: str, reason: str) -> UsageError:
    return UsageError("train.batch", subject, reason)
