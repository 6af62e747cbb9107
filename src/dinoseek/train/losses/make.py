"""A loss by its name, or several with weights, as in "ntxent+0.5*arcface"."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from dinoseek.errors import UsageError
from dinoseek.train.losses import pairs, proxies, rankings

Loss = Callable[[Tensor, Tensor], Tensor]  # embeddings (b, d), labels (b,) -> a scalar

LOSSES: Mapping[str, Callable[..., Any]] = {
    "ntxent": pairs.ntxent,
    "infonce": pairs.infonce,
    "supcon": pairs.supcon,
    "triplet": pairs.triplet,
    "smooth-ap": rankings.smooth_ap,
    "recall-at-k": rankings.recall_at_k,
    "proxy-anchor": proxies.ProxyAnchor,
    "arcface": proxies.SubCenterArcFace,
}
_GIVEN = {"embeddings", "labels", "self", "classes", "dim"}


def make_loss(
    name: str,
    *,
    classes: int,
    dim: int,
    options: Mapping[str, Mapping[str, float]] | None = None,
    matryoshka: Sequence[int] = (),
) -> nn.Module:
    """A module of the named losses, their weighted sum; proxies are its parameters.

    `classes` is how many the training data has, `dim` the width of embeddings, `options` has what
    a loss takes by its name. With `matryoshka` it is the mean over embeddings cut to each of these
    widths, too (Kusupati et al., 2022, arXiv 2205.13147). Raises UsageError train.loss for a name
    or an option that there is not.
    """
    options = options or {}
    terms = dict(_parse(part) for part in name.split("+"))
    if unused := set(options) - set(terms):
        raise _refused(unused.pop(), f"has options, but the loss is {name}", list(terms))
    losses = [_one(term, classes, dim, options.get(term, {})) for term in terms]
    total = WeightedSum(losses, list(terms.values()))
    return Matryoshka(total, [*matryoshka, dim]) if matryoshka else total


class WeightedSum(nn.Module):
    def __init__(self, losses: Sequence[Loss], weights: Sequence[float]) -> None:
        super().__init__()
        self.losses, self.weights = losses, weights
        self.modules_ = nn.ModuleList(loss for loss in losses if isinstance(loss, nn.Module))

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        found = [loss(embeddings, labels) for loss in self.losses]
        return torch.stack(
            [weight * value for weight, value in zip(self.weights, found, strict=True)]
        ).sum()


class Matryoshka(nn.Module):
    """The mean of a loss over embeddings cut to their first values; it makes them unit length."""

    def __init__(self, loss: WeightedSum, dims: Sequence[int]) -> None:
        super().__init__()
        if len(loss.modules_):
            raise UsageError("train.loss", "matryoshka", "goes with losses that have no proxies")
        whole = dims[-1]
        if not all(0 < dim <= whole for dim in dims) or len(set(dims)) < len(dims):
            reason = f"expected different widths below {whole}, the embeddings' own"
            raise UsageError("train.loss", f"matryoshka {list(dims[:-1])}", reason)
        self.loss, self.dims = loss, dims

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        return torch.stack([self.loss(embeddings[:, :dim], labels) for dim in self.dims]).mean()


def _parse(part: str) -> tuple[str, float]:
    weight, times, term = part.rpartition("*")
    term = term.strip()
    if term not in LOSSES:
        raise _refused(term, "there is no such loss", list(LOSSES))
    try:
        value = float(weight) if times else 1.0
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf"):
        raise UsageError("train.loss", part, "its weight must be a positive number")
    return term, value


def _one(term: str, classes: int, dim: int, options: Mapping[str, float]) -> Loss:
    known = [name for name in signature(LOSSES[term]).parameters if name not in _GIVEN]
    if unknown := set(options) - set(known):
        raise _refused(unknown.pop(), f"is no option of {term}", known)
    if isinstance(LOSSES[term], type):
        made: Loss = LOSSES[term](classes, dim, **options)
        return made
    return partial(LOSSES[term], **options)


def _refused(subject: str, reason: str, known: Sequence[str]) -> UsageError:
    return UsageError("train.loss", subject, reason, fix=f"use one of {', '.join(known)}")
