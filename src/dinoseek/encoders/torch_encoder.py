"""The PyTorch engine: on the processor, CUDA or MPS."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch

from dinoseek.encoders.torch_vit import TorchViT
from dinoseek.vit.check import check_pixels
from dinoseek.vit.config import ViTConfig
from dinoseek.vit.model import Tokens
from dinoseek.vit.ops import Array, Params


class TorchEncoder:
    """An Encoder on PyTorch; safe to call from several threads.

    In float16 and bfloat16 operands of matrix products are rounded; sums between the blocks and
    norms stay float32. `device` is "cpu", "cuda", "mps", as PyTorch names them; by default the
    fastest there is. With `compiled` PyTorch compiles the blocks for each new size, which takes
    minutes and a C++ compiler.
    """

    engine = "torch"

    def __init__(
        self,
        params: Params,
        config: ViTConfig,
        *,
        precision: str = "float32",
        threads: int | None = None,
        device: str | None = None,
        compiled: bool = False,
    ) -> None:
        self.config = config
        self.precision = precision
        self.threads = threads
        self.device = torch.device(device or usual_device())
        self._dtype = getattr(torch, precision)
        self._model = TorchViT.of(params, config).requires_grad_(False).eval().to(self.device)
        if self._dtype != torch.float32:
            _round_matrices(self._model, self._dtype)
        self._run = torch.compile(self._model.run) if compiled else self._model.run

    def __call__(self, pixels: Array) -> Tokens:
        """Encodes normalised pixels (b, 3, H, W). Raises UsageError for pixels it cannot take."""
        with self._computing():
            x = self._run(self._model.embed(self._on_device(pixels)))
            return Tokens(*map(_array, self._model.finish(x)))

    def class_tokens(self, pixels: Array) -> Array:
        """The class tokens (b, d) alone, for less work. Raises as calling does."""
        with self._computing():
            x = self._run(self._model.embed(self._on_device(pixels)), 1)
            return _array(self._model.norm(x)[:, 0])

    def _on_device(self, pixels: Array) -> Any:
        checked = np.require(check_pixels(pixels, self.config), requirements="W")
        return torch.from_numpy(checked).to(self.device)

    @contextmanager
    def _computing(self) -> Iterator[None]:
        # PyTorch keeps the number for the process; encoders with different ones take turns.
        if self.threads is not None and torch.get_num_threads() != self.threads:
            torch.set_num_threads(self.threads)
        exact = self._dtype == torch.float32
        rounding = nullcontext() if exact else torch.autocast(self.device.type, self._dtype)
        with torch.inference_mode(), rounding:
            yield


def usual_device() -> str:
    """The device that is fastest, of those that are there."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def has_fast_bfloat16() -> bool:
    """Whether bfloat16 is worth its rounding: on CUDA since Ampere."""
    return usual_device() == "cuda" and torch.cuda.get_device_capability() >= (8, 0)


def _round_matrices(model: TorchViT, dtype: Any) -> None:
    """Rounds the weights of all products once, which autocast would do in each call."""
    for module in model.modules():
        if isinstance(module, torch.nn.Linear | torch.nn.Conv2d):
            module.to(dtype)


def _array(tensor: Any) -> Array:
    return tensor.float().cpu().numpy()
