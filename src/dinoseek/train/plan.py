"""What a run would be, without running it: its parameters, its memory, its first batch."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dinoseek.errors import MachineError
from dinoseek.images.preprocess import find_preset
from dinoseek.train.config import TrainConfig
from dinoseek.train.folder import FIRST_BATCH
from dinoseek.train.loop import facts_of, load_material
from dinoseek.train.run import Run, make_run, preset_of
from dinoseek.train.tuned import counts
from dinoseek.vit.config import ViTConfig

Facts = dict[str, str | int | float]

# Bytes of a block's activations for each value of its tokens, with 2-byte values and without the
# matrix of attention (Korthikanti et al., 2022, arXiv 2205.05198, section 4.1).
_BYTES_OF_A_BLOCK = 34
_SIDE, _GAP = 96, 4
_SHOWN = 64


@dataclass(frozen=True, kw_only=True)
class Plan:
    """`facts` for people, the bytes that learning will roughly need, the picture of a batch."""

    facts: Facts
    memory: int
    picture: Path


def plan(config: TrainConfig, *, models_dir: Path | None = None) -> Plan:
    """Makes all that a run is made of, and writes its first batch as FIRST_BATCH.

    The picture lies in `output_dir`, which holds nothing else yet. Raises as `train` does.
    """
    preset_of(config)
    material = load_material(config, models_dir)
    run = make_run(config, material.train, material.params, material.vit_config)
    target = config.output_dir / FIRST_BATCH
    batch = next(iter(run.loader.epoch(0)))
    _save(batch_picture(batch.pictures.numpy(), config), target)
    return Plan(
        facts=facts_of(run, material),
        memory=memory_of(run, material.vit_config),
        picture=target,
    )


def memory_of(run: Run, vit_config: ViTConfig) -> int:
    """The bytes of weights, gradients, optimizer, mean and activations, roughly."""
    config, size = run.config, counts(run.model)
    weights = 4 * size.all + 16 * size.learnt  # and gradient, two moments and the mean of each
    width = 2 if config.precision == "float32" else 1
    tokens = 1 + vit_config.num_register_tokens
    tokens += (find_preset(config.preprocess).size // vit_config.patch_size) ** 2
    block = _BYTES_OF_A_BLOCK * tokens * vit_config.embed_dim * width
    kept = 2 * width * tokens * vit_config.embed_dim  # what goes into a block
    checkpointed = config.gradient_checkpointing
    image = kept * vit_config.depth + block if checkpointed else block * vit_config.depth
    return weights + image * (config.gradient_cache or config.batch_size)


def batch_picture(pictures: NDArray[np.uint8], config: TrainConfig) -> Image.Image:
    """Pictures (b, S, S, 3) side by side: a row for each image of a class, a column for a class."""
    rows = config.images_per_class
    columns = min(config.classes_per_batch, max(1, _SHOWN // rows))
    step = _SIDE + _GAP
    sheet = Image.new("RGB", (columns * step - _GAP, rows * step - _GAP), "white")
    for row in range(rows):
        for column in range(columns):
            found = Image.fromarray(pictures[row * config.classes_per_batch + column])
            sheet.paste(found.resize((_SIDE, _SIDE)), (column * step, row * step))
    return sheet


def _save(picture: Image.Image, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path, quality=90)
    except OSError as exc:
        raise MachineError("train.unwritable", path, exc.strerror or str(exc)) from exc
