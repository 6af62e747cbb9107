"""Writes tests/golden/hf-*.npz: tiny random models, pixels, and what transformers makes of them.

    python tools/make_golden.py [FOLDER]        needs transformers and torch

The implementation is independent of ours, so the files can judge it. Weights are small multiples
of 1/16, which float16 holds exactly and which compress well. Names are those of the library's own
files; the names that it uses in memory are stored beside them.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
import transformers

FORMAT = 1
IMAGE_SIZE, PATCH_SIZE = 70, 14
SIZES = ((70, 70), (42, 98))  # the stored grid, and one that is neither square nor as large
SHAPE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}


def main(folder: Path) -> None:
    for registers in (0, 4):
        for swiglu in (False, True):
            name = f"hf-{'swiglu' if swiglu else 'mlp'}{'-reg4' if registers else ''}.npz"
            np.savez_compressed(folder / name, **golden(registers=registers, swiglu=swiglu))
            print(f"{name}: {(folder / name).stat().st_size:,} bytes")


def golden(*, registers: int, swiglu: bool) -> dict[str, np.ndarray]:
    """Weights (file.NAME), pixels (HxW.pixels), tokens (HxW.tokens), and "about"."""
    model = random_model(registers=registers, swiglu=swiglu)
    about: dict[str, Any] = {
        "format": FORMAT,
        "transformers": transformers.__version__,
        "torch": torch.__version__,
        "config": {**SHAPE, "patch_size": PATCH_SIZE, "num_register_tokens": registers},
        "memory_names": sorted(model.state_dict()),
    }
    arrays = {f"file.{name}": value.numpy().astype(np.float16) for name, value in file_state(model)}
    arrays["about"] = np.array(json.dumps(about))
    for height, width in SIZES:
        pixels = random_pixels(height, width)
        with torch.no_grad():
            tokens = model(torch.from_numpy(pixels)).last_hidden_state.numpy()  # (b, 1 + r + n, d)
        arrays[f"{height}x{width}.pixels"] = pixels.astype(np.float16)
        arrays[f"{height}x{width}.tokens"] = tokens
    return arrays


def random_model(*, registers: int, swiglu: bool) -> Any:
    sides = {"image_size": IMAGE_SIZE, "patch_size": PATCH_SIZE}
    options = {**SHAPE, **sides, "use_swiglu_ffn": swiglu}
    if registers:
        config = transformers.Dinov2WithRegistersConfig(num_register_tokens=registers, **options)
        model = transformers.Dinov2WithRegistersModel(config)
    else:
        model = transformers.Dinov2Model(transformers.Dinov2Config(**options))
    generator = np.random.default_rng(registers * 2 + swiglu)
    with torch.no_grad():
        for name, value in sorted(model.named_parameters()):
            scale = 0.5 if value.dim() != 2 else 0.2
            values = np.round(generator.standard_normal(value.shape) * scale * 16) / 16
            # Norms and layer scales stay near 1, or nothing of the blocks would be seen.
            offset = 1 if name.endswith(("norm1.weight", "norm2.weight", "lambda1")) else 0
            value.copy_(torch.from_numpy(values + offset))
    return model.eval()


def random_pixels(height: int, width: int) -> np.ndarray:
    generator = np.random.default_rng(height * 1000 + width)
    values = generator.standard_normal((1, 3, height, width)) * 2
    return (np.round(values) / 2).astype(np.float32)


def file_state(model: Any) -> list[tuple[str, torch.Tensor]]:
    """The tensors under the names of `save_pretrained`, which are older than those in memory."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        return sorted(safetensors.torch.load_file(Path(folder) / "model.safetensors").items())


if __name__ == "__main__":
    default = Path(__file__).parent.parent / "tests" / "golden"
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else default)
