"""The steps, comparisons and checkpoints of distilling."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from dinoseek.errors import TrainingError
from dinoseek.images.preprocess import Preset
from dinoseek.train import checkpoint, folder
from dinoseek.train.data.loader import Key
from dinoseek.train.data.reading import Reading
from dinoseek.train.distill.agreement import agreement
from dinoseek.train.distill.events import Compared
from dinoseek.train.distill.losses import embedding_loss, structure_loss
from dinoseek.train.distill.student import Student
from dinoseek.train.distill.target import Target
from dinoseek.train.distill.teacher import Stored
from dinoseek.train.events import Stepped
from dinoseek.train.held_out import Prepared, embed_batches
from dinoseek.train.log import Log
from dinoseek.vit.ops import Array
from dinoseek.weights.save import replacing

_SAVED_EVERY = 500  # steps, and after each epoch

Chosen = tuple[NDArray[np.int64], NDArray[np.int64]]  # rows (b,) and the views of them


@dataclass(frozen=True, kw_only=True)
class Held:
    """Pictures that it is chosen by, in batches as `preset` prepares them for the student.

    `features` (n, d) are what the teacher sees in them.
    """

    pictures: Sequence[Prepared]
    features: Array
    preset: Preset


@dataclass(kw_only=True)
class Learning:
    """A student that learns from features (n, v, d) of views."""

    student: Student
    features: Stored
    target: Target
    reading: Reading
    held: Held
    log: Log
    made_from: dict[str, str]

    @property
    def per_epoch(self) -> int:
        """Steps in which each picture comes once, but for the last few."""
        return max(len(self.features) // self.student.config.batch_size, 1)

    def events(self) -> Iterator[Stepped | Compared]:
        """Learns until the epochs are over."""
        student = self.student
        while student.progress.step < student.schedule.steps:
            epoch, skip = divmod(student.progress.step, self.per_epoch)
            yield from self._epoch(epoch, skip)
            yield self._compared(epoch + 1)
            self._save()

    def _epoch(self, epoch: int, skip: int) -> Iterator[Stepped]:
        progress, begun = self.student.progress, time.perf_counter()
        chosen = self._batches(epoch)[skip:]
        keys: list[list[Key]] = [
            [(row, view, row) for row, view in zip(*map(np.ndarray.tolist, each), strict=True)]
            for each in chosen
        ]
        for (rows, views), pictures in zip(chosen, self.reading.batches(keys), strict=True):
            features = self.features[rows, views].astype(np.float32)  # (b, d)
            loss, norm, rate = self._step(pictures, features)
            seconds, begun = time.perf_counter() - begun, time.perf_counter()
            progress.seconds += seconds
            event = Stepped(
                step=progress.step,
                epoch=epoch + 1,
                loss=loss,
                gradient_norm=norm,
                learning_rate=rate,
                images_per_second=len(rows) / seconds,
            )
            self.log.add(vars(event))
            yield event
            # Not at the end of an epoch, where it would go on without having been compared.
            if progress.step % _SAVED_EVERY == 0 and progress.step % self.per_epoch:
                self._save()

    def _batches(self, epoch: int) -> list[Chosen]:
        """Rows and views of each batch of an epoch: every row once, each in a view by chance."""
        config, count = self.student.config, len(self.features)
        rng = np.random.default_rng([config.seed, epoch])
        order = rng.permutation(count)
        views = rng.integers(config.views, size=count)
        size = min(config.batch_size, count)
        starts = range(0, self.per_epoch * size, size)
        return [(order[at : at + size], views[at : at + size]) for at in starts]

    def _step(self, pictures: Tensor, features: Array) -> tuple[float, float, float]:
        """One step: the loss, the gradient's length, the learning rate."""
        student, config = self.student, self.student.config
        factor = student.schedule.factor(student.progress.step)
        for group in student.optimizer.param_groups:
            group["lr"] = group["base_lr"] * factor
        student.model.train()
        student.optimizer.zero_grad()
        loss = self._loss(pictures, features)
        if not math.isfinite(loss.item()):
            raise self._no_number(loss.item())
        loss.backward()
        free = student.model.parameters()
        norm = torch.nn.utils.clip_grad_norm_(free, config.max_grad_norm or math.inf)
        student.optimizer.step()
        student.ema.update()
        student.progress.step += 1
        return loss.item(), float(norm), config.learning_rate * factor

    def _loss(self, pictures: Tensor, features: Array) -> Tensor:
        student, config = self.student, self.student.config
        target = torch.from_numpy(self.target.of(features)).to(student.device)
        with student.rounding():
            found = student.model(pictures.to(student.device, non_blocking=True))
        embeddings = torch.nn.functional.normalize(found.float(), dim=1)
        structure = structure_loss(embeddings, target, config.temperature)
        return embedding_loss(embeddings, target) + config.structure * structure

    def _no_number(self, loss: float) -> TrainingError:
        step = self.student.progress.step + 1
        fix = "begin anew with --force and a lower --learning-rate; the teacher is not asked again"
        return TrainingError("train.nan", f"step {step:,}", f"the loss is {loss}", fix=fix)

    def _compared(self, epoch: int) -> Compared:
        """Compares the mean over steps with the teacher, and keeps it if it is the best so far."""
        student, progress = self.student, self.student.progress
        with student.ema.applied():
            found = embed_batches(student.model, self.held.pictures, student.rounded)
        alike = agreement(found, self.held.features)
        cosine = float((found * self.target.of(self.held.features)).sum(axis=1).mean())
        is_best = alike > progress.best_score
        progress.validations.append((progress.step, alike, cosine))
        if is_best:
            progress.best_step, progress.best_score = progress.step, alike
            self._keep_best()
        event = Compared(
            step=progress.step, epoch=epoch, agreement=alike, cosine=cosine, is_best=is_best
        )
        self.log.add({k: v for k, v in vars(event).items() if k != "is_best"})
        return event

    def _keep_best(self) -> None:
        means = {name: each.cpu().contiguous() for name, each in self.student.ema.means.items()}
        with replacing(self.student.config.output_dir / folder.BEST) as temporary:
            save_file(means, temporary)

    def _save(self) -> None:
        student = self.student
        saved = checkpoint.Saved(
            progress=student.progress,
            made_from=self.made_from,
            numbers={"mean steps": student.ema.steps},
            tensors=student.tensors(),
        )
        checkpoint.save(student.config.output_dir / folder.STATE, saved)
        self.log.tabulate()
