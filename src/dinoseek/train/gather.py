"""Embeddings of all processes, through which gradients go back to where they came from."""

from typing import Any

import torch
from torch import Tensor, distributed
from torch.autograd import Function


def is_shared() -> bool:
    """Whether several processes train together."""
    return distributed.is_available() and distributed.is_initialized() and world() > 1


def world() -> int:
    return distributed.get_world_size()


def gathered(embeddings: Tensor) -> Tensor:
    """The embeddings (b, d) of all processes, (w b, d), in the order of their ranks.

    Each must have as many. Where each process computes the same loss of them, and gradients of
    parameters are averaged over processes, as DDP does, these are the gradients of one process with
    the whole batch.
    """
    if not is_shared():
        return embeddings
    found: Tensor = _Gather.apply(embeddings)
    return found


def gathered_labels(labels: Tensor) -> Tensor:
    """The labels (b,) of all processes, (w b,), in the order of their ranks."""
    if not is_shared():
        return labels
    return _all(labels)


class _Gather(Function):
    @staticmethod
    def forward(_: Any, embeddings: Tensor) -> Tensor:
        return _all(embeddings)

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        # Each process has the gradient of its own loss. Their sum is the world's times too large,
        # which the mean over processes takes back.
        total = gradient.contiguous().clone()
        distributed.all_reduce(total)
        own = len(total) // world()
        return total[distributed.get_rank() * own :][:own]


def _all(tensor: Tensor) -> Tensor:
    parts = [torch.empty_like(tensor) for _ in range(world())]
    distributed.all_gather(parts, tensor.contiguous())
    return torch.cat(parts)
