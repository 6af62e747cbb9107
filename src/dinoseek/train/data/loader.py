"""From rows of the training data to batches of varied pictures, decoded by other processes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from dinoseek.errors import DataError, DinoseekError
from dinoseek.images.decode import load_image
from dinoseek.train.data.augment import Augmentation, generator
from dinoseek.train.data.records import Records, numbers_of
from dinoseek.train.data.sampler import Sampler

Ids = NDArray[np.int64]
Key = tuple[int, int, int]  # row, epoch, place in the epoch

_FOREIGN = 1 << 32  # so that places of different processes are different pictures
_AHEAD = 4  # parts that each worker has ready
_AT_ONCE = 32  # pictures of a batch that one worker reads, while others read the rest


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Varied pictures (b, S, S, 3) of uint8, the numbers (b,) of their labels, and their rows."""

    pictures: Tensor
    labels: Tensor
    rows: Ids


class Pictures(Dataset):
    """The training pictures; each key gives the same bytes wherever and whenever it is asked."""

    def __init__(self, records: Records, augmentation: Augmentation, seed: int) -> None:
        self._records, self._augmentation, self._seed = records, augmentation, seed

    def __getitem__(self, key: Key) -> Tensor | DinoseekError:
        row, epoch, place = key
        try:
            image = load_image(self._records.path(row))
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
        self._records, self._extra, self._seed = records, extra, seed
        self._keys = _Keys()
        self._loader = DataLoader(
            Pictures(records, augmentation, seed),
            batch_sampler=self._keys,
            num_workers=workers,
            collate_fn=_stacked,
            prefetch_factor=_AHEAD if workers else None,
            persistent_workers=workers > 0,
            worker_init_fn=_one_thread,
        )
        self._pin = pin

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
        starts = range(0, size, _AT_ONCE)
        self._keys.parts = [each[start : start + _AT_ONCE] for each in keys for start in starts]
        parts = iter(self._loader)
        for chosen in rows:
            yield self._batch(chosen, [next(parts) for _ in starts])

    def _rows(self, rows: Ids, number: int) -> Ids:
        k = self.sampler.images_per_class
        turned = rows.reshape(-1, k).T.ravel()  # (p k,) class by class -> image by image
        if self._extra is None:
            return turned
        rng = np.random.default_rng([self._seed, number, int(rows[0])])
        return np.concatenate([turned, self._extra(turned, rng)])

    def _place(self, step: int, size: int, i: int) -> int:
        return self.sampler.rank * _FOREIGN + step * size + i

    def _batch(self, rows: Ids, parts: Sequence[Tensor | DinoseekError]) -> Batch:
        for part in parts:
            if isinstance(part, DinoseekError):
                fix = "put it back as it was, and run the same command with --resume"
                raise DataError("train.data.broken", part.subject, part.reason, fix=fix) from part
        pictures = torch.cat(list(parts))
        if self._pin:
            pictures = pictures.pin_memory()
        return Batch(pictures=pictures, labels=torch.from_numpy(self._numbers[rows]), rows=rows)


def _stacked(found: Sequence[Tensor | DinoseekError]) -> Tensor | DinoseekError:
    """Pictures as one tensor, which goes from one process to another at once; or what is wrong."""
    wrong = next((each for each in found if isinstance(each, DinoseekError)), None)
    return torch.stack(list(found)) if wrong is None else wrong


class _Keys:
    """What the loader's processes are to read next."""

    parts: Sequence[Sequence[Key]] = ()

    def __iter__(self) -> Iterator[Sequence[Key]]:
        return iter(self.parts)

    def __len__(self) -> int:
        return len(self.parts)


def _one_thread(_: int) -> None:
    torch.set_num_threads(1)
