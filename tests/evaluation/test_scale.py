"""Stanford Online Products fits into two gigabytes, however many queries there are."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import numpy as np
from dinoseek.evaluation.metrics import measured
from dinoseek.evaluation.run import label_measures
from dinoseek.evaluation.scoring import score_vectors
from dinoseek.evaluation.truth import label_truth

images, queries = 60_502, 1_536
rng = np.random.default_rng(0)
labels = rng.integers(0, 11_316, images)
vectors = rng.standard_normal((images, 768), dtype=np.float32)
vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
truth = label_truth(labels[:queries], labels, np.arange(queries))
found = score_vectors(vectors[:queries], vectors, truth)
values, _, _ = measured(found, label_measures((1, 1000)))
assert 0.05 < np.nanmean(values["recall@1000"]) < 0.12, np.nanmean(values["recall@1000"])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_sixty_thousand_images_take_less_than_two_gigabytes():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 2_000_000  # KiB
