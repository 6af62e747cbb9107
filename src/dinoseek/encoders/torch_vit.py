"""DINOv2 as a PyTorch module: the model of `vit`, on any device, with gradients.

Its `state_dict` has Facebook's names, so that parameters go both ways unchanged, and every matrix
that fine-tuning adapts (qkv, proj, fc1, fc2, w12, w3) is a Linear of its own.
"""

from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  as everybody calls it

from dinoseek.vit.config import ViTConfig
from dinoseek.vit.model import Tokens
from dinoseek.vit.ops import Params
from dinoseek.vit.pos_embed import axis_matrix
from dinoseek.weights.naming import flatten, nest

LayerNorm = partial(nn.LayerNorm, eps=1e-6)


class TorchViT(nn.Module):
    """Normalised pixels (b, 3, H, W) to Tokens of tensors; H and W are multiples of the patch."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        d = config.embed_dim
        self.config = config
        self.cls_token = nn.Parameter(torch.zeros(1, 1, d))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + config.grid**2, d))
        if config.num_register_tokens:
            self.register_tokens = nn.Parameter(torch.zeros(1, config.num_register_tokens, d))
        self.patch_embed = PatchEmbed(config)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.norm = LayerNorm(d)

    @classmethod
    def of(cls, params: Params, config: ViTConfig) -> "TorchViT":
        """The model with these parameters; they share memory with the arrays."""
        with torch.device("meta"):
            model = cls(config)
        arrays = {name: np.require(array, requirements="W")  # torch warns of read-only memory
                  for name, array in flatten(params).items()}  # fmt: skip
        state = {name: torch.from_numpy(array) for name, array in arrays.items()}
        model.load_state_dict(state, assign=True)
        return model

    def params(self) -> Params:
        """Its parameters as nested float32 arrays, as `load_params` gives them."""
        state = self.state_dict().items()
        return nest({name: tensor.float().cpu().numpy().copy() for name, tensor in state})

    def forward(self, pixels: Tensor) -> Tokens:
        """All final, normalised tokens."""
        return self.finish(self.run(self.embed(pixels)))

    def class_tokens(self, pixels: Tensor) -> Tensor:
        """The class tokens (b, d) alone, without what only the others need."""
        return self.norm(self.run(self.embed(pixels), wanted=1))[:, 0]

    def embed(self, pixels: Tensor) -> Tensor:
        """Pixels to tokens with positions (b, 1 + r + n, d): cls, registers, patches."""
        b, p = len(pixels), self.config.patch_size
        rows, cols = pixels.shape[2] // p, pixels.shape[3] // p
        parts = [self.cls_token + self.pos_embed[:, :1]]
        if self.config.num_register_tokens:  # they have no positions
            parts.append(self.register_tokens)
        prefix = torch.cat(parts, dim=1).expand(b, -1, -1)  # (1, 1 + r, d) -> (b, 1 + r, d)
        patches = self.patch_embed(pixels) + self.positions(rows, cols)
        return torch.cat([prefix, patches], dim=1)

    def positions(self, rows: int, cols: int) -> Tensor:
        """The position embeddings of another grid (1, rows cols, d); see vit/pos_embed.py."""
        side = self.config.grid
        stored = self.pos_embed[:, 1:]
        if (rows, cols) == (side, side):
            return stored
        flavour, registers = self.config.pos_flavour, self.config.num_register_tokens > 0
        down, across = (
            torch.from_numpy(axis_matrix(side, new, flavour, registers)).to(stored.dtype)
            for new in (rows, cols)
        )
        grid = stored.reshape(side, side, -1)
        with torch.autocast(stored.device.type, enabled=False):  # too small to gain by rounding
            down, across = down.to(stored.device), across.to(stored.device)
            fitted = torch.einsum("ri,cj,ijd->rcd", down, across, grid)
        return fitted.reshape(1, rows * cols, -1)  # (rows, cols, d) -> (1, rows cols, d)

    def run(self, x: Tensor, wanted: int | None = None) -> Tensor:
        """All blocks: the residual stream (b, n, d), at the end of the first `wanted` tokens."""
        *blocks, last = self.blocks
        for block in blocks:
            x = block(x)
        return last(x, wanted)

    def finish(self, x: Tensor) -> Tokens:
        """The residual stream (b, n, d) as tokens, through the final norm."""
        first_patch = 1 + self.config.num_register_tokens
        tokens = self.norm(x)
        return Tokens(
            cls=tokens[:, 0], registers=tokens[:, 1:first_patch], patches=tokens[:, first_patch:]
        )


class PatchEmbed(nn.Module):
    """Cuts pixels into patches and projects each."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        p = config.patch_size
        self.proj = nn.Conv2d(3, config.embed_dim, kernel_size=p, stride=p)

    def forward(self, pixels: Tensor) -> Tensor:
        # As a product rather than a convolution, which cuDNN would round to TF32.
        p = self.proj.kernel_size[0]
        b, _, height, width = pixels.shape
        cut = pixels.reshape(b, 3, height // p, p, width // p, p)
        flat = cut.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)  # -> (b, n, 3 p p)
        return F.linear(flat, self.proj.weight.flatten(1), self.proj.bias)


class Block(nn.Module):
    """x (b, n, d) + attention(norm(x)), + mlp(norm(x)), both scaled."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        d = config.embed_dim
        self.norm1 = LayerNorm(d)
        self.attn = Attention(d, config.num_heads)
        self.ls1 = LayerScale(d)
        self.norm2 = LayerNorm(d)
        self.mlp = SwiGLU(d, config.hidden_dim) if config.swiglu else Mlp(d, config.hidden_dim)
        self.ls2 = LayerScale(d)

    def forward(self, x: Tensor, wanted: int | None = None) -> Tensor:
        """All tokens, or the first `wanted`, which need not have the others' results."""
        x = x[:, :wanted] + self.ls1(self.attn(self.norm1(x), wanted))
        return x + self.ls2(self.mlp(self.norm2(x)))


class Attention(nn.Module):
    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, wanted: int | None = None) -> Tensor:
        """What each of the first `wanted` tokens takes from all of x (b, n, d)."""
        parts = self.qkv(x).unflatten(2, (3, self.num_heads, -1))  # (b, n, 3 d) -> (b, n, 3, h, k)
        q, k, v = parts.permute(2, 0, 3, 1, 4)  # -> 3 x (b, h, n, k)
        mixed = F.scaled_dot_product_attention(q[:, :, :wanted], k, v)
        return self.proj(mixed.transpose(1, 2).flatten(2))  # (b, h, n, k) -> (b, n, d)


class Mlp(nn.Module):
    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))  # the exact form, with erf


class SwiGLU(nn.Module):
    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.w12 = nn.Linear(dim, 2 * hidden_dim)
        self.w3 = nn.Linear(hidden_dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.w12(x).chunk(2, dim=-1)
        return self.w3(F.silu(gate) * value)


class LayerScale(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma
