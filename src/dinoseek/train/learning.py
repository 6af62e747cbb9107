"""The steps, validations and checkpoints of a run."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from safetensors.torch import save_file

from dinoseek.errors import TrainingError
from dinoseek.train import checkpoint, folder, grad_cache
from dinoseek.train.data.loader import Batch
from dinoseek.train.data.mining import alike_classes
from dinoseek.train.data.records import Records
from dinoseek.train.events import Event, Stepped, Stopped, Validated
from dinoseek.train.gather import gathered, gathered_labels, is_shared
from dinoseek.train.held_out import dataset_of, embed, score
from dinoseek.train.log import Log
from dinoseek.train.run import Run, preset_of
from dinoseek.weights.save import replacing


@dataclass(kw_only=True)
class Learning:
    """A run that goes on."""

    run: Run
    held_out: Records
    log: Log | None
    made_from: dict[str, str]

    def events(self) -> Iterator[Event]:
        """Learns until the epochs are over, or nothing gets better."""
        run, progress = self.run, self.run.progress
        per_epoch = len(run.loader.sampler)
        while True:
            epoch = progress.step // per_epoch
            validated = progress.validations and progress.validations[-1][0] == progress.step
            if progress.step % per_epoch == 0 and not validated:
                yield from self._epoch_done(epoch)
            if progress.is_over or progress.step >= run.schedule.steps:
                return
            yield from self._epoch(epoch, skip=progress.step % per_epoch)

    def _epoch_done(self, epoch: int) -> Iterator[Event]:
        """Validates, looks for what is hard, and saves; says if it is over."""
        run, progress = self.run, self.run.progress
        yield self._validated(epoch)
        if run.config.hard_negatives and progress.step < run.schedule.steps:
            run.group(self._kinds())
        patience = run.config.patience
        progress.is_over = 0 < patience <= progress.since_best
        self._save()
        if progress.is_over:
            reason = f"nothing was better in {patience} epochs"
            yield Stopped(step=progress.step, reason=reason)

    def _epoch(self, epoch: int, skip: int) -> Iterator[Event]:
        run = self.run
        begun = time.perf_counter()
        for batch in run.loader.epoch(epoch, skip):
            loss, norm, rate = self._step(batch)
            run.progress.step += 1
            seconds, begun = time.perf_counter() - begun, time.perf_counter()
            run.progress.seconds += seconds
            stepped = Stepped(
                step=run.progress.step,
                epoch=epoch + 1,
                loss=loss,
                gradient_norm=norm,
                learning_rate=rate,
                images_per_second=len(batch.rows) * run.accelerator.num_processes / seconds,
            )
            self._log(stepped)
            yield stepped
            if run.config.save_steps and run.progress.step % run.config.save_steps == 0:
                self._save()

    def _step(self, batch: Batch) -> tuple[float, float, float]:
        """One step: the loss, the gradient's length, the learning rate."""
        run, step = self.run, self.run.progress.step
        rank = run.accelerator.process_index
        torch.manual_seed(run.config.seed * 1_000_003 + step * 1_009 + rank)  # for dropout
        factor = run.schedule.factor(step)
        for group in run.optimizer.param_groups:
            group["lr"] = group["base_lr"] * factor
        run.model.train()
        run.optimizer.zero_grad()
        loss = self._backward(batch)
        if not math.isfinite(loss):
            raise self._no_number(loss)
        norm = self._clipped()
        run.optimizer.step()
        run.ema.update()
        return loss, norm, run.config.rate * factor

    def _backward(self, batch: Batch) -> float:
        """Leaves the gradients of the batch in the parameters; its loss."""
        run = self.run
        device = run.accelerator.device
        pictures = batch.pictures.to(device, non_blocking=True)
        labels = gathered_labels(batch.labels.to(device))
        scaler = run.accelerator.scaler
        scale = scaler.scale if scaler else lambda value: value

        def loss_of(embeddings: Any) -> Any:
            return scale(run.loss(gathered(embeddings.float()), labels))

        if run.config.gradient_cache:
            parts = pictures.split(run.config.gradient_cache)
            unsynced = lambda: run.accelerator.no_sync(run.wrapped)  # noqa: E731
            value = grad_cache.backward(run.wrapped, parts, loss_of, unsynced)
        else:
            value = loss_of(run.wrapped(pictures))
            value.backward()
        found = float(value.detach())
        return found / scaler.get_scale() if scaler else found

    def _clipped(self) -> float:
        """Shortens the gradient where it is too long; how long it was."""
        run = self.run
        free = [value for value in (*run.model.parameters(), *run.loss.parameters())
                if value.requires_grad]  # fmt: skip
        longest = run.config.max_grad_norm or math.inf
        return float(run.accelerator.clip_grad_norm_(free, longest))

    def _no_number(self, loss: float) -> TrainingError:
        step = self.run.progress.step + 1
        reason = f"the loss is {loss} in step {step}; what was learnt before the last save is kept"
        fix = "begin anew with a smaller learning_rate, or precision: float32"
        return TrainingError("train.nan", self.run.config.output_dir, reason, fix=fix)

    def _validated(self, epoch: int) -> Validated:
        run, progress = self.run, self.run.progress
        found = self._scores()
        is_best = found["map@r"] > progress.best_score
        progress.validations.append((progress.step, found["map@r"], found["recall@1"]))
        if is_best:
            progress.best_step, progress.best_score = progress.step, found["map@r"]
            progress.since_best = 0
            if run.is_main:
                self._keep_best()
        else:
            progress.since_best += 1
        event = Validated(
            step=progress.step,
            epoch=epoch,
            map_at_r=found["map@r"],
            recall_at_1=found["recall@1"],
            is_best=is_best,
        )
        self._log(event)
        return event

    def _scores(self) -> dict[str, float]:
        """The scores of the mean over steps; one process finds out, and all know."""
        run, held_out = self.run, self.held_out
        found: list[dict[str, float]] = [{}]
        if run.is_main:
            found = [score(dataset_of(held_out, "held-out"), self._embedded(held_out))]
        if is_shared():
            torch.distributed.broadcast_object_list(found)
        return found[0]

    def _embedded(self, records: Records) -> Any:
        run = self.run
        with run.ema.applied():
            return embed(
                run.model,
                records,
                preset_of(run.config),
                batch_size=run.config.eval_batch_size,
                workers=run.config.num_workers,
                precision=run.rounded,
            )

    def _kinds(self) -> Any:
        """Classes that the model takes for each other, as every process must know them."""
        found: list[Sequence[int]] = [[]]
        if self.run.is_main:
            found = [alike_classes(self._embedded(self.run.train), self.run.train.labels)]
        if is_shared():
            torch.distributed.broadcast_object_list(found)
        return torch.tensor(found[0]).numpy()

    def _keep_best(self) -> None:
        means = {name: each.cpu().contiguous() for name, each in self.run.ema.means.items()}
        with replacing(self.run.config.output_dir / folder.BEST) as temporary:
            save_file(means, temporary)

    def _save(self) -> None:
        run = self.run
        if self.log is not None:
            checkpoint.save(
                run.config.output_dir / folder.STATE,
                checkpoint.Saved(
                    progress=run.progress,
                    made_from=self.made_from,
                    numbers=run.numbers(),
                    tensors=run.tensors(),
                ),
            )
            self.log.tabulate()

    def _log(self, event: Stepped | Validated) -> None:
        if self.log is None:
            return
        is_step = isinstance(event, Stepped)
        if not is_step or event.step % self.run.config.logging_steps == 0:
            self.log.add({k: v for k, v in vars(event).items() if k != "is_best"})
