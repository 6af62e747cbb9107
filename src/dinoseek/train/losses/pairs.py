"""Losses over the pairs of a batch.

Each takes embeddings (b, d), of any length, and their labels (b,), and gives a mean over what it
compares; zero where there is nothing to compare. Logits are float32 also under autocast.
"""

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  as everybody calls it


def ntxent(embeddings: Tensor, labels: Tensor, temperature: float = 0.07) -> Tensor:
    """Multi-positive NT-Xent: each positive of each anchor against all that have other labels.

    Chen et al., 2020 (arXiv 2002.05709); other positives are in no denominator, as in
    pytorch-metric-learning, so that none is pushed away.
    """
    logits = cosines(embeddings) / temperature
    positive, negative = pairs(labels)
    others = torch.where(negative, logits, -torch.inf).logsumexp(dim=1, keepdim=True)
    losses = F.softplus(others - logits)  # -log(exp(p) / (exp(p) + sum of exp(n)))
    return mean(losses, positive)


def supcon(embeddings: Tensor, labels: Tensor, temperature: float = 0.1) -> Tensor:
    """SupCon: the positives of each anchor against all of the batch, its other positives included.

    Khosla et al., 2020 (arXiv 2004.11362), equation 2, the mean outside the logarithm.
    """
    logits = cosines(embeddings) / temperature
    positive, negative = pairs(labels)
    others = torch.where(positive | negative, logits, -torch.inf)
    losses = others.logsumexp(dim=1, keepdim=True) - logits
    counts = positive.sum(dim=1)
    of_anchors = torch.where(positive, losses, 0).sum(dim=1) / counts.clamp(min=1)
    return mean(of_anchors, counts > 0)


def infonce(embeddings: Tensor, labels: Tensor, temperature: float = 0.05) -> Tensor:
    """InfoNCE in one direction: queries are the first half of the batch, positives the second.

    What vembed-factory trains with, for comparison: queries are compared with positives only.
    Positives of other queries that have the query's label are left out of its denominator.
    """
    half = len(embeddings) // 2
    if len(embeddings) != 2 * half or not torch.equal(labels[:half], labels[half:]):
        raise ValueError("infonce takes queries, then their positives in the same order")
    logits = cosines(embeddings)[:half, half:] / temperature
    same = labels[:half, None] == labels[None, half:]
    same.fill_diagonal_(False)
    own = torch.arange(half, device=labels.device)
    return F.cross_entropy(torch.where(same, -torch.inf, logits), own)


def triplet(embeddings: Tensor, labels: Tensor, margin: float = 0.2) -> Tensor:
    """The furthest positive of each anchor against its nearest negative, a margin apart.

    Batch-hard triplets of Hermans et al., 2017 (arXiv 1703.07737), with Euclidean distances of unit
    vectors.
    """
    distances = (2 - 2 * cosines(embeddings)).clamp(min=1e-12).sqrt()  # sqrt has no slope at 0
    positive, negative = pairs(labels)
    furthest = torch.where(positive, distances, -torch.inf).amax(dim=1)
    nearest = torch.where(negative, distances, torch.inf).amin(dim=1)
    is_complete = positive.any(dim=1) & negative.any(dim=1)
    apart = torch.where(is_complete, furthest - nearest + margin, 0)
    return mean(F.relu(apart), is_complete)


def cosines(embeddings: Tensor) -> Tensor:
    """All cosines (b, b) of embeddings (b, d), at least in float32."""
    with torch.autocast(embeddings.device.type, enabled=False):
        kind = torch.promote_types(embeddings.dtype, torch.float32)
        unit = F.normalize(embeddings.to(kind), dim=1)
        return unit @ unit.T


def pairs(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Which pairs (b, b) have one label, no image with itself, and which have two."""
    same = labels[:, None] == labels[None, :]
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    return same & ~itself, ~same


def mean(values: Tensor, where: Tensor) -> Tensor:
    """The mean of some values; a zero with gradients, also zero, if there are none."""
    return torch.where(where, values, 0).sum() / where.sum().clamp(min=1)
