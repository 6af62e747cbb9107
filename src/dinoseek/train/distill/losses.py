"""How far a student is from its teacher: in the embeddings, and in what is near to what."""

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  as everybody calls it

_OUT = -1e9  # of a picture with itself: its share becomes exactly 0


def embedding_loss(student: Tensor, target: Tensor) -> Tensor:
    """The mean of 1 - cosine of embeddings (b, w), both of unit length."""
    return 1 - (student * target).sum(dim=1).mean()


def structure_loss(student: Tensor, target: Tensor, temperature: float) -> Tensor:
    """How much the student's idea of what is near differs from the teacher's.

    Both are embeddings of unit length (b, w). Each picture's cosines to the others of
    the batch become shares by a softmax at `temperature`, and it is the mean of the
    Kullback-Leibler divergences of the student's from the teacher's (Fang et al., 2021, arXiv
    2101.04731, equation 4, with the batch in place of a queue).
    """
    found, wanted = (_log_shares(each, temperature) for each in (student, target))
    return F.kl_div(found, wanted, reduction="batchmean", log_target=True)


def _log_shares(embeddings: Tensor, temperature: float) -> Tensor:
    """Logarithms of the shares (b, b)."""
    cosines = embeddings @ embeddings.T / temperature  # (b, w) -> (b, b)
    itself = torch.eye(len(cosines), dtype=torch.bool, device=cosines.device)
    return F.log_softmax(cosines.masked_fill(itself, _OUT), dim=1)
