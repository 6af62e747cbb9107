"""Batches of pictures that other processes read, in the order in which they are asked for."""

from collections.abc import Hashable, Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from dinoseek.errors import DataError, DinoseekError
from dinoseek.images.ahead import ahead

_AHEAD = 4  # parts that each worker has ready
_AT_ONCE = 32  # pictures of a batch that one worker reads, while others read the rest


class Reading:
    """Reads what `pictures` has under keys: a tensor each, or the error of one that is broken."""

    def __init__(self, pictures: Dataset, *, workers: int = 0, pin: bool = False) -> None:
        self._keys = _Keys()
        self._loader = DataLoader(
            pictures,
            batch_sampler=self._keys,
            num_workers=workers,
            collate_fn=_stacked,
            prefetch_factor=_AHEAD if workers else None,
            persistent_workers=workers > 0,
            worker_init_fn=_one_thread,
        )
        self._pin = pin

    def batches(self, keys: Sequence[Sequence[Hashable]]) -> Iterator[Tensor]:
        """The pictures of each batch as one tensor (b, ...).

        Raises DataError train.data.broken for a picture that cannot be read by now.
        """
        parted = [
            [each[start : start + _AT_ONCE] for start in range(0, len(each), _AT_ONCE)]
            for each in keys
        ]
        self._keys.parts = [part for parts in parted for part in parts]
        found = iter(self._loader)
        together = ([next(found) for _ in parts] for parts in parted)
        yield from ahead(self._batch, together, workers=1, depth=2)  # one while it learns

    def _batch(self, parts: Sequence[Tensor | DinoseekError]) -> Tensor:
        for part in parts:
            if isinstance(part, DinoseekError):
                fix = "put it back as it was, and run the same command with --resume"
                raise DataError("train.data.broken", part.subject, part.reason, fix=fix) from part
        pictures = torch.cat(list(parts))
        return pictures.pin_memory() if self._pin else pictures


def _stacked(found: Sequence[Tensor | DinoseekError]) -> Tensor | DinoseekError:
    """Pictures as one tensor, which goes from one process to another at once; or what is wrong."""
    wrong = next((each for each in found if isinstance(each, DinoseekError)), None)
    return torch.stack(list(found)) if wrong is None else wrong


class _Keys:
    """What the loader's processes are to read next."""

    parts: Sequence[Sequence[Hashable]] = ()

    def __iter__(self) -> Iterator[Sequence[Hashable]]:
        return iter(self.parts)

    def __len__(self) -> int:
        return len(self.parts)


def _one_thread(_: int) -> None:
    torch.set_num_threads(1)
