"""A batch that does not fit into memory, with the gradients that it would have.

Gao et al., 2021 (arXiv 2101.06983): all embeddings are computed without gradients, the loss gives
the gradient of each, and the model sees each part of the batch again to pass it on.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor

Embed = Callable[[Tensor], Tensor]  # pixels (b, 3, H, W) -> embeddings (b, d)
Context = Callable[[], AbstractContextManager[object]]


def backward(
    embed: Embed,
    parts: Sequence[Tensor],
    loss: Callable[[Tensor], Tensor],
    unsynced: Context = nullcontext,
) -> Tensor:
    """Adds to the parameters' gradients those of `loss` over all parts at once, and returns it.

    Dropout does the same in both passes of a part. `unsynced` is DDP's `no_sync`: all passes but
    the last are within it, so that gradients go round once.
    """
    states, found = [], []
    with torch.no_grad():
        for part in parts:
            states.append(_random_state(part))
            found.append(embed(part))
    embeddings = torch.cat(found).detach().requires_grad_()
    value = loss(embeddings)
    value.backward()
    gradients = _of(embeddings).split([len(each) for each in found])
    for place, (part, state, gradient) in enumerate(zip(parts, states, gradients, strict=True)):
        with nullcontext() if place == len(parts) - 1 else unsynced(), _replayed(part, state):
            again = embed(part)
            (again * gradient.to(again.dtype)).sum().backward()
    return value.detach()


def _of(embeddings: Tensor) -> Tensor:
    """Their gradients; zero where the loss has nothing to compare."""
    return torch.zeros_like(embeddings) if embeddings.grad is None else embeddings.grad


def _random_state(part: Tensor) -> tuple[Tensor, Tensor | None]:
    on_gpu = torch.cuda.get_rng_state(part.device) if part.is_cuda else None
    return torch.get_rng_state(), on_gpu


@contextmanager
def _replayed(part: Tensor, state: tuple[Tensor, Tensor | None]) -> Iterator[None]:
    """Random numbers go on from a state, and afterwards from where they were."""
    on_cpu, on_gpu = state
    with torch.random.fork_rng([part.device] if part.is_cuda else []):
        torch.set_rng_state(on_cpu)
        if on_gpu is not None:
            torch.cuda.set_rng_state(on_gpu, part.device)
        yield
