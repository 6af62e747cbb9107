"""A batch in parts, or of several processes, has the gradients of the whole."""

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from dinoseek.train.grad_cache import backward  # noqa: E402
from dinoseek.train.losses.pairs import ntxent  # noqa: E402

pytestmark = pytest.mark.torch

LABELS = torch.tensor([0, 1, 0, 2, 1, 2, 0, 1])


def model(dropout=0.0):
    torch.manual_seed(0)
    layers = [
        torch.nn.Linear(5, 16),
        torch.nn.Tanh(),
        torch.nn.Dropout(dropout),
        torch.nn.Linear(16, 4),
    ]
    return torch.nn.Sequential(*layers).double()


def inputs():
    return torch.randn(8, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def gradients(net):
    return torch.cat([parameter.grad.flatten() for parameter in net.parameters()])


@pytest.mark.parametrize("sizes", [[8], [4, 4], [3, 3, 2], [1] * 8])
def test_parts_have_the_gradients_of_the_whole(sizes):
    whole, parts = model(), model()
    expected = ntxent(whole(inputs()), LABELS)
    expected.backward()

    found = backward(parts, inputs().split(sizes), lambda z: ntxent(z, LABELS))

    assert float(found) == pytest.approx(float(expected.detach()))
    torch.testing.assert_close(gradients(parts), gradients(whole), rtol=1e-9, atol=1e-12)


def test_dropout_does_the_same_in_both_passes():
    net, other = model(dropout=0.5), model(dropout=0.5)
    torch.manual_seed(7)
    found = torch.cat([other(part) for part in inputs().split(4)])  # the numbers of the first pass
    ntxent(found, LABELS).backward()

    torch.manual_seed(7)
    backward(net, inputs().split(4), lambda z: ntxent(z, LABELS))

    torch.testing.assert_close(gradients(net), gradients(other), rtol=1e-9, atol=1e-12)


def test_random_numbers_go_on_after_it_as_after_one_pass():
    net = model(dropout=0.5)
    torch.manual_seed(7)
    for part in inputs().split(4):
        net(part)
    expected = torch.rand(3)

    torch.manual_seed(7)
    backward(net, inputs().split(4), lambda z: ntxent(z, LABELS))

    torch.testing.assert_close(torch.rand(3), expected)


def test_gradients_go_round_once():
    within = []

    @contextmanager
    def unsynced():
        within.append("in")
        yield

    backward(model(), inputs().split([2, 2, 4]), lambda z: ntxent(z, LABELS), unsynced)

    assert within == ["in", "in"]  # all but the last


def test_a_loss_that_compares_nothing_leaves_gradients_at_zero():
    net = model()

    backward(net, inputs().split(4), lambda z: ntxent(z, torch.arange(8)))

    assert not gradients(net).any()


TWO = """
import gc
import sys
import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel
sys.path.insert(0, sys.argv[1])
from test_grad_cache import LABELS, gradients, inputs, model
from dinoseek.train.gather import gathered, gathered_labels
from dinoseek.train.grad_cache import backward
from dinoseek.train.losses.pairs import ntxent

rank, store, cached = int(sys.argv[2]), sys.argv[3], sys.argv[4] == "True"
distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
net = model()
shared = DistributedDataParallel(net)
mine = slice(4 * rank, 4 * rank + 4)
labels = gathered_labels(LABELS[mine])
if cached:
    backward(shared, inputs()[mine].split(2), lambda z: ntxent(gathered(z), labels), shared.no_sync)
else:
    ntxent(gathered(shared(inputs()[mine])), labels).backward()
torch.save(gradients(net), f"{store}.{rank}")
distributed.barrier()
del shared  # gloo aborts a process whose model still holds on to it in the end
gc.collect()
distributed.destroy_process_group()
"""


@pytest.mark.slow
@pytest.mark.parametrize("cached", [False, True])
def test_two_processes_have_the_gradients_of_one(tmp_path, cached):
    whole = model()
    ntxent(whole(inputs()), LABELS).backward()
    here = str(Path(__file__).parent)

    programs = [
        subprocess.Popen(
            [sys.executable, "-c", TWO, here, str(rank), str(tmp_path / "store"), str(cached)],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "GLOO_SOCKET_IFNAME": "lo"},
        )
        for rank in range(2)
    ]
    errors = [program.communicate(timeout=120)[1] for program in programs]

    assert [program.returncode for program in programs] == [0, 0], errors
    for rank in range(2):
        found = torch.load(tmp_path / f"store.{rank}")
        torch.testing.assert_close(found, gradients(whole), rtol=1e-9, atol=1e-12)
