"""Our recipe of fine-tuning against vembed-factory's, on as many pictures, over several seeds.

    python bench/recipes.py [--seeds 3] [--steps 100] [--out recipes.json]

Both adapt dinoseek-tiny by LoRA to drawn products of another look (dark, other hues, a camera that
goes further round), on half of the classes, and are measured on the other half, which nothing was
chosen by. Theirs, as its code has it: a query and one positive, of which only the query looks at
the others (InfoNCE, temperature 0.05), no variation of pictures, no mean over steps. Learning rate,
rank, batch and steps are the same. The interval of the gain is Student's over the seeds.
"""

from dinoseek.vit.blas import prefer_fast_kernels

prefer_fast_kernels()

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev

import numpy as np

from dinoseek.embedder import load_embedder
from dinoseek.products.folder import write_products
from dinoseek.products.order import Order
from dinoseek.train.config import TrainConfig
from dinoseek.train.data.records import Records
from dinoseek.train.events import Started
from dinoseek.train.held_out import dataset_of, score
from dinoseek.train.loop import train
from record import machine

T_95 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}  # Student's, two-sided, for so many seeds
SIZE = 112


def recipes(folder: Path, seed: int) -> dict[str, TrainConfig]:
    ours = TrainConfig(
        data=folder / "products",
        output_dir=folder / "ours",
        model="dinoseek-tiny",
        preprocess=f"squash@{SIZE}",
        lora_r=16,
        learning_rate=3e-3,
        batch_size=64,
        crop_area=(0.5, 1.0),
        ema_decay=0.95,
        patience=0,
        seed=seed,
    )
    theirs = replace(
        ours,
        output_dir=folder / "theirs",
        loss="infonce",
        temperature=0.05,
        images_per_class=2,
        crop_area=(1.0, 1.0),
        crop_ratio=1.0,
        flip=0.0,
        brightness=0.0,
        contrast=0.0,
        erasing=0.0,
        ema_decay=0.0,
    )
    return {"ours": ours, "theirs": theirs}


def trained(config: TrainConfig, steps: int) -> int:
    """Trains for about so many steps; how many there were."""
    for event in train(replace(config, epochs=1), force=True):
        if isinstance(event, Started):
            per_epoch = event.steps
            break
    events = train(replace(config, epochs=max(round(steps / per_epoch), 1)), force=True)
    return max(event.steps for event in events if isinstance(event, Started))


def measured(folder: Path, model: str | Path) -> dict[str, float]:
    """Recall@1 and MAP@R on the test half."""
    lines = (folder / "products/Ebay_test.txt").read_text("utf-8").splitlines()[1:]
    rows = [line.split() for line in lines]
    records = Records(
        root=folder / "products",
        images=[row[3] for row in rows],
        labels=[row[1] for row in rows],
    )
    embedder = load_embedder(model, preprocess=f"squash@{SIZE}", engine="torch")
    vectors = embedder.embed([records.path(row) for row in range(len(rows))])
    return score(dataset_of(records, "test"), vectors)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, choices=sorted(T_95))
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    found = []
    for seed in range(asked.seeds):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            order = Order(classes=160, size=96, seed=50 + seed, background="dark", hue=0.4, yaw=1.3)
            for _ in write_products(folder / "products", order):
                pass
            line = {"seed": seed, "base": measured(folder, "dinoseek-tiny")}
            for recipe, config in recipes(folder, seed).items():
                steps = trained(config, asked.steps)
                line[recipe] = {**measured(folder, config.output_dir), "steps": steps}
            found.append(line)
            print(json.dumps(line), flush=True)
    result = {"machine": machine(), "runs": found, "gain": gains(found)}
    print(json.dumps(result["gain"], indent=2))
    if asked.out:
        asked.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def gains(found: list[dict]) -> dict[str, dict[str, float]]:
    """What ours is ahead, in points: the mean over seeds, and its interval."""
    told = {}
    for metric in ("recall@1", "map@r"):
        ahead = [100 * (each["ours"][metric] - each["theirs"][metric]) for each in found]
        reach = T_95[len(ahead)] * stdev(ahead) / np.sqrt(len(ahead))
        told[metric] = {
            "mean": mean(ahead),
            "low": mean(ahead) - reach,
            "high": mean(ahead) + reach,
        }
    return told


if __name__ == "__main__":
    main()
