"""Runs the k-nearest-neighbour classification of labelled images."""

from collections.abc import Iterable, Sequence

import numpy as np

from dinoseek.errors import DataError
from dinoseek.evaluation.dataset import Dataset
from dinoseek.evaluation.knn import NEIGHBOURS, TEMPERATURE, Ids, Voted, classify
from dinoseek.evaluation.metrics import Values
from dinoseek.evaluation.result import Evaluation
from dinoseek.evaluation.run import Options, facts_of, metrics_of
from dinoseek.evaluation.vectors import Vectors


def evaluate_knn(
    test: Dataset,
    test_vectors: Vectors,
    train: Dataset,
    train_vectors: Vectors,
    options: Options,
    *,
    neighbours: Sequence[int] = NEIGHBOURS,
    temperature: float = TEMPERATURE,
    leave_one_out: bool = False,
    notes: Sequence[str] = (),
) -> Evaluation:
    """Accuracy of the class that the nearest training images vote for.

    With `leave_one_out` test and training images are the same, and none votes for itself. DataError
    labels.classes where no test image has a class that was trained on.
    """
    test_classes, train_classes = _classes(test, train)
    known = np.isin(test_classes, train_classes)
    if not known.any():
        reason = "no test image has a class that a training image has"
        raise DataError("labels.classes", test.root, reason)
    voted = classify(
        test_vectors.matrix,
        test_classes,
        train_vectors.matrix,
        train_classes,
        neighbours=neighbours,
        temperature=temperature,
        own=np.arange(len(test.images)) if leave_one_out else None,
    )
    values = _accuracies(voted, neighbours)
    way = "leave-one-out" if leave_one_out else "train-test"
    return Evaluation(
        protocol=f"{test.name}/knn/{way}/T{temperature:g}",
        made=test_vectors.made.name,
        model=test_vectors.made.model,
        headline=f"top-1@{20 if 20 in neighbours else neighbours[0]}",
        metrics=metrics_of(values, test_classes, options),
        facts=facts_of(test_vectors.made, len(test.images), len(train.images), values, 0),
        notes=[*notes, *_unknown(int(np.count_nonzero(~known)))],
        queries=list(test.images),
        groups=test_classes.tolist(),
        values=values,
    )


def _classes(test: Dataset, train: Dataset) -> tuple[Ids, Ids]:
    """A number for each image's class, the same in both."""
    numbers = {label: i for i, label in enumerate(dict.fromkeys([*train.labels, *test.labels]))}
    found = [
        np.array([numbers[label] for label in each.labels], np.int64) for each in (test, train)
    ]
    return found[0], found[1]


def _accuracies(voted: Iterable[Voted], neighbours: Sequence[int]) -> dict[str, Values]:
    """Whether each test image (q,) was right: top-1 and top-5, for each number of neighbours."""
    rows = list(voted)
    return {
        f"{name}@{k}": np.array([float(getattr(each, part)[i]) for each in rows])
        for name, part in (("top-1", "first"), ("top-5", "among_five"))
        for i, k in enumerate(neighbours)
    }


def _unknown(count: int) -> list[str]:
    return [f"{count:,} test images have a class that no training image has"] if count else []
