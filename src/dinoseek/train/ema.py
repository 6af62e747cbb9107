"""A mean of what is learnt over the latest steps, which is what is kept in the end."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn


class Ema:
    """The exponential moving average of a model's parameters that are learnt, in float32.

    In the first steps the mean is over those that there were: after n of them a step counts
    1 / (n + 1) of it at least, so that random beginnings do not stay.
    """

    def __init__(self, model: nn.Module, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay is {decay}, expected 0 to below 1")
        self._model, self.decay, self.steps = model, decay, 0
        self.means = {name: value.detach().float().clone() for name, value in self._learnt()}

    def update(self) -> None:
        """Takes the parameters of a step in."""
        self.steps += 1
        decay = min(self.decay, self.steps / (self.steps + 1))
        for name, value in self._learnt():
            self.means[name].lerp_(value.detach().float(), 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The model has the means inside, and its own parameters again afterwards."""
        own = {name: value.detach().clone() for name, value in self._learnt()}
        self._put(self.means)
        try:
            yield
        finally:
            self._put(own)

    def state(self) -> dict[str, Tensor | int]:
        """What a checkpoint keeps."""
        return {**self.means, "steps": self.steps}

    def restore(self, state: dict[str, Tensor | int]) -> None:
        """Goes on from a checkpoint of the same model; ValueError for another's."""
        steps, means = state["steps"], {n: v for n, v in state.items() if isinstance(v, Tensor)}
        if means.keys() != self.means.keys() or not isinstance(steps, int):
            raise ValueError("the state is of other parameters")
        self.steps = steps
        for name, mean in self.means.items():
            mean.copy_(means[name])

    def _learnt(self) -> Iterator[tuple[str, nn.Parameter]]:
        for name, value in self._model.named_parameters():
            if value.requires_grad:
                yield name, value

    def _put(self, values: dict[str, Tensor]) -> None:
        for name, parameter in self._learnt():
            parameter.detach().copy_(values[name])
