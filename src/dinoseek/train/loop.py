"""Training from beginning to end, as a stream of what happens."""

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dinoseek.errors import DataError
from dinoseek.train import checkpoint, folder
from dinoseek.train.config import TrainConfig
from dinoseek.train.config_file import as_yaml
from dinoseek.train.data.checked import check_images, refuse_broken
from dinoseek.train.data.records import Records, load_records
from dinoseek.train.data.split import split_by_class
from dinoseek.train.events import Checked, Event, Started
from dinoseek.train.finish import finish
from dinoseek.train.gather import is_shared
from dinoseek.train.learning import Learning
from dinoseek.train.log import Log
from dinoseek.train.run import Run, make_run, preset_of, processes
from dinoseek.train.tuned import counts
from dinoseek.vit.config import ViTConfig
from dinoseek.vit.ops import Params
from dinoseek.weights.digest import weights_digest
from dinoseek.weights.hub import resolve
from dinoseek.weights.load import load_params
from dinoseek.weights.save import replacing


@dataclass(frozen=True, kw_only=True)
class Material:
    """What a run is made from: images to learn from, images held out, and the model's weights."""

    train: Records
    held_out: Records
    params: Params
    vit_config: ViTConfig
    weights: Path
    digest: str


def train(
    config: TrainConfig,
    *,
    resume: bool = False,
    force: bool = False,
    models_dir: Path | None = None,
) -> Iterator[Event]:
    """Trains as `config` says and writes its `output_dir`; nothing happens before the first event.

    With `resume` it goes on after the last checkpoint, or begins where there is none; with `force`
    a run in the folder is replaced. Raises UsageError for settings that make no sense, DataError
    for images that cannot be used, listing them, TrainingError train.nan for a loss that is no
    number.
    """
    with _held(config, resume=resume, force=force) as is_main:
        preset_of(config)
        material = load_material(config, models_dir)
        saved = checkpoint.load(config.output_dir / folder.STATE) if resume else None
        if saved is None and is_main:
            yield from _checked([material.train, material.held_out])
        yield from _run(
            make_run(config, material.train, material.params, material.vit_config), material, saved
        )


@contextmanager
def _held(config: TrainConfig, *, resume: bool, force: bool) -> Iterator[bool]:
    """The run's folder is ours; of several processes the main one sees to it, for all.

    Gives whether this is the main one.
    """
    state = processes(config)
    if not state.is_main_process:
        state.wait_for_everyone()
        yield False
    else:
        with folder.held(config.output_dir, resume=resume, force=force):
            state.wait_for_everyone()
            yield True
    if is_shared():
        state.wait_for_everyone()
        gc.collect()  # gloo aborts a process whose model still holds on to it in the end
        state.destroy_process_group()


def load_material(config: TrainConfig, models_dir: Path | None = None) -> Material:
    """Reads lists and weights, and holds classes out. Raises as `train` does."""
    records = load_records(config.data, config.image_root)
    if config.val_data is not None:
        learnt, held_out = records, load_records(config.val_data, config.image_root)
        _refuse_shared(config, learnt, held_out)
    else:
        split = split_by_class(records.labels, config.val_share, seed=config.seed)
        learnt, held_out = records.subset(split.train), records.subset(split.validation)
    path = resolve(config.model, models_dir)
    params, vit_config = load_params(path)
    return Material(
        train=learnt,
        held_out=held_out,
        params=params,
        vit_config=vit_config,
        weights=path,
        digest=weights_digest(path, params, None),
    )


def _refuse_shared(config: TrainConfig, learnt: Records, held_out: Records) -> None:
    """A model must not be chosen by images that it learns from."""
    one = {learnt.path(row).resolve() for row in range(len(learnt.images))}
    both = [held_out.images[row] for row in range(len(held_out.images))
            if held_out.path(row).resolve() in one]  # fmt: skip
    if both:
        reason = f"{len(both):,} of its images are in {config.data} too, such as {both[0]}"
        fix = "hold whole classes out, or leave val_data away"
        raise DataError("train.data.shared", config.val_data, reason, fix=fix)


def _checked(parts: Sequence[Records]) -> Iterator[Event]:
    """Reads every image, and refuses those that cannot be read, all in one list."""
    total = sum(len(records.images) for records in parts)
    broken = []
    for records in parts:
        for row, error in check_images(records):
            if error is not None:
                broken.append((records.images[row], error))
            yield Checked(total=total)
    if broken:
        raise refuse_broken(broken, total)


def _run(run: Run, material: Material, saved: checkpoint.Saved | None) -> Iterator[Event]:
    config = run.config
    wanted = folder.made_from(config, material.train, material.held_out, material.digest)
    if saved is not None:
        folder.refuse_others(saved, wanted, config.output_dir)
        run.restore(saved, config.output_dir / folder.STATE / checkpoint.NAME)
    log = _log(run) if run.is_main else None
    if run.is_main:
        with replacing(config.output_dir / folder.CONFIG) as temporary:
            temporary.write_text(as_yaml(config), encoding="utf-8")
    yield Started(step=run.progress.step, steps=run.schedule.steps, facts=facts_of(run, material))
    learning = Learning(run=run, held_out=material.held_out, log=log, made_from=wanted)
    yield from learning.events()
    if log is not None:
        log.tabulate()
        yield finish(run, material.held_out, facts_of(run, material), material.weights)


def _log(run: Run) -> Log:
    """The log up to the checkpoint that the run goes on from."""
    validations = run.progress.validations
    return Log(
        run.config.output_dir,
        step=run.progress.step,
        validated=validations[-1][0] if validations else -1,
        trackers=run.config.report_to,
    )


def facts_of(run: Run, material: Material) -> dict[str, str | int | float]:
    """What a run is, for people."""
    size = counts(run.model)
    config = run.config
    return {
        "model": config.model,
        "method": _method(config),
        "parameters": size.all,
        "learnt parameters": size.learnt,
        "images": len(material.train.images),
        "classes": len(set(material.train.labels)),
        "held-out images": len(material.held_out.images),
        "held-out classes": len(set(material.held_out.labels)),
        "batch": f"{config.batch_size} images, {config.images_per_class} of each class",
        "loss": config.loss,
        "learning rate": config.rate,
        "steps": run.schedule.steps,
        "precision": config.precision,
        "device": str(run.accelerator.device),
        "processes": run.accelerator.num_processes,
        "seed": config.seed,
        "preprocess": config.preprocess,
    }


def _method(config: TrainConfig) -> str:
    if config.method != "lora":
        return config.method
    return f"LoRA of rank {config.lora_r} on {', '.join(config.lora_target_modules)}"
