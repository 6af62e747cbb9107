"""What a run leaves: a model that everything else loads, its adapter, its figures and a page."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import nn

from dinoseek.embedder import load_embedder
from dinoseek.encoders.torch_vit import TorchViT
from dinoseek.evaluation.compare import Difference, compare
from dinoseek.evaluation.dataset import Dataset
from dinoseek.evaluation.evidence import first_hits
from dinoseek.evaluation.result import Evaluation, Shown, load_saved
from dinoseek.evaluation.run import Options, evaluate_labels
from dinoseek.evaluation.vectors import Made, Vectors
from dinoseek.images.scales import ONE
from dinoseek.pca import Pca
from dinoseek.report.training import Query, TrainingReport, write_training
from dinoseek.train import folder
from dinoseek.train.adapter import write_adapter
from dinoseek.train.config import TrainConfig
from dinoseek.train.config_file import as_yaml
from dinoseek.train.data.records import Records
from dinoseek.train.events import Finished
from dinoseek.train.held_out import dataset_of, embed
from dinoseek.train.log import read_log
from dinoseek.train.run import Run, preset_of
from dinoseek.train.tuned import Tuned, adapter_of, merged_params
from dinoseek.vit.ops import Array
from dinoseek.weights.fitted import save_fitted
from dinoseek.weights.load import load_params
from dinoseek.weights.save import PREPROCESS_KEY, replacing, save_params

Facts = Mapping[str, str | int | float]

_SHOWN = 8  # queries that were fixed, and that were broken


def finish(run: Run, held_out: Records, facts: Facts, base: Path) -> Finished:
    """Writes the best model and everything about it into the run's folder.

    `base` is the file of the weights that it began with, against which it is measured.
    """
    target, config = run.config.output_dir, run.config
    dataset = dataset_of(held_out, "held-out")
    was = _vectors(Tuned(TorchViT.of(*load_params(base))).to(run.accelerator.device), run, held_out)
    run.restore_best()
    now = _vectors(run.model, run, held_out)
    _write_model(run, target)
    before = _evaluated(dataset, was, config.model, config, target / folder.BEFORE)
    after = _evaluated(dataset, now, target.name, config, target / folder.AFTER)
    saved = [load_saved(target / name) for name in (folder.BEFORE, folder.AFTER)]
    report = TrainingReport(
        title=target.name,
        facts={**facts, "seconds": round(run.progress.seconds)},
        differences=compare(*saved),
        steps=[(e["step"], e["loss"], e["learning_rate"]) for e in read_log(target) if "loss" in e],
        validations=run.progress.validations,
        best_step=run.progress.best_step,
        fixed=_changed(dataset, was, now, before, after, better=True),
        broken=_changed(dataset, was, now, before, after, better=False),
        notes=_notes(run),
        config=as_yaml(config),
    )
    write_training(target / folder.REPORT, report, held_out.root)
    _write_card(target / folder.CARD, target.name, config, facts, report.differences)
    return Finished(
        folder=target,
        before=_means(before),
        after=_means(after),
        report=target / folder.REPORT,
    )


def _vectors(model: Tuned, run: Run, held_out: Records) -> Array:
    return embed(
        model,
        held_out,
        preset_of(run.config),
        batch_size=run.config.eval_batch_size,
        workers=run.config.num_workers,
        precision=run.rounded,
    )


def _write_model(run: Run, target: Path) -> None:
    config = run.config
    facts = {PREPROCESS_KEY: config.preprocess}
    path = target / folder.MODEL
    save_params(path, merged_params(run.model), run.model.vit.config, metadata=facts)
    if config.method == "lora":
        adapter = adapter_of(run.model, config.alpha)
        write_adapter(target / folder.ADAPTER, adapter, config.model)
    if run.model.head is not None:
        save_fitted(target / folder.HEAD, _head(run.model.head, path).fitted, force=True)


def _head(head: nn.Linear, path: Path) -> Pca:
    """The head as what `--projection` takes: it turns the vectors of just this model."""
    made = load_embedder(path, engine="numpy").fingerprint
    components = head.weight.detach().float().cpu().numpy()
    return Pca(
        mean=np.zeros(components.shape[1], np.float32),
        components=components,
        variances=np.ones(len(components), np.float32),
        whiten=False,
        space=made.id,
    )


def _evaluated(
    dataset: Dataset, vectors: Array, name: str, config: TrainConfig, path: Path
) -> Evaluation:
    """The figures of vectors (n, d), which are kept as JSON, too."""
    made = Made(model=name, preprocess=config.preprocess, pooling="cls", scales=ONE)
    missing = np.zeros(len(vectors), np.bool_)
    whole = Vectors(matrix=vectors, missing=missing, made=made)
    found = evaluate_labels(dataset, whole, Options(seed=config.seed))
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(found.as_dict(), ensure_ascii=False), encoding="utf-8")
    return found


def _means(found: Evaluation) -> dict[str, float]:
    return {each.name: each.value for each in found.metrics}


def _changed(
    dataset: Dataset,
    was: Array,
    now: Array,
    before: Evaluation,
    after: Evaluation,
    *,
    better: bool,
) -> list[Query]:
    """Queries whose first hit was wrong and is right, or the other way round; the clearest first.

    One of each class, so that a single one does not fill the page.
    """
    first, then = (each.values["recall@1"] for each in (before, after))
    rows = np.flatnonzero((then > first) if better else (then < first))
    gain = after.values["map@r"] - before.values["map@r"]
    order = rows[np.argsort(-gain[rows] if better else gain[rows], kind="stable")]
    chosen: dict[str, int] = {}
    for row in order.tolist():
        chosen.setdefault(dataset.labels[row], row)
    return [
        Query(
            path=dataset.images[row],
            label=label,
            before=_hits(dataset, was, row),
            after=_hits(dataset, now, row),
        )
        for label, row in list(chosen.items())[:_SHOWN]
    ]


def _hits(dataset: Dataset, vectors: Array, row: int) -> list[Shown]:
    found = first_hits(vectors[row], vectors, np.array([row]))
    return [
        Shown(
            path=dataset.images[hit],
            score=score,
            verdict="right" if dataset.labels[hit] == dataset.labels[row] else "wrong",
        )
        for hit, score in found
    ]


def _notes(run: Run) -> list[str]:
    """What must be said beside the figures."""
    notes = [
        "The weights are those of the step that did best on the held-out classes,"
        " so their figures are a little too good; test images were not looked at."
    ]
    if run.progress.best_step == 0:
        notes.append("Nothing that was learnt did better than the model as it was, which is kept.")
    return notes


def _write_card(
    path: Path,
    name: str,
    config: TrainConfig,
    facts: Facts,
    differences: Sequence[Difference],
) -> None:
    """A page of Markdown that says what the model is."""
    rows = [
        f"| {each.name} | {100 * each.first:.2f} | {100 * each.second:.2f}"
        f" | {100 * each.difference:+.2f} [{100 * each.low:+.2f}, {100 * each.high:+.2f}] |"
        for each in differences
    ]
    about = [f"- {key}: {value}" for key, value in facts.items()]
    text = [
        f"# {name}",
        "",
        f"{config.model}, fine-tuned with `dinoseek train`.",
        f"Search with it: `dinoseek index PHOTOS --gallery NAME.dino --model {path.parent}`.",
        "",
        "Held-out classes, in percent:",
        "",
        "| metric | before | after | difference, 95 % interval |",
        "|---|---|---|---|",
        *rows,
        "",
        *about,
        "",
    ]
    with replacing(path) as temporary:
        temporary.write_text("\n".join(text), encoding="utf-8")
