"""What distilling leaves: a model that everything else loads, and a page that says what it is."""

from collections.abc import Mapping
from pathlib import Path

from dinoseek.train import checkpoint, folder
from dinoseek.train.distill.agreement import by_chance, nearest_of
from dinoseek.train.distill.events import Distilled
from dinoseek.train.distill.learning import Held
from dinoseek.train.distill.student import Student
from dinoseek.train.tuned import counts, learnt, merged_params
from dinoseek.weights.save import PREPROCESS_KEY, replacing, save_params

Facts = Mapping[str, str | int | float]


def finish(student: Student, held: Held, facts: Facts) -> Distilled:
    """Writes the best student, in float16, and its card into the run's folder."""
    target, progress = student.config.output_dir, student.progress
    best = target / folder.BEST
    checkpoint.restore(learnt(student.model), checkpoint.read_tensors(best), best)
    save_params(
        target / folder.MODEL,
        merged_params(student.model),
        student.config.student,
        dtype="float16",
        metadata={PREPROCESS_KEY: held.preset.name},
    )
    figures = _figures(progress)
    whole = {**facts, "seconds": round(progress.seconds)}
    _write_card(target, whole, figures)
    return Distilled(
        folder=target,
        figures=figures,
        by_chance=by_chance(len(held.features)),
        parameters=counts(student.model).all,
    )


def _figures(progress: checkpoint.Progress) -> dict[str, float]:
    """Agreement and cosine of the step that did best."""
    best = next(each for each in progress.validations if each[0] == progress.best_step)
    return {"agreement": best[1], "cosine": best[2]}


def _write_card(target: Path, facts: Facts, figures: Mapping[str, float]) -> None:
    """A page of Markdown that says what the model is."""
    pictures = int(facts["held-out pictures"])
    nearest, chance = nearest_of(pictures), 100 * by_chance(pictures)
    about = [f"- {key}: {value}" for key, value in facts.items()]
    text = [
        f"# {target.name}",
        "",
        f"A small ViT that learnt with `dinoseek train distill` to see as {facts['teacher']} does.",
        f"Search with it: `dinoseek index PHOTOS --gallery NAME.dino --model {target}`.",
        "",
        f"In {pictures:,} pictures that it has not learnt from, {100 * figures['agreement']:.1f} %"
        f" of the teacher's {nearest} nearest neighbours are among its own ({chance:.1f} % by"
        " chance). The weights are those of the step that did best on these pictures, so the figure"
        " is a little too good.",
        "",
        *about,
        "",
    ]
    with replacing(target / folder.CARD) as temporary:
        temporary.write_text("\n".join(text), encoding="utf-8")
