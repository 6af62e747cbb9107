"""Losses that are a ranking's own metric, with its steps made smooth.

Each image of a batch is a query among the others. Embeddings are (b, d), labels (b,); each step "k
ranks above j" is a sigmoid of how much more alike k is. Queries without positives do not count.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from dinoseek.train.losses.pairs import cosines, mean, pairs

# (b, b, b) numbers at once; larger batches are taken query by query, and their graphs kept.
_AT_ONCE = 1 << 24


def smooth_ap(embeddings: Tensor, labels: Tensor, temperature: float = 0.01) -> Tensor:
    """One minus the mean average precision. Brown et al., 2020 (arXiv 2007.12163), equation 5."""
    positive, _ = pairs(labels)
    losses = [
        1 - _precision(*part, temperature) for part in _queries(cosines(embeddings), positive)
    ]
    return mean(torch.cat(losses), positive.any(dim=1))


def recall_at_k(
    embeddings: Tensor,
    labels: Tensor,
    ks: Sequence[int] = (1, 2, 4, 8),
    temperature: float = 0.01,
    rank_temperature: float = 1.0,
) -> Tensor:
    """One minus the share of positives among the first k, of k or all, the mean over `ks`.

    Patel et al., 2022 (arXiv 2108.11179): ranks are sums of sigmoids, whether one is below k is a
    sigmoid too, and what is found counts as one at most.
    """
    positive, _ = pairs(labels)
    losses = [
        1 - _recall(*part, ks, temperature, rank_temperature)
        for part in _queries(cosines(embeddings), positive)
    ]
    return mean(torch.cat(losses), positive.any(dim=1))


def _queries(similar: Tensor, positive: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Cosines (q, b), positives (q, b) and those that count as others (q, b), some queries each."""
    count = len(similar)
    step = max(1, _AT_ONCE // max(count * count, 1))
    there = ~torch.eye(count, dtype=torch.bool, device=similar.device)
    parts = [slice(start, start + step) for start in range(0, count, step)]
    return [(similar[part], positive[part], there[part]) for part in parts]


def _above(similar: Tensor, temperature: float) -> Tensor:
    """How far k ranks above j (q, j, k): from 0 to 1."""
    differences = (similar[:, None, :] - similar[:, :, None]) / temperature
    others = ~torch.eye(similar.shape[1], dtype=torch.bool, device=similar.device)
    return differences.sigmoid() * others


def _precision(similar: Tensor, positive: Tensor, there: Tensor, temperature: float) -> Tensor:
    above = _above(similar, temperature)
    among_positives = 1 + (above * positive[:, None, :]).sum(dim=2)  # (q, j, k) -> (q, j)
    among_all = 1 + (above * there[:, None, :]).sum(dim=2)
    precisions = torch.where(positive, among_positives / among_all, 0)
    return precisions.sum(dim=1) / positive.sum(dim=1).clamp(min=1)


def _recall(
    similar: Tensor,
    positive: Tensor,
    there: Tensor,
    ks: Sequence[int],
    temperature: float,
    rank_temperature: float,
) -> Tensor:
    ranks = 1 + (_above(similar, temperature) * there[:, None, :]).sum(dim=2)  # (q, j, k) -> (q, j)
    counts = positive.sum(dim=1)
    found = []
    for k in ks:
        within = torch.where(positive, ((k - ranks) / rank_temperature).sigmoid(), 0).sum(dim=1)
        found.append((within / counts.clamp(min=1, max=k)).clamp(max=1))
    return torch.stack(found).mean(dim=0)
