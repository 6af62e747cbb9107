"""Distilling from beginning to end, as a stream of what happens."""

import json
from collections.abc import Collection, Generator, Iterator, Sequence
from pathlib import Path

import numpy as np
import yaml

from dinoseek.embedder import Embedder
from dinoseek.images.preprocess import Preset
from dinoseek.train import checkpoint, folder
from dinoseek.train.data.checked import check_images
from dinoseek.train.data.loader import Pictures as Views
from dinoseek.train.data.reading import Reading
from dinoseek.train.data.records import Records
from dinoseek.train.distill.config import DistillConfig
from dinoseek.train.distill.events import Event, LeftOut, Taught
from dinoseek.train.distill.finish import finish
from dinoseek.train.distill.learning import Held, Learning
from dinoseek.train.distill.pictures import Pictures, parted, pictures_in
from dinoseek.train.distill.student import Student, make_student
from dinoseek.train.distill.target import fit_target
from dinoseek.train.distill.teacher import Lesson, least_side, plain_features, square_preset
from dinoseek.train.events import Checked, Started
from dinoseek.train.held_out import batches
from dinoseek.train.log import Log
from dinoseek.train.tuned import counts
from dinoseek.weights.save import replacing

COLUMNS = ("step", "epoch", "loss", "learning_rate", "gradient_norm", "images_per_second",
           "agreement", "cosine")  # fmt: skip

# What a run may be resumed with although it began with another value.
_FREE = ("output_dir", "num_workers", "device")


def distill(
    folders: Sequence[Path],
    teacher: Embedder,
    config: DistillConfig,
    *,
    resume: bool = False,
    force: bool = False,
) -> Iterator[Event]:
    """Teaches a small ViT to embed pictures as `teacher` does; nothing happens before the first.

    Pictures are those in `folders` and below; what cannot be read is told, and left out. The result
    is a folder that `load_embedder` takes. With `resume` it goes on after the last checkpoint, or
    begins where there is none; with `force` a run in the folder is replaced, but for what the
    teacher said, if that is of the same pictures. Raises UsageError for settings that make no
    sense, DataError distill.few for too few pictures, TrainingError train.nan.
    """
    preset = square_preset(teacher)
    with folder.held(config.output_dir, resume=resume, force=force):
        state = config.output_dir / folder.STATE
        saved = checkpoint.load(state) if resume else None
        pictures = yield from _sound(pictures_in(folders), config)
        lesson = Lesson(state, teacher, pictures.train, config)
        total = lesson.shape[0] * lesson.shape[1]
        for done in lesson.learn():
            yield Taught(done=done, total=total)
        held = _held(pictures.held_out, teacher, preset.at_size(config.size), config)
        yield from _run(lesson, pictures, held, teacher, config, saved)


def _sound(records: Records, config: DistillConfig) -> Generator[Event, None, Pictures]:
    """Reads every picture, and gives those that can be read, some of them held out."""
    broken = {}
    for row, error in check_images(records):
        if error is not None:
            broken[row] = error
        yield Checked(total=len(records.images))
    if broken:
        yield LeftOut(broken=[(records.images[row], error) for row, error in broken.items()])
    return parted(_without(records, broken), config.held_out, config.seed)


def _held(records: Records, teacher: Embedder, preset: Preset, config: DistillConfig) -> Held:
    workers = max(config.num_workers, 1)
    return Held(
        pictures=list(batches(records, preset, config.batch_size, workers)),
        features=plain_features(teacher, records),
        preset=preset,
    )


def _without(records: Records, broken: Collection[int]) -> Records:
    rows = [row for row in range(len(records.images)) if row not in broken]
    return records.subset(np.array(rows, np.int64))


def _run(
    lesson: Lesson,
    pictures: Pictures,
    held: Held,
    teacher: Embedder,
    config: DistillConfig,
    saved: checkpoint.Saved | None,
) -> Iterator[Event]:
    target, features = config.output_dir, lesson.features()
    per_epoch = max(len(features) // config.batch_size, 1)
    student = make_student(config, config.epochs * per_epoch)
    made_from = _made_from(config, lesson)
    if saved is not None:
        folder.refuse_others(saved, made_from, target)
        student.restore(saved, target / folder.STATE / checkpoint.NAME)
    with replacing(target / folder.CONFIG) as temporary:
        temporary.write_text(yaml.safe_dump(config.as_dict(), sort_keys=False), encoding="utf-8")
    facts = _facts(student, pictures, teacher, held)
    yield Started(step=student.progress.step, steps=student.schedule.steps, facts=facts)
    log = _log(student)
    learning = Learning(
        student=student,
        features=features,
        target=fit_target(features.reshape(-1, teacher.dim), config.embed_dim, config.seed),
        reading=_reading(student, pictures.train, teacher),
        held=held,
        log=log,
        made_from=made_from,
    )
    yield from learning.events()
    log.tabulate()
    yield finish(student, held, facts)


def _reading(student: Student, records: Records, teacher: Embedder) -> Reading:
    config = student.config
    shrunk = least_side(teacher, config)
    views = Views(records, config.augmentation(config.size), config.seed, shrunk)
    return Reading(views, workers=config.num_workers, pin=student.device.type == "cuda")


def _log(student: Student) -> Log:
    """The log up to the checkpoint that it goes on from."""
    compared = student.progress.validations
    return Log(
        student.config.output_dir,
        step=student.progress.step,
        validated=compared[-1][0] if compared else -1,
        columns=COLUMNS,
    )


def _made_from(config: DistillConfig, lesson: Lesson) -> dict[str, str]:
    """What a checkpoint belongs to."""
    settings = {k: v for k, v in config.as_dict().items() if k not in _FREE}
    return {
        **{f"setting {key}": json.dumps(value) for key, value in settings.items()},
        "teacher": str(lesson.made_from["teacher"]),
        "pictures": str(lesson.made_from["pictures"]),
    }


def _facts(
    student: Student, pictures: Pictures, teacher: Embedder, held: Held
) -> dict[str, str | int | float]:
    """What a run is, for people."""
    config = student.config
    return {
        "teacher": teacher.fingerprint.describe(),
        "pictures": len(pictures.train.images),
        "held-out pictures": len(pictures.held_out.images),
        "views of each": config.views,
        "parameters": counts(student.model).all,
        "embed_dim": config.embed_dim,
        "depth": config.depth,
        "num_heads": config.num_heads,
        "preprocess": held.preset.name,
        "batch": config.batch_size,
        "learning rate": config.learning_rate,
        "epochs": config.epochs,
        "steps": student.schedule.steps,
        "precision": config.precision,
        "device": str(student.device),
        "seed": config.seed,
    }
