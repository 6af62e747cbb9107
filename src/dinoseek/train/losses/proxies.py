"""Losses against proxies, one or more learnt vectors for each class of the training data.

Labels (b,) count classes from 0. Proxies are parameters: they are trained with the model, usually
at ten times its learning rate, and thrown away afterwards.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  as everybody calls it

from dinoseek.train.losses.pairs import mean


class ProxyAnchor(nn.Module):
    """Proxy-Anchor: each proxy against the whole batch. Kim et al., 2020 (arXiv 2003.13911)."""

    def __init__(self, classes: int, dim: int, alpha: float = 32, margin: float = 0.1) -> None:
        super().__init__()
        self.alpha, self.margin = alpha, margin
        self.proxies = nn.Parameter(
            nn.init.kaiming_normal_(torch.empty(classes, dim), mode="fan_out")
        )

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        similar = _against(embeddings, self.proxies)  # (b, c)
        own = F.one_hot(labels, len(self.proxies)).bool()
        near = _log_one_plus_sum(-self.alpha * (similar - self.margin), own)
        far = _log_one_plus_sum(self.alpha * (similar + self.margin), ~own)
        return mean(near, own.any(dim=0)) + far.mean()


class SubCenterArcFace(nn.Module):
    """ArcFace with several centres a class, so that one may gather what is labelled wrongly.

    Deng et al., 2019 (arXiv 1801.07698) and 2020 (ECCV, "Sub-center ArcFace"). The margin is an
    angle in radians.
    """

    def __init__(
        self, classes: int, dim: int, centers: int = 3, scale: float = 32, margin: float = 0.25
    ) -> None:
        super().__init__()
        self.classes, self.scale, self.margin = classes, scale, margin
        self.centers = nn.Parameter(nn.init.xavier_normal_(torch.empty(classes * centers, dim)))

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        every = _against(embeddings, self.centers)  # (b, c s)
        similar = every.unflatten(1, (self.classes, -1)).amax(dim=2)  # (b, c s) -> (b, c)
        own = F.one_hot(labels, self.classes).bool()
        logits = torch.where(own, self._further(similar), similar)
        return F.cross_entropy(self.scale * logits, labels)

    def _further(self, similar: Tensor) -> Tensor:
        """The cosine of angle plus margin; past half a turn a line, so that it still falls."""
        bounded = similar.clamp(-1 + 1e-7, 1 - 1e-7)
        sine = (1 - bounded.square()).sqrt()
        turned = bounded * math.cos(self.margin) - sine * math.sin(self.margin)
        line = bounded - self.margin * math.sin(self.margin)
        return torch.where(bounded > math.cos(math.pi - self.margin), turned, line)


def _against(embeddings: Tensor, proxies: Tensor) -> Tensor:
    """Cosines of embeddings (b, d) and proxies (c, d): (b, c), at least in float32."""
    with torch.autocast(embeddings.device.type, enabled=False):
        kind = torch.promote_types(embeddings.dtype, torch.float32)
        return F.normalize(embeddings.to(kind), dim=1) @ F.normalize(proxies.to(kind), dim=1).T


def _log_one_plus_sum(logits: Tensor, where: Tensor) -> Tensor:
    """log(1 + sum of exp) over the images (b, c) -> (c) that count for each proxy."""
    zero = torch.zeros_like(logits[:1])
    return torch.cat([zero, torch.where(where, logits, -torch.inf)]).logsumexp(dim=0)
