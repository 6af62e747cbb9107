"""From rows of the training data to batches of varied pictures, decoded by other processes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from dinoseek.errors import DinoseekError
from dinoseek.images.decode import load_image
from dinoseek.train.data.augment import Augmentation, generator
from dinoseek.train.data.reading import Reading
from dinoseek.train.data.records import Records, numbers_of
from dinoseek.train.data.sampler import Sampler

Ids = NDArray[np.int64]
Key = tuple[int, int, int]  # row, epoch, place in the epoch

_FOREIGN = 1 << 32  # so that places of different processes are different pictures


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Varied pictures (b, S, S, 3) of uint8, the numbers (b,) of their labels, and their rows."""

    pictures: Tensor
    labels: Tensor
    rows: Ids


class Pictures(Dataset):
    """The training pictures; each key gives the same bytes wherever and whenever it is asked.

    JPEGs may be read at a smaller scale, with a short side of `least_side` pixels at least.
    """

    def __init__(
        self,
        records: Records,
        augmentation: Augmentation,
        seed: int,
        least_side: int | None = None,
    ) -> None:
        self._records, self._augmentation, self._seed = records, augmentation, seed
        self._least_side = least_side

    def __getitem__(self, key: Key) -> Tensor | DinoseekError:
        row, epoch, place = key
        try:
            image = load_image(self._records.path(row), least_side=self._least_side)
        except DinoseekError as exc:  # as a value: an exception would lose its parts on the way
            return exc
        rng = generator(self._seed, epoch, place)
        return torch.from_numpy(self._augmentation.apply(image, rng))


class Loader:
    """Batches of an epoch after the other. `extra` adds rows to a batch, such as negatives.

    The rows of a batch come in turns: the first image of each class, then the second of each.
    """

    def __init__(
        self,
        records: Records,
        sampler: Sampler,
        augmentation: Augmentation,
        *,
        seed: int,
        workers: int = 0,
        pin: bool = False,
        extra: Callable[[Ids, np.random.Generator], Ids] | None = None,
    ) -> None:
        self.sampler = sampler
        self._numbers = numbers_of(records.labels)
        self._extra, self._seed = extra, seed
        pictures = Pictures(records, augmentation, seed)
        self._reading = Reading(pictures, workers=workers, pin=pin)

    def epoch(self, number: int, skip: int = 0) -> Iterator[Batch]:
        """The batches of an epoch but for the first `skip`, of which nothing is read.

        Raises DataError train.data.broken for a picture that cannot be read by now.
        """
        rows = [self._rows(each, number) for each in self.sampler.epoch(number)][skip:]
        size = len(rows[0]) if rows else 0
        keys = [
            [(int(row), number, self._place(skip + step, size, i)) for i, row in enumerate(each)]
            for step, each in enumerate(rows)
        ]
        for chosen, pictures in zip(rows, self._reading.batches(keys), strict=True):
            labels = torch.from_numpy(self._numbers[chosen])
            yield Batch(pictures=pictures, labels=labels, rows=chosen)

    def _rows(self, rows: Ids, number: int) -> Ids:
        k = self.sampler.images_per_class
        turned = rows.reshape(-1, k).T.ravel()  # (p k,) class by class -> image by image
        if self._extra is None:
            return turned
        rng = np.random.default_rng([self._seed, number, int(rows[0])])
        return np.concatenate([turned, self._extra(turned, rng)])

    def _place(self, step: int, size: int, i: int) -> int:
        return self.sampler.rank * _FOREIGN + step * size + i
